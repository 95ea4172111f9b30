"""What the command line shows: lines, progress, errors; bars in a terminal, one line per step when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from predictor.errors import ManyFaultsError, PredictorError

Item = TypeVar("Item")
MAX_FAULTS_SHOWN = 20

# The one piece of state: set once by the entry point, before any command runs.
_is_quiet = False


def be_quiet(is_quiet: bool) -> None:
    """Silence lines and progress; errors and asked-for output stay."""
    global _is_quiet
    _is_quiet = is_quiet


def say(text: str = "") -> None:
    """Write one line for people to standard error, so that standard output stays a program's."""
    if not _is_quiet:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def emit(text: str) -> None:
    """Write what was asked for (a document, a table) to standard output, quiet or not."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


@contextmanager
def step(label: str) -> Iterator[None]:
    """Announce a step, and how long it took once it is done."""
    start = time.monotonic()
    yield
    say(f"{label}: {time.monotonic() - start:.1f} s")


def progress(items: Iterable[Item], *, total: int, label: str) -> Iterator[Item]:
    """Pass the items through and show how many are done and how long the rest will take."""
    if _is_quiet or not sys.stderr.isatty():
        start = time.monotonic()
        yield from items
        say(f"{label}: {total} in {time.monotonic() - start:.1f} s")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total)
        for item in items:
            yield item
            bars.advance(task)


def show_error(error: PredictorError) -> None:
    """Write an error in its four parts: what, where, remedy, more; of several faults, where the others are."""
    faults = error.faults if isinstance(error, ManyFaultsError) else (error,)
    error = faults[0]
    lines = [f"{error.code}: {error}"]
    if error.where:
        lines.append(f"  where   {error.where}")
    lines += [f"  also    {other.where}: {other}" for other in faults[1:MAX_FAULTS_SHOWN]]
    if len(faults) > MAX_FAULTS_SHOWN:
        lines.append(f"  also    {len(faults) - MAX_FAULTS_SHOWN} more")
    if error.remedy:
        lines.append(f"  remedy  {error.remedy}")
    lines.append(f"  more    docs/errors.md#{error.code}")
    sys.stderr.write("\n".join(lines) + "\n")
