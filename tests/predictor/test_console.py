from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from predictor import console
from predictor.errors import ManyFaultsError, TableError

EXPERIMENT = """
import time
from predictor import console
from predictor.errors import TableError

with console.steps(2):
    for _ in console.progress(range(3), total=3, label="Judge models", name_of=lambda one: f"model {one}"):
        time.sleep(0.15)
    with console.step("Prove it"):
        for _ in console.progress(range(3), total=3, label="Poison people"):
            time.sleep(0.15)
console.show_error(TableError("a cell is empty " * 12 + "and no more.", where="row 3", remedy="Mend it. " * 12))
"""


def on_screen(environment: dict[str, str], *, width: int = 80) -> str:
    """Return what a terminal is sent."""
    leader, follower = pty.openpty()
    own = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "24", **environment}
    with subprocess.Popen([sys.executable, "-c", EXPERIMENT], stderr=follower, stdout=follower, env=own) as process:
        os.close(follower)
        sent = b""
        while True:
            select.select([leader], [], [], 20)
            try:
                part = os.read(leader, 65_536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            sent += part
        process.wait(timeout=20)
    os.close(leader)
    return sent.decode()


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    console.be_quiet(False)
    yield
    console.be_quiet(False)


def test_a_terminal_sees_what_is_at_work_how_far_it_is_and_one_line_at_the_end() -> None:
    sent = on_screen({})
    assert "model 1" in sent
    assert "1/3" in sent
    assert "0/None" not in sent
    assert "Poison people" in sent
    assert re.search(r"\(1/2\) Judge models: 3 in \d", sent)
    assert re.search(r"\(2/2\) Prove it: \d", sent)
    assert "Poison people: 3 in" not in sent, "a part of a step leaves no line of its own"
    assert "\x1b[1;31mtable-invalid\x1b[0m" in sent


def test_a_bar_leaves_room_for_the_sign_of_ctrl_c_so_that_its_own_line_is_cleared() -> None:
    lines = re.split(r"\r|\n", re.sub(r"\x1b\[[\d;?]*\w", "", on_screen({}, width=70)))
    bars = [line for line in lines if "━" in line]
    assert bars
    assert max(map(len, bars)) == 70 - len("^C") - 1


def test_errors_fit_the_terminal_under_their_own_parts() -> None:
    sent = on_screen({"NO_COLOR": "1"}, width=60)
    assert "\x1b[1;31m" not in sent
    error = sent[sent.index("table-invalid: ") :].replace("\r", "")
    assert max(map(len, error.splitlines())) <= 60
    remedy = error[error.index("  remedy  ") : error.index("  more    ")].splitlines()
    assert len(remedy) > 1
    assert all(line.startswith(" " * 10) for line in remedy[1:])


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_alone() -> None:
    sent = on_screen({"TERM": "dumb"})
    assert "\x1b" not in sent
    assert [line.split(":")[0] for line in sent.splitlines()[:2]] == ["(1/2) Judge models", "(2/2) Prove it"]


def test_piped_there_is_one_line_per_step_and_none_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for is_quiet in (False, True):
        console.be_quiet(is_quiet)
        assert list(console.progress([1, 2], total=2, label="Extract")) == [1, 2]
        with console.step("Write"):
            pass
    shown = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in shown] == ["Extract", "Write"]
    assert shown[0].startswith("Extract: 2 in ")


def test_what_ends_early_says_how_many_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    list(console.progress(iter([1, 2]), total=99, label="Permute"))
    assert capsys.readouterr().err.startswith("Permute: 2 of 99 in ")


def test_a_step_that_fails_leaves_no_line_and_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), console.steps(3), console.step("Divide"):
        raise ZeroDivisionError
    with console.step("Write"):
        pass
    assert capsys.readouterr().err.startswith("Write: ")


def test_a_program_reads_every_fault_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [TableError(f"cell {number} is empty " + "indeed " * 30, where=f"row {number}") for number in range(25)]
    console.show_error(ManyFaultsError(faults))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("table-invalid: cell 0 is empty")
    assert sum(line.startswith("  also    ") for line in lines) == console.MAX_FAULTS_SHOWN
    assert "  also    5 more" in lines
    assert lines[-1] == "  more    docs/errors.md#table-invalid"


@pytest.mark.parametrize(("seconds", "said"), [(3.14, "3.1 s"), (75, "1 min 15 s"), (7300, "2 h 01 min")])
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert console.duration(seconds) == said


def test_a_table_has_columns_of_equal_width() -> None:
    assert console.table([("ok", "12", "x"), ("flagged", "3", "")]) == "  ok       12  x\n  flagged  3"
    assert console.table([]) == ""
