from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import (
    DuplicateParticipantError,
    PredictorError,
    RowMismatchError,
    SessionError,
    TableError,
    UsageError,
)
from predictor.features.extraction import extract_features
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe, region_table_recipe
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run
from training.extraction.feature_table import (
    FeatureTable,
    extract_cohort,
    extract_visit,
    gather_table,
    read_feature_table,
)
from training.extraction.visit_result import result_path
from training.output_files import write_atomically

REGIONS = ("amygdala_L", "amygdala_R", "vmPFC", "dACC")
RECIPE = region_table_recipe(REGIONS)


@dataclass(frozen=True)
class _Visit:
    """Visit out of thin air; an odd seed is a visit that cannot be read."""

    participant_id: str
    seed: int
    session_id: str | None = None
    repetition_time_s: float | None = None
    input_files: tuple[Path, ...] = ()

    def read(self, recipe: Recipe) -> BaselineSession:
        if self.seed % 2:
            raise RowMismatchError(198, 200, where="rest_confounds")
        bold = 100 + np.random.default_rng(self.seed).standard_normal((80, 4))
        unknown = np.full(4, np.nan)
        recording = RegionRecording(
            REGIONS,
            bold,
            unknown,
            unknown,
            np.empty((80, 0), np.float32),
            self.repetition_time_s,
            "table",
            f"sha256:{self.seed}",
        )
        run = build_run(
            "rest", recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None,
            tasks=recipe.tasks,
        )  # fmt: skip
        return BaselineSession((run,))


VISITS = tuple(_Visit(f"sub-{number:02d}", 2 * number) for number in range(1, 5))


def test_gathered_floats_are_exactly_the_extracted_ones(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    table = gather_table(tmp_path)
    for visit in VISITS:
        vector = extract_features(visit.read(RECIPE), RECIPE)
        assert np.array_equal(table.values.loc[visit.participant_id].to_numpy(), vector.values)
    assert tuple(table.values) == vector.names
    assert table.definitions == vector.definitions
    assert table.recipe == RECIPE
    assert set(table.recipe_hashes) == {RECIPE.recipe_hash}
    assert list(table.quality.index) == list(table.values.index)


def test_standard_errors_and_halves_stand_beside_the_values(tmp_path: Path) -> None:
    timed = replace(RECIPE, bootstrap_samples=50)
    visits = [replace(visit, repetition_time_s=2.0) for visit in VISITS]
    extract_cohort(visits, timed, tmp_path, n_jobs=1)
    table = gather_table(tmp_path)
    for visit in visits:
        vector = extract_features(visit.read(timed), timed, halves=True)
        assert np.array_equal(table.standard_errors.loc[visit.participant_id].to_numpy(), vector.standard_errors)
        document = json.loads(result_path(tmp_path, visit.participant_id).read_text())
        assert document["first_half"] == vector.halves_by_name()[0]
        assert document["standard_errors"] == vector.standard_errors_by_name()
    assert (table.standard_errors.to_numpy() > 0).all()
    header, errors_header = (
        (tmp_path / name).read_text().splitlines()[0] for name in ("features.tsv", "standard_errors.tsv")
    )
    assert header == errors_header
    reliability = pd.read_csv(tmp_path / "reliability.tsv", sep="\t")
    assert reliability["feature"].tolist() == list(table.values)
    assert set(json.loads((tmp_path / "reliability.json").read_text())) == set(reliability)
    sidecar = json.loads((tmp_path / "features.json").read_text())
    edge = sidecar["rest_partial__amygdala_L__vmPFC"]
    assert (edge["Source"], edge["Units"]) == ("rest", "fisher_z")
    assert "bootstrap" in edge["StandardError"]
    assert set(header.split("\t")) == set(sidecar)


def test_a_table_without_standard_errors_has_unknown_ones(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    with_file = gather_table(tmp_path)
    (tmp_path / "standard_errors.tsv").unlink()
    without = read_feature_table(tmp_path)
    assert without.standard_errors.isna().all().all()
    assert without.standard_errors.shape == without.values.shape
    assert without.digest != with_file.digest


def test_standard_errors_of_other_people_are_refused(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    gather_table(tmp_path)
    path = tmp_path / "standard_errors.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(TableError) as caught:
        read_feature_table(tmp_path)
    assert caught.value.where == "standard_errors.tsv"


def test_results_and_recipes_of_an_older_version_are_made_anew_and_not_crashed_on(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    for visit in VISITS:
        path = result_path(tmp_path, visit.participant_id)
        document = json.loads(path.read_text())
        for key in ("standard_errors", "first_half", "second_half", "designs"):
            del document[key]
        path.write_text(json.dumps(document))
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    del recipe["bootstrap_samples"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(TableError, match="bootstrap_samples") as caught:
        gather_table(tmp_path)
    assert "krp extract" in caught.value.remedy
    assert len(extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1).extracted) == len(VISITS)
    assert len(gather_table(tmp_path).values) == len(VISITS)


def test_number_of_processes_changes_no_byte(tmp_path: Path) -> None:
    for n_jobs in (1, 2):
        extract_cohort(VISITS, RECIPE, tmp_path / str(n_jobs), n_jobs=n_jobs)
        gather_table(tmp_path / str(n_jobs))
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / n_jobs).rglob("*") if path.is_file()}
        for n_jobs in ("1", "2")
    )
    assert one == two
    assert len(one) == 4 + 8


def test_what_is_done_is_skipped_unless_recipe_or_wish_say_otherwise(tmp_path: Path) -> None:
    assert len(extract_cohort(VISITS[:2], RECIPE, tmp_path, n_jobs=1).extracted) == 2
    again = extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    assert again.skipped == ("sub-01", "sub-02")
    assert again.extracted == ("sub-03", "sub-04")
    assert len(extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1, force=True).extracted) == 4
    other = replace(RECIPE, families=("rest_fisher_z",))
    assert len(extract_cohort(VISITS, other, tmp_path, n_jobs=1).extracted) == 4


def test_half_written_result_is_computed_again(tmp_path: Path) -> None:
    extract_cohort(VISITS[:1], RECIPE, tmp_path, n_jobs=1)
    path = result_path(tmp_path, "sub-01")
    path.write_text(path.read_text()[:100])
    assert extract_cohort(VISITS[:1], RECIPE, tmp_path, n_jobs=1).extracted == ("sub-01",)
    assert json.loads(path.read_text())["participant_id"] == "sub-01"


def test_visit_that_fails_is_named_and_stops_nobody(tmp_path: Path) -> None:
    visits = (_Visit("sub-01", 2), _Visit("sub-02", 3), _Visit("sub-03", 4))
    summary = extract_cohort(visits, RECIPE, tmp_path, n_jobs=2)
    assert summary.extracted == ("sub-01", "sub-03")
    (failure,) = summary.failed
    assert (failure.participant_id, failure.code) == ("sub-02", "confounds-row-mismatch")
    error = failure.as_error()
    assert error.code == "confounds-row-mismatch"
    assert error.where == "sub-02, rest_confounds"
    assert "dummy scans" in error.remedy
    assert PredictorError.code == "predictor-error"
    assert list(gather_table(tmp_path).values.index) == ["sub-01", "sub-03"]


def test_failed_visit_leaves_no_result_of_an_earlier_time(tmp_path: Path) -> None:
    extract_cohort([_Visit("sub-01", 2)], RECIPE, tmp_path, n_jobs=1)
    extract_cohort([_Visit("sub-01", 3)], RECIPE, tmp_path, n_jobs=1, force=True)
    assert not result_path(tmp_path, "sub-01").exists()


def test_results_of_two_recipes_make_no_table(tmp_path: Path) -> None:
    extract_cohort(VISITS[:2], RECIPE, tmp_path, n_jobs=1)
    extract_cohort(VISITS[2:], replace(RECIPE, families=("rest_fisher_z",)), tmp_path, n_jobs=1)
    with pytest.raises(TableError, match=r"2 participants in it have results of another recipe: sub-01, sub-02"):
        gather_table(tmp_path)


def test_a_table_beside_the_recipe_of_a_later_extraction_is_refused(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    gather_table(tmp_path)
    other = replace(RECIPE, censor_framewise_displacement_mm=0.9)
    extract_cohort(VISITS[:1], other, tmp_path, n_jobs=1)
    with pytest.raises(TableError, match=r"another recipe than recipe\.json") as caught:
        read_feature_table(tmp_path / "features.tsv")  # a model of it would measure scans in another way
    assert caught.value.where == "features.tsv"


def test_nothing_to_gather_is_said(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="found none"):
        gather_table(tmp_path)


def test_missing_features_are_missing_with_their_reason_on_disk(tmp_path: Path) -> None:
    recipe = replace(RECIPE, minimum_volumes=500)
    extract_cohort(VISITS[:1], recipe, tmp_path, n_jobs=1)
    assert gather_table(tmp_path).values.isna().all().all()
    document = json.loads(result_path(tmp_path, "sub-01").read_text())
    assert all("500 are needed" in reason for reason in document["missing_reasons"].values())
    assert len(document["missing_reasons"]) == len(document["values"]) == 6


def test_ready_table_has_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "ready.csv").write_text("participant_id,rest_fisher_z__a__b\nsub-1,0.25\nsub-2,n/a\n")
    table = read_feature_table(tmp_path / "ready.csv")
    assert table.recipe is None
    assert table.recipe_hashes.isna().all()
    assert table.values["rest_fisher_z__a__b"].tolist()[0] == 0.25


def test_folder_of_matrices_is_a_table_too(tmp_path: Path) -> None:
    for name, value in (("sub-1", 0.5), ("sub-2", 0.25)):
        (tmp_path / f"{name}.csv").write_text(f"a,b\n1,{value}\n{value},1\n")
    assert read_feature_table(tmp_path).values["ready__a__b"].tolist() == [0.5, 0.25]


def test_digest_follows_the_numbers(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    digest = gather_table(tmp_path).digest
    assert digest == read_feature_table(tmp_path).digest
    extract_cohort([_Visit("sub-01", 20)], RECIPE, tmp_path, n_jobs=1, force=True)
    assert gather_table(tmp_path).digest != digest


def test_damaged_side_cars_are_named(tmp_path: Path) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    gather_table(tmp_path)
    (tmp_path / "features.json").write_text("{")
    with pytest.raises(TableError) as caught:
        read_feature_table(tmp_path / "features.tsv")
    assert caught.value.where == "features.json"


def test_table_of_someone_twice_cannot_be_built() -> None:
    index = pd.Index(["sub-1", "sub-1"], name="participant_id")
    definition = FeatureDefinition("x", "", "ready", "ready", "", "")
    values, hashes = pd.DataFrame({"x": [1.0, 2.0]}, index=index), pd.Series(None, index=index, dtype=object)
    with pytest.raises(DuplicateParticipantError):
        FeatureTable(values, (definition,), None, hashes, pd.DataFrame(index=index), "sha256:0", values)


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match=r"a\.json|cannot be written"):
        write_atomically(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("damage", ["recipe hash only", "another person", "a feature is text", "a feature is gone"])
def test_a_damaged_result_is_extracted_again_and_never_gathered(tmp_path: Path, damage: str) -> None:
    extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    path = result_path(tmp_path, "sub-02")
    document = json.loads(path.read_text())
    name = next(iter(document["values"]))
    if damage == "recipe hash only":
        document = {"recipe_hash": document["recipe_hash"]}
    elif damage == "another person":
        document["participant_id"] = "sub-01"
    elif damage == "a feature is text":
        document["values"][name] = "high"
    else:
        del document["values"][name]
    path.write_text(json.dumps(document))
    with pytest.raises(TableError):
        gather_table(tmp_path)
    assert extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1).extracted == ("sub-02",)
    assert len(gather_table(tmp_path).values) == 4


def test_a_result_older_than_its_scan_is_made_anew(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"")
    visits = [replace(visit, input_files=(scan,)) for visit in VISITS[:2]]
    out = tmp_path / "out"
    extract_cohort(visits, RECIPE, out, n_jobs=1)
    assert extract_cohort(visits, RECIPE, out, n_jobs=1).extracted == ()
    later = result_path(out, "sub-01").stat().st_mtime + 60
    os.utime(result_path(out, "sub-02"), (later, later))
    os.utime(scan, (later - 30, later - 30))
    assert extract_cohort(visits, RECIPE, out, n_jobs=1).extracted == ("sub-01",)


def test_a_result_made_of_other_files_is_made_anew_however_old_they_are(tmp_path: Path) -> None:
    """Events added later, another session, a scan replaced by a copy that kept its date, scans that are gone."""
    out, events, scan = tmp_path / "out", tmp_path / "events.tsv", tmp_path / "scan.nii.gz"
    scan.write_bytes(b"scan")
    events.write_bytes(b"")
    for path in (scan, events):
        os.utime(path, (1, 1))
    visit, again = replace(VISITS[0], input_files=(scan,)), ("sub-01",)
    assert extract_cohort([visit], RECIPE, out, n_jobs=1).extracted == again
    assert extract_cohort([visit], RECIPE, out, n_jobs=1).skipped == again
    with_events = replace(visit, input_files=(scan, events))
    assert extract_cohort([with_events], RECIPE, out, n_jobs=1).extracted == again
    scan.write_bytes(b"another scan")
    os.utime(scan, (1, 1))
    assert extract_cohort([with_events], RECIPE, out, n_jobs=1).extracted == again
    without = replace(with_events, seed=3, input_files=())  # cannot be read any more
    assert [failure.participant_id for failure in extract_cohort([without], RECIPE, out, n_jobs=1).failed] == ["sub-01"]


def test_events_that_a_later_call_does_not_look_for_are_no_reason_to_lose_them(tmp_path: Path) -> None:
    """`participant --bids-dir RAW`, then `group` without it: the tasks' features must not be given up in silence."""
    out, events, scan = tmp_path / "out", tmp_path / "sub-01_task-faces_events.tsv", tmp_path / "scan.nii.gz"
    for path in (scan, events):
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    extract_cohort([replace(VISITS[0], input_files=(scan, events))], RECIPE, out, n_jobs=1)
    assert extract_cohort([replace(VISITS[0], input_files=(scan,))], RECIPE, out, n_jobs=1).skipped == ("sub-01",)
    assert extract_cohort([replace(VISITS[0], input_files=(events,))], RECIPE, out, n_jobs=1).extracted == ("sub-01",)


def test_a_file_where_a_person_s_folder_should_be_stops_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "sub-02").write_text("in the way")
    summary = extract_cohort(VISITS, RECIPE, tmp_path, n_jobs=1)
    assert [failure.participant_id for failure in summary.failed] == ["sub-02"]
    assert len(summary.extracted) == 3


def test_a_failed_visit_leaves_no_empty_folder(tmp_path: Path) -> None:
    extract_cohort([_Visit("sub-09", 1)], RECIPE, tmp_path, n_jobs=1)
    assert not (tmp_path / "sub-09").exists()


def test_force_forgets_first_so_that_an_interrupted_run_can_be_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract_cohort(VISITS[:2], RECIPE, tmp_path, n_jobs=1)
    read = _Visit.read

    def interrupted(visit: _Visit, recipe: Recipe) -> BaselineSession:
        if visit.participant_id == "sub-02":
            raise KeyboardInterrupt
        return read(visit, recipe)

    monkeypatch.setattr(_Visit, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_cohort(VISITS[:2], RECIPE, tmp_path, n_jobs=1, force=True)
    monkeypatch.undo()
    assert extract_cohort(VISITS[:2], RECIPE, tmp_path, n_jobs=1).extracted == ("sub-02",)


def test_what_stands_in_the_folder_already_is_not_written_again(tmp_path: Path) -> None:
    extract_cohort(VISITS[:1], RECIPE, tmp_path, n_jobs=1)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir() if path.is_file()}
    extract_cohort(VISITS[1:], RECIPE, tmp_path, n_jobs=1)
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_folder_that_this_machine_does_not_see_is_named_and_not_made(tmp_path: Path) -> None:
    failure = extract_visit(VISITS[0], RECIPE, tmp_path / "elsewhere")
    assert failure is not None
    assert "all machines share" in failure.remedy
    assert not (tmp_path / "elsewhere").exists()
