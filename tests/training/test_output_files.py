from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from predictor.__main__ import main
from predictor.errors import UsageError
from training.output_files import make_folder, write_atomically


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out"


def test_a_folder_below_a_file_is_refused_by_name(below_a_file: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made") as caught:
        make_folder(below_a_file)
    assert caught.value.where == "out"


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(tmp_path / "table.tsv", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["table.tsv"]


def test_simulate_names_an_impossible_output_folder(below_a_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(below_a_file / "deeper"), "--participants", "2", "--controls", "0"]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_extract_names_an_impossible_output_folder(
    below_a_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tables").mkdir()
    table = "\n".join(["a\tb", *(f"{row % 3}\t{row % 5}" for row in range(40))])
    (tmp_path / "tables" / "sub-01_task-rest_timeseries.tsv").write_text(table)
    assert main(["extract", str(tmp_path / "tables"), str(below_a_file), "group"]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_many_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    """Jobs of a cluster do: on a shared disk, and with the same process number on two machines."""
    texts = [str(digit) * 10_000 for digit in range(8)]
    with ThreadPoolExecutor(len(texts)) as threads:
        for _ in range(20):
            list(threads.map(partial(write_atomically, tmp_path / "recipe.json"), texts))
            assert (tmp_path / "recipe.json").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]
