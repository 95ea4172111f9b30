from __future__ import annotations

from pathlib import Path

import pytest

from training.shelf.left_out_baselines import left_out_baselines

TABLE = (
    "participant_id\tarm\tage\tsex\tsite\tcaps5_total_baseline\tmean_fd_mm\n"
    "sub-1\ta\t30\tF\tnorth\t40\t0.1\n"
    "sub-2\tb\t41\tF\tnorth\t50\t0.2\n"
    "sub-3\ta\t52\tM\tsouth\t45\t0.3\n"
)


@pytest.fixture
def participants(tmp_path: Path) -> Path:
    path = tmp_path / "participants.tsv"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("baseline", "column"),
    [
        ("arm only", "arm"),
        ("clinical only", "caps5_total_baseline"),
        ("motion only", "mean_fd_mm"),
        ("site only", "site"),
        ("age/sex only", "age, sex"),
    ],
)
def test_a_column_that_nobody_named_makes_its_baseline_left_out(participants: Path, baseline: str, column: str) -> None:
    found = left_out_baselines([baseline], participants, ["sub-1", "sub-2", "sub-3"])
    assert found == {baseline: f"participants.tsv has {column}"}


def test_a_column_that_is_the_same_for_everyone_makes_no_baseline(participants: Path) -> None:
    assert left_out_baselines(["site only"], participants, ["sub-1", "sub-2"]) == {}
    assert left_out_baselines(["age/sex only"], participants, ["sub-1", "sub-2"]) == {
        "age/sex only": "participants.tsv has age"
    }


def test_a_cohort_without_a_table_leaves_nothing_out(tmp_path: Path) -> None:
    assert left_out_baselines(["arm only"], tmp_path / "participants.tsv", ["sub-1"]) == {}
