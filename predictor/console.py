"""What the command line shows: lines, steps, progress, tables, errors.

In a terminal a step shows what it is at, how far it is and how long the rest will take, and leaves one line behind;
piped, or in a terminal that cannot move its cursor (TERM=dumb), there is that line alone. NO_COLOR is respected.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeVar

from predictor.errors import ManyFaultsError, PredictorError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
MAX_FAULTS_SHOWN = 20
_BOLD_RED, _DIM, _PLAIN = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"
# What stands before the text of an error's parts.
_PART_INDENT = 10
_NARROWEST, _WIDEST = 40, 110


@dataclass(slots=True)
class _Screen:
    """What commands share: set by the entry point, and by steps that contain others."""

    is_quiet: bool = False
    bars: Progress | None = None  # at work now
    n_steps: int = 0  # 0: steps have no numbers
    n_begun: int = 0
    depth: int = 0  # of steps within steps


_screen = _Screen()


class ReaderGoneError(Exception):
    """Who read standard output has enough; nothing is wrong with the result."""


def be_quiet(is_quiet: bool) -> None:
    """Silence lines and progress; errors and asked-for output stay."""
    _screen.is_quiet = is_quiet


def is_terminal() -> bool:
    """Whether a person watches standard error in a terminal that can move its cursor."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def say(text: str = "") -> None:
    """Write one line for people to standard error, so that standard output stays a program's."""
    if not _screen.is_quiet:
        tell(text + "\n")


def tell(text: str) -> None:
    """Write to standard error, quiet or not; where nobody can read it, the work goes on unseen."""
    if sys.stderr is None:  # closed before we were started
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def emit(text: str) -> None:
    """Write what was asked for (a document, a table) to standard output, quiet or not.

    Raises
    ------
    UsageError
        If it is closed, or its disk is full.
    ReaderGoneError
        If nobody reads it any more (`krp ... | head`).
    """
    if sys.stdout is None:
        raise _no_output("it is closed")
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except OSError as error:
        discard(sys.stdout)
        raise ReaderGoneError if isinstance(error, BrokenPipeError) else _no_output(error.strerror) from error


def discard(stream: TextIO) -> None:
    """Send what is still to come nowhere, or Python would fail once more when it flushes the stream at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def steps(total: int) -> Iterator[None]:
    """Give numbers to the steps and progress bars that follow, (2/7); those within a step have none of their own."""
    before = _screen.n_steps, _screen.n_begun
    _screen.n_steps, _screen.n_begun = total, 0
    try:
        yield
    finally:
        _screen.n_steps, _screen.n_begun = before


@contextmanager
def step(label: str) -> Iterator[None]:
    """Announce a step, and how long it took once it is done."""
    start, title = time.monotonic(), _begin(label)
    with _bar(title, total=None):
        yield
    _end(title, f"{duration(time.monotonic() - start)}")


def progress(
    items: Iterable[Item], *, total: int, label: str, name_of: Callable[[Item], str] | None = None
) -> Iterator[Item]:
    """Pass the items through and show how many are done and how long the rest will take.

    Parameters
    ----------
    items
        May end before `total` of them have come.
    label
        What is done with them.
    name_of
        What to call the item that is at work, where there is something to say.
    """
    start, title, n_done = time.monotonic(), _begin(label), 0
    with _bar(title, total=total) as show:
        for item in items:
            show(n_done, name_of(item) if name_of else "")
            yield item
            n_done += 1
            show(n_done, "")
    count = f"{n_done}" if n_done == total else f"{n_done} of {total}"
    _end(title, f"{count} in {duration(time.monotonic() - start)}")


def duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> duration(3.14), duration(75), duration(7300)
    ('3.1 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> str:
    """Return rows as columns of equal width, the last one as wide as it is.

    Examples
    --------
    >>> print(table([("ok", "12"), ("flagged", "3")]))
      ok       12
      flagged  3
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(indent + line for line in lines)


def show_error(error: PredictorError) -> None:
    """Write an error in its four parts: what, where, remedy, more; of several faults, where the others are."""
    if _screen.bars is not None:  # an error ends the step in which it arose
        _screen.bars.stop()
    faults = error.faults if isinstance(error, ManyFaultsError) else (error,)
    error = faults[0]
    parts = [("where", error.where)] if error.where else []
    parts += [("also", f"{other.where}: {other}") for other in faults[1:MAX_FAULTS_SHOWN]]
    if len(faults) > MAX_FAULTS_SHOWN:
        parts.append(("also", f"{len(faults) - MAX_FAULTS_SHOWN} more"))
    if error.remedy:
        parts.append(("remedy", error.remedy))
    parts.append(("more", f"docs/errors.md#{error.code}"))
    first = _wrapped(f"{error.code}: {error}", indent="").replace(error.code, _styled(error.code, _BOLD_RED), 1)
    lines = [f"  {_styled(f'{name:<6}', _DIM)}  {_wrapped(text, indent=' ' * _PART_INDENT)}" for name, text in parts]
    tell("\n".join([first, *lines]) + "\n")


def _no_output(reason: str | None) -> UsageError:
    return UsageError(
        f"standard output cannot be written: {reason}.",
        where="standard output",
        remedy="Send it elsewhere, or make room on its disk, then call the same command again.",
    )


def _styled(text: str, style: str) -> str:
    is_coloured = is_terminal() and not os.environ.get("NO_COLOR")
    return f"{style}{text}{_PLAIN}" if is_coloured else text


def _wrapped(text: str, *, indent: str) -> str:
    """Fit a text to the terminal, each line of its own as it is; programs that read it get it in one line."""
    if not is_terminal():
        return text
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    lines = (
        textwrap.fill(
            line, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )
        for line in text.splitlines()
    )
    return "\n".join(lines).removeprefix(indent)


def _begin(label: str) -> str:
    """Count a step that stands in no other, and return its title."""
    if not _screen.n_steps or _screen.depth:
        return label
    _screen.n_begun += 1
    return f"({_screen.n_begun}/{_screen.n_steps}) {label}"


def _end(title: str, result: str) -> None:
    """Leave one line of a step behind, unless it is a part of another one."""
    if not _screen.depth:
        say(f"{title}: {result}")


@contextmanager
def _bar(title: str, *, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """Show a bar, or a sign of life where the total is not known; lends what moves it."""
    _screen.depth += 1
    try:
        if _screen.is_quiet or not is_terminal():
            yield lambda n_done, name: None
            return
        with _bars() as bars:
            count, left = (f"0/{total}", "left") if total else ("", "")
            title = "  " * (_screen.depth - 1) + title
            task = bars.add_task(title, total=total, count=count, left=left, item="")
            yield lambda n_done, name: bars.update(task, completed=n_done, count=f"{n_done}/{total}", item=name)
            bars.remove_task(task)
    finally:
        _screen.depth -= 1


@contextmanager
def _bars() -> Iterator[Progress]:
    """Lend the display at work, or a new one for as long as the outermost step takes."""
    if _screen.bars is not None:
        yield _screen.bars
        return
    # Imported here: most commands are over before this would have paid.
    from predictor.progress_bars import new_bars

    with new_bars() as bars:
        _screen.bars = bars
        try:
            yield bars
        finally:
            _screen.bars = None
