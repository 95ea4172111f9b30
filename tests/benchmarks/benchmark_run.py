"""Every benchmark in one run: one document, one page, two charts.

`make bench` runs all `bench_*.py` one after another, each in a process of its own, on scans that are written once, and
writes docs/benchmarks. With KRP_BENCH=quick, or a choice of parts, the results go to build/benchmarks instead: what is
committed was measured in one run. The exit code is 1 when a part could not be measured or a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark_environment import PROJECT, environment, load, yardstick_ms
from benchmark_page import PAGE, charts_of, page_of
from fresh_process import say
from measurement import Measurement, parser_of, table
from synthetic_scans import DATA_VARIABLE

HERE = Path(__file__).resolve().parent
RESULTS = "results.json"
COMMITTED, SCRATCH = PROJECT / "docs" / "benchmarks", PROJECT / "build" / "benchmarks"
# What others wait for first; parts that are not named here come last, by name.
ORDER = ("extraction", "visit", "connectivity", "elastic_net_cv", "log_book", "cold_start", "service", "scan_upload",
         "overload", "scaling")  # fmt: skip
MAX_PART_S = 420


class PartError(Exception):
    """A benchmark could not be run to its end."""


def parts() -> list[str]:
    """Return the names of all benchmarks, in order."""
    found = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    return sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def run_part(name: str, data: Path, *, is_quick: bool) -> list[dict[str, Any]]:
    """Run one benchmark in a process of its own, and end whatever it started.

    Raises
    ------
    PartError
        If it fails, takes too long, or does not print measurements.
    """
    command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", *(["--quick"] if is_quick else [])]
    # `krp` lies beside this Python; one thread per process, as everywhere.
    own = {DATA_VARIABLE: str(data), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env=os.environ | own,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=MAX_PART_S)
    except BaseException as error:
        _end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise PartError(f"it took longer than {MAX_PART_S} s.") from None
        raise
    try:
        return [Measurement.of_document(one).document() for one in json.loads(output)]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["it printed no measurements"])[-1]
        raise PartError(f"it ended with {process.returncode}: {last[:300]}") from None


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a benchmark, so that it ends the services it started, and kill what is left after a while."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.communicate(timeout=30)
            return
        except subprocess.TimeoutExpired:
            continue


def run_all(names: Sequence[str], *, is_quick: bool) -> dict[str, Any]:
    """Run benchmarks one after another and return the document of the run."""
    started, before, speed = time.perf_counter(), load(), yardstick_ms()
    if before > (os.cpu_count() or 1) / 2:
        say(f"load {before:g} before anything was measured: the machine is busy, the numbers will show it")
    measured: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="krp-bench-") as data:
        for number, name in enumerate(names, start=1):
            part_started = time.perf_counter()
            try:
                measured += run_part(name, Path(data), is_quick=is_quick)
            except PartError as error:
                failed[f"bench_{name}.py"] = str(error)
            seconds[name] = round(time.perf_counter() - part_started, 1)
            say(f"[{number}/{len(names)}] {name:16} {seconds[name]:6.1f} s  {failed.get(f'bench_{name}.py', '')}")
    return {
        "is_quick": is_quick,
        "seconds": round(time.perf_counter() - started, 1),
        "seconds_of_parts": seconds,
        "load": [before, load()],
        "yardstick_ms": [speed, yardstick_ms()],
        "environment": environment(),
        "failed": failed,
        "measurements": measured,
    }


def write(document: dict[str, Any], folder: Path) -> None:
    """Write document, page and charts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, content in {PAGE: page_of(document), **charts_of(document)}.items():
        (folder / name).write_text(content, encoding="utf-8")


def main() -> int:
    """Run the benchmarks, or write the page of a run again."""
    parser = parser_of(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(parts())}")
    parser.add_argument("--out", type=Path, help="folder for the results (docs/benchmarks; build/benchmarks for less)")
    parser.add_argument("--page-only", action="store_true", help="write page and charts of the results in the folder")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(parts())):
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(parts())}")
    is_whole = not arguments.quick and not arguments.parts
    folder = arguments.out or (COMMITTED if is_whole or arguments.page_only else SCRATCH)
    if arguments.page_only:
        write(json.loads((folder / RESULTS).read_text(encoding="utf-8")), folder)
        return 0
    document = run_all(arguments.parts or parts(), is_quick=arguments.quick)
    write(document, folder)
    return _report(document, folder, arguments)


def _report(document: dict[str, Any], folder: Path, arguments: argparse.Namespace) -> int:
    found = [Measurement.of_document(one) for one in document["measurements"]]
    say(json.dumps(document, indent=2, ensure_ascii=False) if arguments.json else table(found))
    judged = [one.met for one in found if one.met is not None]
    shown_folder = folder.relative_to(PROJECT) if folder.is_relative_to(PROJECT) else folder
    if not arguments.json:
        say(f"\n{sum(judged)} of {len(judged)} targets met, {document['seconds']:.0f} s; written to {shown_folder}")
    return 0 if all(judged) and not document["failed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
