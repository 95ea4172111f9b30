"""Time and memory of contenders, each measured in a process of its own, by turns."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Medians = dict[str, dict[str, float]]
REFUSED = 4  # exit code of `krp score` where the answer is a refusal, which takes as long as any other
Contenders = Mapping[str, Callable[[Path], Callable[[], Any]]]  # name -> (source -> what is timed)


def measure(run: Callable[[], Any], *, result: Path | None = None) -> dict[str, float]:
    """Seconds of one run and peak resident memory above what the imports took; its numbers go to the file `result`."""
    before_mb = peak_memory_mb()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = run()
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - begin_cpu
    memory_mb = peak_memory_mb() - before_mb
    if result is not None and found is not None:
        np.save(result, found)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "memory_mb": memory_mb, "imports_mb": before_mb}


def measure_in_turns(
    script: str, source: Path, contenders: Iterable[str], *, n_rounds: int, results: Path | None = None
) -> Medians:
    """Medians over rounds of `script --measure CONTENDER --source SOURCE`, which prints what `measure` returns.

    With `results`, contenders leave their numbers in that folder, as CONTENDER.npy.
    """
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    for _ in range(n_rounds):
        for contender, runs in found.items():
            command = [sys.executable, script, "--measure", contender, "--source", str(source)]
            command += [] if results is None else ["--result", str(results / f"{contender}.npy")]
            runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    return {
        contender: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for contender, runs in found.items()
    }


def measured_here(contenders: Contenders) -> bool:
    """Do what `measure_in_turns` asks of the process that it starts, and tell whether this is such a process."""
    if "--measure" not in sys.argv:
        return False
    given = dict(zip(sys.argv[1::2], map(str, sys.argv[2::2]), strict=True))
    result = Path(given["--result"]) if "--result" in given else None
    say(json.dumps(measure(contenders[given["--measure"]](Path(given["--source"])), result=result)))
    return True


def time_command(
    command: Sequence[str], *, n_rounds: int, cwd: Path, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Median seconds of a command in fresh processes, on the clock and of the processor; it must end as it should."""
    walls, cpus = [], []
    for _ in range(n_rounds):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(environment or {})}
        )
        walls.append(time.perf_counter() - start)
        if done.returncode not in (0, REFUSED):
            raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def peak_memory_mb() -> float:
    """Peak resident memory of this process alone; `ru_maxrss` would inherit the parent's on Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("peak memory is read from /proc, so the benchmark needs Linux")


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")
