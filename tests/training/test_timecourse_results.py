from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from predictor.errors import DuplicateParticipantError, ValueOutOfRangeError
from predictor.features.recipe import region_table_recipe
from training.extraction.feature_table import read_feature_table
from training.timecourse.analysis import TimecourseResult, analyse
from training.timecourse.cohort import TimecourseCohort
from training.timecourse.figure import mean_changes, p_in_words, timecourse_figure
from training.timecourse.result_files import COLUMNS, write_results
from training.timecourse.summary import summary_text
from training.timecourse.window_plan import load_window_plan

PLAN = load_window_plan()
RECIPE = region_table_recipe(PLAN.region_names)
NAMES = tuple(f"sub-{number:02d}" for number in range(1, 17))


def make_result(rng: np.random.Generator, *, effect: float = -1.0) -> TimecourseResult:
    """Sixteen people; the first pair falls in the treated at 10-20, one person lacks that window."""
    is_treated = np.arange(16) < 8
    fisher_z = 0.3 + 0.15 * rng.standard_normal((16, 5, 6))
    fisher_z[is_treated, 2, 0] += effect
    fisher_z[4, 2] = np.nan
    missing: list[dict[tuple[int, int], str]] = [{} for _ in NAMES]
    missing[4] = {(2, edge): "only 20 of 300 volumes" for edge in range(6)}
    cohort = TimecourseCohort(
        participant_ids=NAMES,
        arms=("ketamine", "midazolam"),
        is_treated=is_treated,
        fisher_z=fisher_z,
        n_volumes=np.full((16, 5), 300),
        missing=tuple(missing),
        input_digests=tuple(f"sha256:{name}" for name in NAMES),
        dissociation=np.where(is_treated, 30.0, 5.0) + rng.standard_normal(16),
        dissociation_column="cadss",
        left_out={"sub-17": "has no arm", "sub-18": "has no arm"},
    )
    return analyse(cohort, PLAN, n_permutations=999, seed=1)


@pytest.fixture(scope="module")
def result() -> TimecourseResult:
    return make_result(np.random.default_rng(2))


@pytest.fixture(scope="module")
def out(result: TimecourseResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, result, RECIPE, is_synthetic=True)
    return folder


def test_long_table_holds_everyones_windows_and_why_one_is_missing(result: TimecourseResult, out: Path) -> None:
    table = pd.read_csv(out / "timecourse.tsv", sep="\t")
    assert len(table) == 16 * 5 * 6
    row = table[(table.participant_id == "sub-03") & (table.edge == "amygdala_R__dmPFC") & (table.window == "20-30")]
    z = result.cohort.fisher_z
    assert row["fisher_z"].item() == z[2, 3, 4]
    assert row["change_from_baseline"].item() == z[2, 3, 4] - z[2, 0, 4]
    assert row["arm"].item() == "ketamine"
    lost = table[table["fisher_z"].isna()]
    assert set(lost["participant_id"]) == {"sub-05"}
    assert set(lost["reason"]) == {"only 20 of 300 volumes"}
    assert table.loc[table["fisher_z"].notna(), "reason"].isna().all()


def test_result_tables_agree_with_each_other_and_with_the_data(result: TimecourseResult, out: Path) -> None:
    windows = pd.read_csv(out / "results.tsv", sep="\t").set_index(["edge", "window"])
    first = windows.loc[("amygdala_L__vmPFC", "10-20")]
    changes = result.cohort.changes[:, 1, 0]
    assert (first["n_treated"], first["n_other"]) == (7, 8)
    assert first["mean_change_treated"] == pytest.approx(np.nanmean(changes[:8]))
    assert first["difference"] == pytest.approx(np.nanmean(changes[:8]) - np.nanmean(changes[8:]))
    assert first["p_family_wise"] == pytest.approx(0.001)
    assert first["model_lower"] < first["model_estimate"] < first["model_upper"] < 0
    edges = pd.read_csv(out / "results_edges.tsv", sep="\t").set_index("edge")
    smallest = windows["p_family_wise"].groupby("edge").min()
    assert edges["p_family_wise"].to_dict() == pytest.approx(smallest.to_dict())
    dissociation = pd.read_csv(out / "results_dissociation.tsv", sep="\t")
    assert list(dissociation["scope"].unique()) == ["treated arm", "all", "all, within arms"]
    assert len(dissociation) == 18


def test_document_says_that_it_is_an_analysis_and_explains_every_column(out: Path) -> None:
    document = json.loads((out / "results.json").read_text())
    assert document["kind"] == "analysis"
    assert document["is_predictor"] is False
    assert document["is_synthetic"] is True
    assert document["left_out"] == {"sub-17": "has no arm", "sub-18": "has no arm"}
    assert document["recipe_hash"] == RECIPE.recipe_hash
    assert document["plan"] == PLAN.document()
    columns = {name for key in ("windows", "edges", "dissociation") for name in document[key][0]}
    columns |= set(pd.read_csv(out / "timecourse.tsv", sep="\t").columns) - {"participant_id", "arm"}
    assert columns <= set(COLUMNS)
    assert "synthetic" in json.loads((out / "dataset_description.json").read_text())["Name"]


def test_what_comes_out_cannot_be_trained_on(out: Path) -> None:
    with pytest.raises(ValueOutOfRangeError, match="column arm"):
        read_feature_table(out / "timecourse.tsv")


def test_not_even_its_numbers_can_be_trained_on(out: Path, tmp_path: Path) -> None:
    numbers = pd.read_csv(out / "timecourse.tsv", sep="\t").drop(columns=["arm", "edge", "window", "reason"])
    numbers.to_csv(tmp_path / "numbers.tsv", sep="\t", index=False, na_rep="n/a")
    with pytest.raises(DuplicateParticipantError):
        read_feature_table(tmp_path / "numbers.tsv")


def test_writing_twice_gives_the_same_bytes_and_leaves_no_old_association(
    result: TimecourseResult, out: Path, tmp_path: Path
) -> None:
    write_results(tmp_path, result, RECIPE, is_synthetic=True)
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in tmp_path.iterdir()}
    assert all((out / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)
    write_results(tmp_path, replace(result, associations=()), RECIPE, is_synthetic=True)
    assert not (tmp_path / "results_dissociation.tsv").exists()
    assert "Dissociation" not in (tmp_path / "summary.md").read_text()


def test_summary_says_what_was_found_who_is_missing_and_what_it_is_not(result: TimecourseResult) -> None:
    text = summary_text(result, is_synthetic=True)
    assert "**Synthetic data.**" in text
    assert "**left amygdala – vmPFC, 10-20**: with ketamine it fell more (or rose less) than with midazolam" in text
    assert "p = .001" in text
    assert "No difference was found for left amygdala – dmPFC" in text
    assert "- sub-17, sub-18: left out, has no arm" in text
    assert "- sub-05: 6 of 30 values missing, only 20 of 300 volumes" in text
    assert "never a predictor" in text
    assert "Synthetic" not in summary_text(result, is_synthetic=False)


def test_summary_of_nothing_found_does_not_claim_absence() -> None:
    text = summary_text(make_result(np.random.default_rng(8), effect=0.0), is_synthetic=False)
    assert "No difference between the arms was found" in text
    assert "no proof of absence" in text


def test_interval_of_the_mean_is_students(result: TimecourseResult) -> None:
    means, lower, upper = mean_changes(result)
    changes = result.cohort.changes[8:, 2, 3]
    expected = stats.t.interval(0.95, 7, changes.mean(), stats.sem(changes))
    assert (means[1, 2, 3], lower[1, 2, 3], upper[1, 2, 3]) == pytest.approx((changes.mean(), *expected))


def test_figure_has_a_panel_per_pair_and_names_what_was_found(result: TimecourseResult) -> None:
    drawn = timecourse_figure(result, is_synthetic=True)
    assert drawn["png"].startswith(b"\x89PNG")
    words = _words(drawn["svg"])
    pairs = [f"{side} amygdala – {target}" for side in ("left", "right") for target in ("vmPFC", "dmPFC", "amPFC")]
    assert [line for line in words if " – " in line and "amygdala" in line] == pairs
    assert words.count("p = .001") == 1
    assert "ketamine (n = 8)" in words
    assert any("synthetic data" in line for line in words)


def test_a_window_that_an_arm_lacks_is_drawn_as_a_gap(result: TimecourseResult) -> None:
    fisher_z = result.cohort.fisher_z.copy()
    fisher_z[:8, 3, :] = np.nan
    cohort = replace(result.cohort, fisher_z=fisher_z)
    gappy = analyse(cohort, PLAN, n_permutations=19, seed=1)
    assert not any("synthetic" in line for line in _words(timecourse_figure(gappy, is_synthetic=False)["svg"]))
    assert "n/a" not in summary_text(gappy, is_synthetic=False)


def test_long_names_of_windows_do_not_cover_each_other(result: TimecourseResult) -> None:
    names = ("before the infusion", *(f"{start} minutes after the start of the infusion" for start in range(4)))
    windows = tuple(replace(window, name=name) for window, name in zip(PLAN.windows, names, strict=True))
    renamed = replace(result, plan=replace(PLAN, windows=windows, dissociation_windows=names[2:3]))
    labels = [
        node
        for node in ElementTree.fromstring(timecourse_figure(renamed, is_synthetic=False)["svg"]).iter(
            "{http://www.w3.org/2000/svg}text"
        )
        if (node.text or "").startswith(("before the", "0 minutes"))
    ]
    assert {node.text for node in labels} == {"before the infusion", "0 minutes after the sta…"}
    assert all("rotate(-30" in node.get("transform", "") for node in labels)


@pytest.mark.parametrize(("p", "words"), [(0.0002, ".0002"), (0.0144, ".014"), (0.4999, ".500"), (1.0, "1")])
def test_p_is_written_with_the_digits_it_has(p: float, words: str) -> None:
    assert p_in_words(p) == words


def _words(svg: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_screen_reader_is_told_where_the_arms_differ(result: TimecourseResult) -> None:
    drawn = ElementTree.fromstring(timecourse_figure(result, is_synthetic=True)["svg"])
    assert drawn.attrib["role"] == "img"
    assert "left amygdala and vmPFC at 10-20 (p = " in drawn.attrib["aria-label"]
    assert "Research use only. Synthetic data." in drawn.attrib["aria-label"]
    assert drawn.findtext("{http://www.w3.org/2000/svg}title") == drawn.attrib["aria-label"]
