from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.errors import TrainingError, UnseenSiteError
from training.config import ExperimentConfig, HarmonizationConfig
from training.evaluation.splits import GROUP_COLUMN
from training.experiment_folds import make_manifest, make_partitions
from training.final_model import bundle_partition
from training.models.site_harmonization import make_harmonization
from training.training_table import TrainingTable


def with_scheme(config: ExperimentConfig, scheme: str, **more: object) -> ExperimentConfig:
    return replace(config, validation=replace(config.validation, scheme=scheme, **more))


def in_pairs(table: TrainingTable) -> TrainingTable:
    """Pairs of one ketamine and one midazolam patient."""
    groups = tuple(f"family {row // 2}" for row in range(len(table.outcome)))
    return replace(table, groups=groups, inputs=table.inputs.assign(**{GROUP_COLUMN: list(groups)}))


def test_every_repeat_is_balanced_over_arms(training_table: TrainingTable, config: ExperimentConfig) -> None:
    manifest = make_manifest(training_table, config)
    is_ketamine = np.asarray(training_table.arms) == "ketamine"
    assert manifest.partitions.shape == (2, 60)
    for folds in manifest.partitions:
        assert np.ptp(np.bincount(folds[is_ketamine])) <= 1


def test_leaving_sites_out_has_one_repeat_with_a_fold_per_site(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    (folds,) = make_partitions(training_table, with_scheme(config, "leave_one_site_out"))
    assert [{site} for site in np.unique(training_table.sites)] == [
        set(np.asarray(training_table.sites)[folds == fold]) for fold in (0, 1)
    ]


@pytest.mark.parametrize(("scheme", "n_folds"), [("repeated_kfold", 5), ("leave_one_out", 30)])
def test_families_are_never_split_in_any_scheme(
    training_table: TrainingTable, config: ExperimentConfig, scheme: str, n_folds: int
) -> None:
    manifest = make_manifest(in_pairs(training_table), with_scheme(config, scheme))
    assert manifest.document()["n_folds"] == [n_folds] * len(manifest.partitions)
    assert manifest.document()["n_groups"] == 30
    for folds in (*manifest.partitions, bundle_partition(in_pairs(training_table), config)):
        assert np.array_equal(folds[::2], folds[1::2])


def test_a_family_at_two_sites_cannot_be_left_out_with_one_of_them(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    with pytest.raises(TrainingError, match="groups are split over folds"):
        make_manifest(in_pairs(training_table), with_scheme(config, "leave_one_site_out"))


def test_fewer_people_than_folds_are_refused(training_table: TrainingTable, config: ExperimentConfig) -> None:
    with pytest.raises(TrainingError, match="60 participants for 61 folds"):
        make_manifest(training_table, with_scheme(config, "repeated_kfold", n_folds=61))


def test_an_arm_of_one_site_only_cannot_be_learned_from_the_other(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    sites = np.where(np.asarray(training_table.arms) == "ketamine", "a", "b")
    confounded = replace(training_table, inputs=training_table.inputs.assign(site=sites.astype(object)))
    with pytest.raises(TrainingError, match="nobody is left in arm ketamine"):
        make_manifest(confounded, with_scheme(config, "leave_one_site_out"))


def test_the_same_seed_gives_the_same_folds(training_table: TrainingTable, config: ExperimentConfig) -> None:
    digests = [make_manifest(training_table, config).digest for _ in range(2)]
    other = make_manifest(training_table, with_scheme(config, "repeated_kfold", seed=1)).digest
    assert digests[0] == digests[1] != other


def test_too_few_training_people_for_the_inner_folds_are_refused(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    with pytest.raises(TrainingError, match="48 participants for 49 folds"):
        make_manifest(training_table, with_scheme(config, "repeated_kfold", inner_folds=49))


def test_a_feature_that_only_held_out_people_have_is_named_with_them(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    name = training_table.definitions[2].name
    sparse = training_table.inputs.copy()
    sparse.loc[sparse.index != "sub-05", name] = np.nan
    with pytest.raises(TrainingError, match=f"without sub-05, nobody has a value of {name}"):
        make_manifest(replace(training_table, inputs=sparse), with_scheme(config, "leave_one_out"))


def test_a_feature_that_tuning_could_not_see_is_named_before_anything_is_fitted(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    name = training_table.definitions[2].name
    sparse = training_table.inputs.copy()
    sparse.loc[~sparse.index.isin(["sub-05", "sub-06"]), name] = np.nan
    leave_two_out = with_scheme(config, "leave_one_out", inner_folds="leave_one_out")
    with pytest.raises(TrainingError, match=f"without sub-05, sub-06, nobody has a value of {name}"):
        make_manifest(replace(training_table, inputs=sparse), leave_two_out)


def test_a_feature_that_redrawn_folds_could_lack_is_refused_where_permutations_redraw_them(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    name = training_table.definitions[2].name
    sparse = training_table.inputs.copy()
    sparse.loc[sparse.index[::5], name] = np.nan  # 48 know it: fine
    table = replace(training_table, inputs=sparse)
    make_manifest(table, with_scheme(config, "repeated_kfold", n_permutations=9))
    sparse.loc[sparse.index[12:], name] = np.nan  # 9 of 60, spread over the folds of this seed
    with pytest.raises(TrainingError, match=f"only 9 have a value of {name}"):
        make_manifest(table, with_scheme(config, "repeated_kfold", n_permutations=9))
    make_manifest(table, with_scheme(config, "repeated_kfold", n_permutations=0))


def harmonised(table: TrainingTable, sites: list[str], **policy: str) -> TrainingTable:
    inputs = table.inputs.assign(site=np.array(sites, dtype=object))
    covariates = tuple(
        replace(one, levels=tuple(sorted(set(sites)))) if one.role == "site" else one for one in table.covariates
    )
    step = make_harmonization(
        HarmonizationConfig(**policy), inputs, covariates=covariates, definitions=table.definitions
    )
    return replace(table, inputs=inputs, covariates=covariates, harmonization=step)


def test_folds_are_balanced_over_sites_where_their_effects_are_taken_out(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    sites = ["far" if number % 6 < 2 and number < 36 else "near" for number in range(60)]  # 12 people, 6 of each arm
    table = harmonised(training_table, sites)
    is_far = np.array(sites) == "far"
    for folds in make_partitions(table, with_scheme(config, "repeated_kfold", n_folds=6)):
        assert list(np.bincount(folds[is_far])) == [2] * 6
    assert (
        list(np.bincount(bundle_partition(table, with_scheme(config, "repeated_kfold", n_folds=6))[is_far])) == [2] * 6
    )


def test_what_harmonisation_will_refuse_is_said_before_anything_is_fitted(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    lonely = harmonised(training_table, ["lonely", "lonely", "lonely", *["here", "there"] * 28, "here"])
    with pytest.raises(TrainingError, match="3 training people at every site; fewer are from lonely"):
        make_manifest(lonely, config)
    strict = harmonised(training_table, ["here", "here", "there", "there"] * 15, unseen_site="refuse")
    with pytest.raises(UnseenSiteError):
        make_manifest(strict, with_scheme(config, "leave_one_site_out"))


def test_permutations_that_cannot_move_anyone_are_refused_before_anything_is_fitted(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    inputs = training_table.inputs.assign(site=[f"site {number}" for number in range(60)])
    levels = tuple(inputs["site"])
    covariates = tuple(replace(c, levels=levels) if c.role == "site" else c for c in training_table.covariates)
    table = replace(training_table, inputs=inputs, covariates=covariates)
    with pytest.raises(TrainingError, match="nothing can be permuted"):
        make_manifest(table, config)
    make_manifest(table, with_scheme(config, "repeated_kfold", n_permutations=0))
