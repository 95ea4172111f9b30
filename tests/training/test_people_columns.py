from __future__ import annotations

from pathlib import Path

from training.cohort_quality.people_columns import grouping_columns

PEOPLE = ("sub-01", "sub-02", "sub-03")
TABLE = """participant_id\tSite\tarm\tcaps5_total_followup\tage\tgroup
sub-01\tnorth\tketamine\t10\t30\tpatient
sub-02\tsouth\tn/a\t12\t31\tpatient
sub-09\tsouth\tmidazolam\t13\t32\tpatient
"""


def test_only_columns_that_tell_people_apart_are_shown_and_never_an_outcome(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text(TABLE)
    derivatives = tmp_path / "derivatives" / "fmriprep"
    derivatives.mkdir(parents=True)
    found = grouping_columns([None, derivatives], PEOPLE)
    assert list(found) == ["site"]  # one arm, one group among them: nothing to compare
    assert found["site"].tolist()[:2] == ["north", "south"]
    assert found["site"].isna().tolist() == [False, False, True]
    assert list(found.index) == list(PEOPLE)


def test_numbers_of_scanners_are_levels_and_many_levels_are_none(tmp_path: Path) -> None:
    rows = "".join(f"sub-{number:02d}\t{number % 2 + 1}\tsite{number}\n" for number in range(1, 21))
    (tmp_path / "participants.tsv").write_text("participant_id\tscanner\tsite\n" + rows)
    found = grouping_columns([tmp_path], [f"sub-{number:02d}" for number in range(1, 21)])
    assert list(found) == ["scanner"]
    assert set(found["scanner"]) == {"1", "2"}


def test_a_table_of_others_or_a_broken_one_tells_nothing(tmp_path: Path) -> None:
    assert grouping_columns([tmp_path], PEOPLE).columns.empty
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\nsub-77\tnorth\nsub-78\tsouth\n")
    assert grouping_columns([tmp_path], PEOPLE).columns.empty
    (tmp_path / "participants.tsv").write_bytes(b"\xff\xfe\x00")
    assert grouping_columns([tmp_path], PEOPLE).columns.empty
