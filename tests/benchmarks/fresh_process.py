"""Time and memory of contenders, each measured in a process of its own, by turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Medians = dict[str, dict[str, float]]


def measure(run: Callable[[], None]) -> dict[str, float]:
    """Seconds of one run and peak resident memory above what the imports took."""
    before_mb = peak_memory_mb()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    run()
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - begin_cpu,
        "memory_mb": peak_memory_mb() - before_mb,
        "imports_mb": before_mb,
    }


def measure_in_turns(script: str, source: Path, contenders: Sequence[str], *, n_rounds: int) -> Medians:
    """Medians over rounds of `script --measure CONTENDER --source SOURCE`, which prints what `measure` returns."""
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    for _ in range(n_rounds):
        for contender, runs in found.items():
            command = [sys.executable, script, "--measure", contender, "--source", str(source)]
            runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    return {
        contender: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for contender, runs in found.items()
    }


def table(medians: Medians, verdict: str) -> str:
    """Return one line per contender, then the verdict."""
    lines = [f"{'':10}{'seconds':>10}{'cpu s':>10}{'MB above imports':>20}"]
    lines += [
        f"{contender:10}{median['seconds']:>10.3f}{median['cpu_seconds']:>10.3f}{median['memory_mb']:>20.1f}"
        for contender, median in medians.items()
    ]
    return "\n".join([*lines, verdict])


def peak_memory_mb() -> float:
    """Peak resident memory of this process alone; `ru_maxrss` would inherit the parent's on Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("peak memory is read from /proc, so the benchmark needs Linux")


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")
