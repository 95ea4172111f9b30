from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.features.extraction import extract_features
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe, region_table_recipe
from predictor.features.run_preparation import run_confounds
from predictor.report.methods_text import Methods, describe_methods
from predictor.report.references import REFERENCES, Citations
from predictor.scan.session import BaselineSession


def _methods(session: BaselineSession, recipe: Recipe, vector: FeatureVector | None = None) -> Methods:
    vector = extract_features(session, recipe) if vector is None else vector
    return describe_methods(session, recipe, vector, {run.name: run_confounds(run, recipe) for run in session.runs})


def _text(methods: Methods) -> str:
    return " ".join(f"{heading}: {said}" for heading, said in methods.paragraphs)


@pytest.fixture(scope="module")
def methods(report_session: BaselineSession, report_recipe: Recipe, report_vector: FeatureVector) -> Methods:
    return _methods(report_session, report_recipe, report_vector)


def test_the_text_names_what_was_really_done(methods: Methods) -> None:
    text = _text(methods)
    assert "rest, 120 volumes of 2 s (4.0 minutes)" in text
    assert "the six head-motion parameters and the mean signals of white matter and CSF" in text
    assert "In rest this departs from the strategy motion24_wm_csf: motion24_wm_csf needs columns" in text
    assert "1 of 120 in rest, 1 of 120 in faces, 1 of 120 in conflict" in text
    assert "band-pass filtered at 0.008 to 0.1 Hz" in text
    assert "20 resamples of blocks of 30 s" in text
    assert "deconvolved seed" in text
    assert "numpy " + np.__version__ in text


def test_every_citation_is_listed_and_nothing_else(methods: Methods) -> None:
    text = _text(methods)
    assert len(methods.references) > 15
    for reference in methods.references:
        assert reference.short in text, reference.short
    uncited = [known for known in REFERENCES.values() if known not in methods.references]
    assert not [reference.short for reference in uncited if f"{reference.short})" in text]


def test_errors_are_said_to_be_left_out_only_where_answers_are_known(
    methods: Methods, report_session: BaselineSession, report_recipe: Recipe
) -> None:
    assert "(the first of a run, errors and those after errors) were modelled but stand in no contrast" in _text(
        methods
    )
    conflict = report_session.runs[2]
    assert conflict.events is not None
    unknown = replace(conflict.events, is_correct=(None,) * len(conflict.events.is_correct))
    recipe = replace(report_recipe, families=("activation_conflict",))
    text = _text(_methods(BaselineSession((replace(conflict, events=unknown),)), recipe))
    assert "the events do not say which answers were right" in text
    assert "stand in no contrast" not in text


@pytest.mark.parametrize(
    ("changed", "said", "unsaid"),
    [
        ({"high_pass_hz": None, "low_pass_hz": None}, "without a filter", "Butterworth"),
        ({"low_pass_hz": None}, "high-pass filtered at 0.008 Hz", "band-pass"),
        ({"low_pass_hz": 0.4}, "high-pass filtered at 0.008 Hz", "0.4"),  # above half the sampling rate of 0.5 Hz
        ({"censor_framewise_displacement_mm": None}, "No volume was censored for head motion", "above 0.5 mm"),
        ({"bootstrap_samples": 0}, "Fisher z", "bootstrap"),
        ({"confound_strategy": "none"}, "No nuisance regressors were used in rest", "head-motion"),
    ],
)
def test_the_text_follows_the_recipe(
    report_session: BaselineSession, report_recipe: Recipe, changed: dict[str, object], said: str, unsaid: str
) -> None:
    recipe = replace(report_recipe, families=("rest_fisher_z",), **changed)  # type: ignore[arg-type]
    text = _text(_methods(BaselineSession(report_session.runs[:1]), recipe))
    assert said in text
    assert unsaid not in text


def test_families_without_a_number_are_not_described_as_done(
    report_session: BaselineSession, report_recipe: Recipe
) -> None:
    text = _text(_methods(BaselineSession(report_session.runs[:1]), replace(report_recipe, bootstrap_samples=0)))
    assert "gPPI" not in text
    assert "psychophysiological" not in text
    assert "Nothing could be computed for activation_faces, gppi_faces, rdcm_faces, activation_conflict" in text
    assert "from the rest run" in text


def test_tables_are_not_described_as_scans(report_session: BaselineSession) -> None:
    run = report_session.runs[0]
    names = run.recording.region_names
    table = replace(run.recording, carpet=np.empty((run.n_volumes, 0), np.float32), mean_image=None)
    text = _text(
        _methods(
            BaselineSession((replace(run, recording=table, notes=("made by XCP-D 26.0.0",)),)),
            region_table_recipe(names),
        )
    )
    assert "Region signals came as tables" in text
    assert "made by XCP-D 26.0.0" in text
    assert "sphere" not in text


def test_citations_are_collected_once_and_sorted() -> None:
    cite = Citations()
    assert cite("power2014", "di2017") == "(Power et al., 2014; Di et al., 2017)"
    cite("di2017")
    assert [reference.short for reference in cite.references] == ["Di et al., 2017", "Power et al., 2014"]


def test_every_reference_has_its_year_and_a_doi_or_a_publisher() -> None:
    for reference in REFERENCES.values():
        assert reference.short[-4:] in reference.full
        assert reference.doi.startswith("10.") or "Wiley" in reference.full or "Advances in" in reference.full
