"""What may leave the house (report, card, TRIPOD+AI table, locked-test page) shows no value of a single person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predictor.model.bundle import ModelBundle
from training.config import CohortConfig, ExperimentConfig
from training.evaluation.conformal import count_covered
from training.evaluation.nested_cv import OutOfFold
from training.experiment import ExperimentResult
from training.locked.drift import feature_drift
from training.locked.locked_cohort import LockedCohort, read_locked_cohort
from training.locked.locked_reference import reference_of
from training.locked.locked_test import answer_all, run_locked_test
from training.locked.openings import FileOpenings
from training.report.cohort_record import cohort_document, data_flow
from training.report.experiment_figures import report_figures
from training.report.experiment_record import ExperimentRecord, config_document, coverage_document
from training.report.experiment_report import report_page
from training.report.figure_frame import DrawnFigure
from training.report.locked_test_page import locked_test_markdown, locked_test_page
from training.report.model_record import subgroups
from training.report.record_facts import limits_of_intervals
from training.training_table import TrainingTable

# Fewer figures agree with somebody's value by chance; that rounded numbers come from aggregates only has its own tests.
FEWEST_FIGURES, FEWEST_DIGITS = 5, 8
NUMBER = re.compile(r"[-−+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def values_of_people(result: ExperimentResult, training_table: TrainingTable) -> set[float]:
    """Return everything that is known or was predicted of one person."""
    inputs = training_table.inputs.select_dtypes("number").to_numpy(dtype=np.float64)
    predicted = [one.predicted for one in result.models]
    found = [inputs, training_table.outcome, training_table.features.values.to_numpy(dtype=np.float64)]
    for one in predicted:
        residual = one.outcome - one.prediction
        found += [one.prediction, one.prediction.mean(axis=0), residual, np.abs(residual), residual.mean(axis=0)]
    found.append(result.benefit.people.select_dtypes("number").to_numpy(dtype=np.float64))
    assert result.bundle is not None
    found += [result.bundle.out_of_fold.prediction, result.bundle.out_of_fold.residual]
    return {float(value) for values in found for value in np.ravel(values) if np.isfinite(value)}


def test_no_number_of_the_report_is_one_of_a_person(page_without_people: str, values_of_people: set[float]) -> None:
    shown = numbers_of_tables(page_without_people)
    assert len(shown) > 100
    assert stand_for_a_person(shown, values_of_people) == []


def test_the_report_is_made_from_aggregates_and_nothing_else(
    result: ExperimentResult,
    page_without_people: str,
    drawn: dict[str, DrawnFigure],
    drawn_without_people: dict[str, DrawnFigure],
) -> None:
    alone = ExperimentRecord(result.record.document, None)
    assert report_page(alone, drawn=drawn_without_people) == page_without_people
    assert report_page(result.record, aggregates_only=True, drawn=drawn) == page_without_people
    figures = report_figures(result.record, aggregates_only=True, drawn=drawn)
    assert figures == report_figures(alone, drawn=drawn_without_people)


def test_no_number_of_card_or_checklist_is_one_of_a_person(
    result: ExperimentResult, values_of_people: set[float]
) -> None:
    bundle = result.bundle
    assert bundle is not None
    told = {*floats_of(bundle.card), *floats_of([dict(row) for row in bundle.tripod_ai])}
    assert len(told) > 50
    assert told & values_of_people == set()
    shown = NUMBER.findall(bundle.card_text) + NUMBER.findall(bundle.tripod_ai_text)
    assert stand_for_a_person(shown, values_of_people) == []


def test_no_number_of_the_locked_test_is_one_of_a_person(locked: ModelBundle, new_people: LockedCohort) -> None:
    document = run(locked, new_people)
    answers = answer_all(locked, new_people)
    # A response probability is a share of the training people, and may equal any other share.
    expected = [
        [arm["expected"], *(arm["interval"][end] for end in ("lower", "upper"))]
        for one in answers.documents
        for arm in one["arms"].values()
    ]
    found = np.repeat(new_people.outcome, 2)
    values = {float(one) for part in (new_people.outcome, answers.inputs, *expected) for one in np.ravel(part)}
    values |= {abs(said - one) for row, one in zip(expected, found, strict=True) for said in row}
    told = set(floats_of(document))
    assert len(told) > 50
    assert told & values == set()
    shown = numbers_of_tables(locked_test_page(document)) + NUMBER.findall(locked_test_markdown(document))
    assert stand_for_a_person(shown, values) == []


@pytest.mark.parametrize("n_few", [1, 4])
def test_a_few_people_of_no_known_level_are_not_given_away_by_the_others(
    training_table: TrainingTable, n_few: int
) -> None:
    rng = np.random.default_rng(2)
    outcome, shape = rng.normal(20, 10, 60), (1, 60)
    predicted = OutOfFold(outcome, rng.normal(20, 5, shape), np.full(shape, 20.0), np.zeros(shape, dtype=np.intp), ())
    sex = [""] * n_few + ["female", "male"] * 30
    found = [one for one in subgroups(predicted, training_table, {"sex": sex[:60]}) if one["column"] == "sex"]
    assert [one["mae"] for one in found] == [None, None]
    assert all("withheld" in one for one in found)
    unknown = [""] * 6 + ["female", "male"] * 27
    found = [one for one in subgroups(predicted, training_table, {"sex": unknown}) if one["column"] == "sex"]
    assert all(one["mae"] is not None for one in found)


def test_mean_and_spread_of_two_ages_are_not_told(training_table: TrainingTable, config: ExperimentConfig) -> None:
    inputs = training_table.inputs.copy()
    inputs.loc[inputs.index[2:], "age"] = np.nan
    assert cohort_document(replace(training_table, inputs=inputs), config)["age"] is None


def test_people_who_are_named_one_by_one_in_the_experiment_file_are_only_counted(
    training_table: TrainingTable, config: ExperimentConfig, result: ExperimentResult
) -> None:
    included = {"participant_id": ["sub-00", "sub-01"], "group": "patient"}
    naming = replace(config, cohort=replace(config.cohort, include=included))
    shown = [config_document(naming), data_flow(training_table, naming, result.manifest)]
    assert "sub-0" not in repr(shown)
    assert repr(shown).count("one of 2 named in the file") == 2
    assert "group = patient" in repr(shown)


def test_the_share_of_an_arm_of_a_few_people_is_not_told() -> None:
    outcome = np.zeros(24)
    ends = np.column_stack([np.full(24, -1.0), np.ones(24)])
    ends[0] = [1.0, 2.0]
    coverage = count_covered(outcome, ends, arms=["a"] * 2 + ["b"] * 22)
    assert coverage_document(coverage)["by_arm"] == {}
    assert not [line for line in limits_of_intervals(coverage) if "arm" in line]


def test_the_share_outside_the_range_needs_more_than_a_few_values(complete_bundle: ModelBundle) -> None:
    mean = complete_bundle.training_range.mean
    inputs = np.full((30, len(mean)), np.nan)
    inputs[0] = mean
    found = feature_drift(inputs, complete_bundle, reference_of(complete_bundle).quantiles)
    assert {one.outside_range for one in found.inputs} == {None}


def test_leaving_out_one_of_a_pair_does_not_show_that_persons_error(
    locked: ModelBundle, new_people: LockedCohort
) -> None:
    few = run(locked, replace(new_people, same_pairs=((4, 5),)))
    assert set(few["without_duplicates"]) == {"n", "not_reported"}
    assert "fewer than 5 people were left out" in locked_test_page(few)
    pairs = tuple((row, row + 1) for row in range(0, 10, 2))
    assert run(locked, replace(new_people, same_pairs=pairs))["without_duplicates"]["r2"] < 1


def test_one_small_arm_hides_the_shares_of_all_arms(locked: ModelBundle, new_people: LockedCohort) -> None:
    known = new_people.known.assign(arm=["ketamine"] * 3 + ["midazolam"] * 57)
    coverage = run(locked, replace(new_people, known=known))["coverage"]
    assert all("not_reported" in one for one in coverage["by_arm"].values())


@pytest.fixture
def locked(complete_bundle: ModelBundle) -> ModelBundle:
    """Return the locked model."""
    return replace(complete_bundle, digest="sha256:" + "d" * 64)


@pytest.fixture
def new_people(locked: ModelBundle, write_people: Callable[..., Path]) -> LockedCohort:
    """Return people whom the model has not seen."""
    folder = write_people()
    config = CohortConfig(str(folder / "people.tsv"), str(folder / "participants.tsv"))
    return read_locked_cohort(config, locked, name="new people")


@pytest.fixture(autouse=True)
def own_openings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write openings down in the test's own folder."""
    monkeypatch.chdir(tmp_path)


def run(bundle: ModelBundle, cohort: LockedCohort) -> dict[str, Any]:
    openings = FileOpenings.beside(Path.cwd() / f"bundle-{len(cohort.same_pairs)}")
    return run_locked_test(bundle, cohort, openings, label="small-model/1", trained_on=None, n_permutations=99)


def numbers_of_tables(page: str) -> list[str]:
    """Return the numbers in cells of tables, in sentences and in points of lists; drawings have coordinates."""
    without_drawings = re.sub(r"<(svg|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return NUMBER.findall(unescape(re.sub(r"<[^>]*>", " ", without_drawings)))


def stand_for_a_person(shown: list[str], values: set[float]) -> list[str]:
    """Return the numbers that are somebody's value, as far as they are written out."""
    known = pd.Series(sorted(values))
    found = []
    for text in shown:
        plain = text.replace("−", "-").replace(",", "")
        figures = len(re.sub(r"e.*|\D", "", plain).lstrip("0"))
        if figures < FEWEST_FIGURES or plain.count(".") != 1 or not plain[-1].isdigit():
            continue
        step = 0.5 * 10.0 ** -len(plain.partition("e")[0].partition(".")[2])
        if ((known - float(plain)).abs() <= step).any():
            found.append(text)
    return found


def floats_of(value: Any) -> Iterator[float]:
    """Yield every number with many digits: 0.9, say, is a level, a threshold, or chance."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from floats_of(one)
    elif isinstance(value, float) and len(repr(value)) >= FEWEST_DIGITS:
        yield value
