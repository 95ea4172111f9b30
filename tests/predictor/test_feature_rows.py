from __future__ import annotations

from pathlib import Path

import pytest

from predictor.errors import (
    DuplicateParticipantError,
    ManyFaultsError,
    TableError,
    UnknownParticipantError,
    ValueOutOfRangeError,
)
from predictor.feature_rows import covariates_of, read_covariates, read_feature_rows
from predictor.model.outcome_definition import Covariate

COVARIATES = (
    Covariate("arm", "category", ("ketamine", "midazolam"), role="arm"),
    Covariate("age", "number", role="demographic"),
    Covariate("site", "category", ("1", "2"), role="site"),
)


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "table.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_features_covariates_and_provenance_are_told_apart(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "participant_id\tsession_id\ta\tage\tsite\tb\trecipe_hash\tinput_digest",
        "sub-01\tses-1\t0.5\t41\t1\tn/a\tsha256:ab\tsha256:cd",
        "sub-02\tses-1\t-1e-3\tn/a\t2\t2\tn/a\t",
    )
    first, second = read_feature_rows(path, COVARIATES)
    assert (first.participant, first.features) == ("sub-01", {"a": 0.5, "b": None})
    assert first.covariates == {"age": 41.0, "site": "1"}
    assert (first.recipe_hash, first.input_digest) == ("sha256:ab", "sha256:cd")
    assert (second.features, second.covariates) == ({"a": -0.001, "b": 2.0}, {"age": None, "site": "2"})
    assert (second.recipe_hash, second.input_digest, second.place) == (None, None, "line 3")


@pytest.mark.parametrize(("cell", "kind"), [("high", "text"), ("inf", "not"), ("1,5", "decimal point")])
def test_a_bad_cell_is_named_by_row_and_column(tmp_path: Path, cell: str, kind: str) -> None:
    path = write(tmp_path, "participant_id\ta", "sub-01\t1", f"sub-02\t{cell}")
    with pytest.raises(ValueOutOfRangeError, match=kind) as caught:
        read_feature_rows(path, ())
    assert caught.value.where == "line 3, column a"


def test_a_visit_may_stand_in_the_table_once(tmp_path: Path) -> None:
    with pytest.raises(DuplicateParticipantError) as caught:
        read_feature_rows(write(tmp_path, "participant_id\ta", "sub-01\t1", "sub-01\t2"), ())
    assert caught.value.where == "line 3"
    two_visits = write(tmp_path, "participant_id\tsession_id\ta", "sub-01\tses-1\t1", "sub-01\tses-2\t2")
    assert len(read_feature_rows(two_visits, ())) == 2


def test_a_missing_or_ragged_table_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        read_feature_rows(tmp_path / "nowhere.tsv", ())
    with pytest.raises(TableError, match="found 1"):
        read_feature_rows(write(tmp_path, "participant_id\ta", "sub-01"), ())


def test_covariates_come_from_participants_tsv(tmp_path: Path) -> None:
    path = write(tmp_path, "participant_id\tage\tshoe_size", "sub-01\t41\tlarge", "sub-02\tn/a\tsmall")
    table = read_covariates(path, COVARIATES)
    assert table == {"sub-01": {"age": 41.0}, "sub-02": {"age": None}}
    with pytest.raises(UnknownParticipantError):
        covariates_of("sub-03", table)


def test_every_fault_is_listed_not_only_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, "participant_id\ta\tage", "sub-01\thigh\told", "sub-02\t1\t40", "sub-02\tinf\t40")
    with pytest.raises(ManyFaultsError) as caught:
        read_feature_rows(path, COVARIATES)
    places = [(fault.code, fault.where) for fault in caught.value.faults]
    assert places == [
        ("value-out-of-range", "line 2, column a"),
        ("value-out-of-range", "line 2, column age"),
        ("value-out-of-range", "line 4, column a"),
        ("participant-duplicate", "line 4"),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_a_spreadsheet_is_read_like_one_of_ours(tmp_path: Path, separator: str) -> None:
    lines = [separator.join(cells) for cells in (("participant_id", "a", "site"), ('"sub-01"', "0.5", '"1"'))]
    (row,) = read_feature_rows(write(tmp_path, *lines), COVARIATES)
    assert (row.participant, row.features, row.covariates) == ("sub-01", {"a": 0.5}, {"site": "1"})


def test_lines_are_those_of_the_file_also_below_a_cell_of_two_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "participant_id\ta\tsite", 'sub-01\t1\t"one', 'two"', "", "sub-02\thigh\t1")
    with pytest.raises(ValueOutOfRangeError) as caught:
        read_feature_rows(path, COVARIATES)
    assert caught.value.where == "line 5, column a"


def test_nobodys_rows_are_no_repetition(tmp_path: Path) -> None:
    assert len(read_feature_rows(write(tmp_path, "participant_id\ta", "n/a\t1", "n/a\t1"), ())) == 2
