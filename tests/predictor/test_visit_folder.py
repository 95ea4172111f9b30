from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import predictor
from predictor.errors import SessionError, UnknownParticipantError
from predictor.scan.session import read_visit
from predictor.visit_folder import split_visit_folder
from training.simulation.dataset import simulate_dataset
from training.simulation.trial import TrialPlan

RECIPE = replace(predictor.default_recipe(), families=("rest_fisher_z",), bootstrap_samples=0)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial") / "trial"
    simulate_dataset(folder, TrialPlan(n_patients=2, n_controls=0, seed=5), n_jobs=1)
    return folder


def test_a_visit_can_be_named_by_its_folder_by_its_dataset_or_as_found(trial: Path) -> None:
    [first, _] = predictor.find_visits(str(trial))
    ways = (
        predictor.read_session(trial, participant="001"),
        predictor.read_session(str(trial / "derivatives" / "fmriprep" / "sub-001"), bids_dir=str(trial)),
        predictor.read_session(first),
        read_visit(first, RECIPE.circuit, RECIPE.tasks),
    )
    assert len({way.input_digest for way in ways}) == 1
    assert [run.name for run in ways[0].runs] == ["rest", "faces", "conflict"]
    assert all(run.events is not None for run in ways[0].runs[1:])


def test_several_people_in_a_folder_are_not_guessed_between(trial: Path) -> None:
    with pytest.raises(SessionError, match="expected one person, found 2") as caught:
        predictor.read_session(trial)
    assert "participant=" in caught.value.remedy


def test_someone_who_is_not_there_is_named(trial: Path) -> None:
    with pytest.raises(UnknownParticipantError):
        predictor.read_session(trial, participant="sub-099")


def test_features_of_a_visit_come_as_pandas(trial: Path) -> None:
    session = predictor.read_session(trial, participant="sub-002", recipe=RECIPE)
    vector = predictor.extract_features(session, RECIPE)
    series, table = vector.to_series(), vector.to_frame()
    assert series.to_dict() == pytest.approx(vector.by_name())
    assert table["value"].equals(series)
    assert list(table.columns[:3]) == ["value", "standard_error", "unit"]
    assert set(table["missing_reason"]) == {None}
    series.iloc[0] = 99.0  # a copy: the vector stays as it was measured
    assert vector.to_series().iloc[0] != 99.0


def test_found_visits_show_no_path(trial: Path) -> None:
    [first, second] = predictor.find_visits(trial)
    assert repr(first) == "VisitFiles(sub-001: rest, faces, conflict)"
    assert str(trial) not in second._repr_html_()


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("out/sub-1/ses-2", ("sub-1", "ses-2")), ("out/sub-1", ("sub-1", None)), ("out", (None, None))],
)
def test_a_visits_folder_says_whose_visit_it_is(folder: str, expected: tuple[str | None, str | None]) -> None:
    root, *found = split_visit_folder(Path(folder))
    assert tuple(found) == expected
    assert root.name == "out"
