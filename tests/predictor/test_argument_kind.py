from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import predictor
from predictor.argument_kind import check_kind
from predictor.errors import CircuitError, TableError, UnknownParticipantError, UsageError
from predictor.pipeline import score_features


def test_a_fitting_argument_is_let_through() -> None:
    check_kind(True, int, what="a number")


def test_arguments_that_were_mixed_up_are_named(report_session: Any, report_recipe: Any, bundle: Any) -> None:
    model: Any = predictor
    for call in (
        lambda: model.extract_features(report_recipe, report_session),
        lambda: model.extract_features(report_session, bundle),
        lambda: model.session_quality(report_recipe, report_session),
        lambda: model.score_session("derivatives/fmriprep/sub-01", bundle),
        lambda: model.score_session(report_session, bundle, covariates=[42]),
        lambda: model.read_session("derivatives/fmriprep/sub-01", recipe=bundle),
    ):
        with pytest.raises(UsageError, match=r"expected a .*, found \w+\."):
            call()


def test_a_covariate_without_a_name_is_unknown(person: dict[str, Any], bundle: Any) -> None:
    with pytest.raises(TableError, match="found 1 too"):
        score_features(**{**person, "covariates": {1: 2}}, bundle=bundle)


def test_a_circuit_is_found_by_its_path_as_text() -> None:
    with pytest.raises(CircuitError):
        predictor.load_circuit("no such file.toml")


def test_numbers_and_a_lone_text_are_labels_too(tmp_path: Path) -> None:
    folder = tmp_path / "sub-12" / "func"
    folder.mkdir(parents=True)
    (folder / "sub-12_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz").write_bytes(b"")
    wanted: Any
    for wanted in ([12], "12", "sub-12"):
        (visit,) = predictor.find_visits(tmp_path, participant_labels=wanted)
        assert visit.participant_id == "sub-12"
    with pytest.raises(UnknownParticipantError, match="no participant 1;"):
        predictor.find_visits(tmp_path, participant_labels=[1])  # type: ignore[list-item]
