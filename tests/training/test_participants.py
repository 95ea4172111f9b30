from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from predictor.errors import DuplicateParticipantError, MissingColumnError, TableError
from training.cohort.participants import listed, read_participants


def _table(folder: Path, text: str) -> Path:
    path = folder / "participants.tsv"
    path.write_text(text)
    return path


def test_columns_of_numbers_are_numbers_and_the_rest_is_text(tmp_path: Path) -> None:
    path = _table(tmp_path, "participant_id\tage\tarm\tscore\nsub-01\t30\tketamine\tn/a\nsub-02\t41.5\tn/a\t7\n")
    table = read_participants(path)
    assert list(table.index) == ["sub-01", "sub-02"]
    assert table["age"].tolist() == [30.0, 41.5]
    assert table.loc["sub-01", "arm"] == "ketamine"
    assert np.isnan(table.loc["sub-02", "arm"])
    assert np.isnan(table.loc["sub-01", "score"])


def test_labels_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    assert list(read_participants(_table(tmp_path, "participant_id\tx\n007\t1\n008\t2\n")).index) == ["007", "008"]


def test_someone_twice_is_named_with_the_row(tmp_path: Path) -> None:
    path = _table(tmp_path, "participant_id\tx\nsub-01\t1\nsub-02\t2\nsub-01\t3\n")
    with pytest.raises(DuplicateParticipantError, match="sub-01") as caught:
        read_participants(path)
    assert caught.value.where == "participants.tsv, row 3"


def test_table_without_participants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="participant_id"):
        read_participants(_table(tmp_path, "subject\tx\nsub-01\t1\n"))
    with pytest.raises(TableError, match="empty cell"):
        read_participants(_table(tmp_path, "participant_id\tx\nn/a\t1\n"))


def test_absent_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_participants(tmp_path / "participants.tsv")
    assert caught.value.where == "participants.tsv"
    assert str(tmp_path) not in str(caught.value)


def test_long_lists_are_cut() -> None:
    assert listed([f"sub-{number}" for number in range(9)]) == "sub-0, sub-1, sub-2, sub-3, sub-4, ... (9 in all)"
