from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictor.errors import ValueOutOfRangeError
from predictor.feature_rows import read_feature_rows
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import default_recipe
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from predictor.model.person_inputs import person_inputs
from predictor.model.possible_values import RANGE_OF_COVARIATE, RANGE_OF_UNIT, PossibleRange, range_of_covariate
from predictor.scorer import BundleScorer


def with_unit(bundle: ModelBundle, unit: str) -> ModelBundle:
    first, *others = bundle.definitions
    narrow = {
        "minimum": np.zeros_like(bundle.training_range.minimum),
        "maximum": np.zeros_like(bundle.training_range.sd),
    }
    training = replace(bundle.training_range, **narrow)
    return replace(bundle, definitions=(replace(first, unit=unit), *others), training_range=training)


@pytest.mark.parametrize(
    ("unit", "impossible"),
    [("fisher_z", 5.01), ("fisher_z", -40.0), ("correlation", 1.5), ("share", 40.0), ("share", -0.1), ("mm", -0.2),
     ("count", -1.0), ("ratio", -3.0)],
)  # fmt: skip
def test_a_number_that_such_a_measure_cannot_have_is_an_error_that_names_both(
    bundle: ModelBundle, unit: str, impossible: float
) -> None:
    narrow, name = with_unit(bundle, unit), bundle.feature_names[0]
    for features in ({name: impossible}, {**dict.fromkeys(bundle.feature_names, 0.0), name: impossible}):
        with pytest.raises(ValueOutOfRangeError) as caught:
            person_inputs(features, {}, narrow)
        assert caught.value.where == f"feature {name}"
        assert RANGE_OF_UNIT[unit].words in str(caught.value)
        assert f"{impossible:g}" not in str(caught.value).replace(RANGE_OF_UNIT[unit].words, "")


@pytest.mark.parametrize("unit", sorted(RANGE_OF_UNIT))
def test_the_ends_of_a_range_and_missing_values_are_taken(bundle: ModelBundle, unit: str) -> None:
    narrow, name, possible = with_unit(bundle, unit), bundle.feature_names[0], RANGE_OF_UNIT[unit]
    for value in (None, possible.lower, min(possible.upper, 1e6)):
        assert person_inputs({name: value}, {}, narrow).features[name] == value


def test_what_training_people_had_is_possible(bundle: ModelBundle) -> None:
    narrow, name = with_unit(bundle, "share"), bundle.feature_names[0]
    training = replace(narrow.training_range, maximum=np.full_like(narrow.training_range.maximum, 100.0))
    in_percent = replace(narrow, training_range=training)
    assert person_inputs({name: 100.0}, {"caps5_total_baseline": 100.0}, in_percent).features == {name: 100.0}
    with pytest.raises(ValueOutOfRangeError, match="between 0 and 100"):
        person_inputs({name: 100.5}, {}, in_percent)


def test_a_unit_that_says_nothing_limits_nothing(bundle: ModelBundle) -> None:
    narrow, name = with_unit(bundle, "beta"), bundle.feature_names[0]
    assert person_inputs({name: -4000.0}, {}, narrow).features == {name: -4000.0}


def test_a_feature_that_the_model_does_not_take_is_checked_too(bundle: ModelBundle) -> None:
    unused = next(one.name for one in feature_definitions(default_recipe()) if one.unit == "share")
    with pytest.raises(ValueOutOfRangeError, match="between 0 and 1") as caught:
        person_inputs({unused: 55.0}, {}, replace(bundle, recipe=default_recipe()))
    assert caught.value.where == f"feature {unused}"


@pytest.mark.parametrize("value", [-1, 81, 4400.0])
def test_a_total_beyond_its_scale_is_an_error(bundle: ModelBundle, value: float) -> None:
    with pytest.raises(
        ValueOutOfRangeError, match="expected a number between 0 and 80, found one that is not"
    ) as caught:
        person_inputs({}, {"caps5_total_baseline": value}, bundle)
    assert caught.value.where == "covariate caps5_total_baseline"


@pytest.mark.parametrize("name", ["age", "age_years", "caps5_total", "pcl5_total_screening", "madrs_total_followup"])
def test_scales_are_known_by_name_at_every_visit(name: str) -> None:
    assert range_of_covariate(name) in RANGE_OF_COVARIATE.values()


@pytest.mark.parametrize("name", ["caps5_total_change", "illness_duration_years", "stage", "site"])
def test_other_names_limit_nothing(name: str) -> None:
    assert range_of_covariate(name) == PossibleRange()


def test_ranges_are_not_part_of_a_bundle_so_that_older_ones_have_them_too(bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.plan.covariate_ranges == {"caps5_total_baseline": PossibleRange(0.0, 80.0)}
    assert loaded.digest == bundle.digest or bundle.digest is None


def test_krp_score_says_it_with_the_line_of_the_table(bundle: ModelBundle, tmp_path: Path) -> None:
    features = dict.fromkeys(bundle.feature_names, 0.2)
    header = "\t".join(["participant_id", "caps5_total_baseline", *features])
    line = "\t".join(["sub-01", "400", *(str(value) for value in features.values())])
    (tmp_path / "rows.tsv").write_text(f"{header}\n{line}\n")
    rows = read_feature_rows(tmp_path / "rows.tsv", bundle.covariates)
    with pytest.raises(ValueOutOfRangeError) as caught:
        BundleScorer(bundle).score_rows(rows)
    assert caught.value.where == "line 2, covariate caps5_total_baseline"
