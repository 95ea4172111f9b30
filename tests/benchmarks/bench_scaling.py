"""How extraction grows with the number of visits and of processes, and what the steps cost that see everyone.

`python tests/benchmarks/bench_scaling.py` simulates ten visits, links them under as many names as are needed (so their
bytes come from the page cache: processors are measured, not disks), and runs `krp extract` as a process of its own:
10, 40 and 160 visits by two processes, 40 visits by one (by turns, three times), and by two dask workers that run
already. Memory is the peak of the command and of its largest worker. Then it gathers results of made-up people, and
looks for their visits in a tree of empty files, for a thousand and for ten thousand of them.

Asked: time grows with the number of visits and no faster, memory does not grow, two processes are 1.7 times one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Every process of an extraction has one thread; so do those here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil
from fresh_process import measure_in_turns, measured_here
from measurement import Measurement, conclude, parser_of

GROUP = "Scaling"
N_SIMULATED, QUICK_N_SIMULATED = 10, 2
SIZES, QUICK_SIZES = (10, 40, 160), (2, 4, 8)
COHORTS, QUICK_COHORTS = (1_000, 10_000), (100, 1_000)
MIN_SPEED_UP = 1.7
# Slack of what is asked to be constant, as a ratio: the machine's own speed wanders by as much.
MIN_CONSTANCY = 0.85
LOOK_EVERY_S = 0.05
N_TURNS = 3
# Spelling numbers takes longer than gathering them: so many people differ, the others repeat them.
N_DIFFERENT, NOBODY = 50, "sub-nobody"
SPACE = "space-MNI152NLin2009cAsym"


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one `krp extract` took."""

    seconds: float
    parent_mb: float
    worker_mb: float  # the largest of its processes, or of the cluster's


def simulate(folder: Path, n_visits: int) -> Path:
    """Simulate the visits that are linked later."""
    krp("simulate", folder / "trial", "--participants", n_visits, "--controls", 0, "--quiet")
    return folder / "trial"


def linked(trial: Path, tree: Path, n_visits: int) -> Path:
    """Return a dataset of that many participants; their files are links to those of the few."""
    source = trial / "derivatives/fmriprep"
    people = sorted(path.name for path in source.glob("sub-*") if path.is_dir())
    for number in range(n_visits):
        own, name = people[number % len(people)], f"sub-{number:05d}"
        for root in (Path(), Path("derivatives/fmriprep")):
            (tree / root / name / "func").mkdir(parents=True)
            for file in (trial / root / own / "func").iterdir():
                (tree / root / name / "func" / file.name.replace(own, name)).symlink_to(file)
    shutil.copy(source / "dataset_description.json", tree / "derivatives/fmriprep")
    return tree


def krp(*words: object) -> None:
    """Run a command that must succeed."""
    subprocess.run([sys.executable, "-m", "predictor", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def extract(tree: Path, out: Path, *options: object, others: Sequence[int] = ()) -> Extraction:
    """Extract everyone in a process of its own, and look at its memory and that of its workers meanwhile."""
    words = ("extract", tree, out, "participant", "--quiet", *options)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "predictor", *map(str, words)], stdout=subprocess.DEVNULL)
    peaks: dict[int, float] = {}
    watcher = threading.Thread(target=_watch, args=(process, peaks, others))
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    watcher.join()
    if code:
        raise SystemExit(f"krp extract ended with {code}")
    parent_mb = peaks.pop(process.pid)
    return Extraction(seconds, parent_mb, max(peaks.values(), default=0.0))


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Start a scheduler and two dask workers; gives the address and the workers' processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--local-directory", folder]
    commands = [
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"],
        *([*dask, "worker", address, *map(str, options)] for _ in range(2)),
    ]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        yield address, [process.pid for process in processes[1:]]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def measurements(*, is_quick: bool) -> list[Measurement]:
    """Measure everything."""
    sizes, cohorts = (QUICK_SIZES, QUICK_COHORTS) if is_quick else (SIZES, COHORTS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        trial = simulate(folder, QUICK_N_SIMULATED if is_quick else N_SIMULATED)
        trees = {n: linked(trial, folder / f"tree-{n}", n) for n in sizes}
        two = {n: extract(trees[n], folder / f"two-{n}", "--jobs", 2) for n in sizes if n != sizes[1]}
        one, two[sizes[1]] = by_one_and_by_two(trees[sizes[1]], folder)
        with two_workers(folder) as (address, workers):
            options = ("--backend", "dask", "--scheduler", address)
            extract(trees[sizes[0]], folder / "warm-dask", *options)
            dask = extract(trees[sizes[1]], folder / "dask", *options, others=workers)
        found = _of_extraction(sizes, two, one, dask)
        return [*found, *_of_cohorts(folder, cohorts)]


def by_one_and_by_two(tree: Path, folder: Path) -> tuple[Extraction, Extraction]:
    """Extract everyone by one process and by two, by turns: the machine's own speed wanders. Returns the medians."""
    found: dict[int, list[Extraction]] = {1: [], 2: []}
    for turn in range(N_TURNS):
        for n_jobs, taken in found.items():
            taken.append(extract(tree, folder / f"by-{n_jobs}-{turn}", "--jobs", n_jobs))
    one, two = (sorted(taken, key=lambda each: each.seconds)[N_TURNS // 2] for taken in found.values())
    return one, two


def _of_extraction(
    sizes: tuple[int, ...], two: dict[int, Extraction], one: Extraction, dask: Extraction
) -> list[Measurement]:
    small, middle, large = sizes
    earlier_s = (two[middle].seconds - two[small].seconds) / (middle - small)
    later_s = (two[large].seconds - two[middle].seconds) / (large - middle)
    visits = "synthetic visits of three runs, `krp extract` from its start to its end"
    return [
        Measurement(
            GROUP, f"one visit more, from {middle} to {large}", "s", later_s, earlier_s, f"from {small} to {middle}",
            ratio_at_least=MIN_CONSTANCY,
            detail=f"{visits}, two processes: " + ", ".join(f"{n} in {two[n].seconds:.1f} s" for n in sizes),
        ),
        Measurement(
            GROUP, f"peak memory of the command at {large} visits", "MB", two[large].parent_mb, two[small].parent_mb,
            f"at {small}", ratio_at_least=MIN_CONSTANCY,
        ),
        Measurement(
            GROUP, f"peak memory of its largest worker at {large} visits", "MB", two[large].worker_mb,
            two[small].worker_mb, f"at {small}", ratio_at_least=MIN_CONSTANCY,
        ),
        Measurement(
            GROUP, f"{middle} visits by two processes", "s", two[middle].seconds, one.seconds, "by one",
            ratio_at_least=MIN_SPEED_UP,
            detail=f"start of command and workers included; medians of {N_TURNS}, by turns",
        ),
        Measurement(
            GROUP, f"{middle} visits by two dask workers", "s", dask.seconds, two[middle].seconds, "two processes",
            detail=f"workers run already, {dask.worker_mb:.0f} MB each at most; scheduler on the same two processors",
        ),
    ]  # fmt: skip


def _of_cohorts(folder: Path, cohorts: tuple[int, int]) -> list[Measurement]:
    """Measure the steps that see everyone, for two sizes of a cohort."""
    found = []
    for contender, name in (("gather", "gather the table of"), ("find", "find the visits of")):
        by_size = {}
        for n_people in cohorts:
            source = folder / f"{contender}-{n_people}"
            MAKERS[contender](source, n_people)
            by_size[n_people] = measure_in_turns(__file__, source, [contender], n_rounds=1)[contender]
            shutil.rmtree(source)
        small, large = (by_size[n_people] for n_people in cohorts)
        per_person = cohorts[1] / cohorts[0]
        found.append(
            Measurement(
                GROUP, f"{name} {cohorts[1]:,} participants", "s", large["seconds"], per_person * small["seconds"],
                f"{cohorts[0]:,}, times {per_person:.0f}", ratio_at_least=MIN_CONSTANCY,
                detail=f"{large['memory_mb']:.0f} MB above imports; {small['memory_mb']:.0f} MB for {cohorts[0]:,}",
            )
        )  # fmt: skip
    return found


def make_results(out: Path, n_people: int) -> None:
    """Write results as `krp extract` leaves them, of people with random numbers for all features."""
    from predictor.features.extraction import feature_definitions
    from predictor.features.recipe import default_recipe
    from training.extraction.feature_table import RECIPE_FILE
    from training.extraction.visit_result import json_text, result_path

    recipe, rng = default_recipe(), np.random.default_rng(0)
    names = [definition.name for definition in feature_definitions(recipe)]
    keys = ("values", "standard_errors", "first_half", "second_half")
    runs = {kind: _quality(recipe.circuit.region_names, rng) for kind in ("rest", "faces", "conflict")}
    texts = [
        json_text(
            {
                "participant_id": NOBODY, "session_id": None, "recipe_hash": recipe.recipe_hash,
                "input_digest": "sha256:" + "0" * 64,
                **{key: dict(zip(names, rng.standard_normal(len(names)).tolist(), strict=True)) for key in keys},
                "missing_reasons": {}, "status": "ok", "reasons": [], "quality": runs, "designs": {},
            }
        )
        for _ in range(N_DIFFERENT)
    ]  # fmt: skip
    out.mkdir()
    (out / RECIPE_FILE).write_text(json_text(recipe.document()))
    for number in range(n_people):
        path = result_path(out, f"sub-{number:05d}")
        path.parent.mkdir()
        path.write_text(texts[number % N_DIFFERENT].replace(NOBODY, path.parent.name))


def _quality(regions: Sequence[str], rng: np.random.Generator) -> dict[str, object]:
    numbers = ("minutes_kept", "mean_framewise_displacement_mm", "share_censored", "median_temporal_snr")
    return {name: float(rng.random()) for name in numbers} | {"coverage": dict.fromkeys(regions, 1.0)}


def make_names(tree: Path, n_people: int) -> None:
    """Write empty files named as fMRIPrep and BIDS name three runs; events lie with everyone's, in the root."""
    tree.mkdir()
    for task in ("faces", "conflict"):
        (tree / f"task-{task}_events.tsv").touch()
    for number in range(n_people):
        folder = tree / "derivatives/fmriprep" / f"sub-{number:05d}" / "func"
        folder.mkdir(parents=True)
        (tree / f"sub-{number:05d}").mkdir()
        for task in ("rest", "faces", "conflict"):
            stem = f"sub-{number:05d}_task-{task}"
            (folder / f"{stem}_{SPACE}_desc-preproc_bold.nii.gz").touch()
            (folder / f"{stem}_desc-confounds_timeseries.tsv").touch()


def gather(out: Path) -> Callable[[], None]:
    """Prepare the step of the group level that makes one table of all results."""
    from training.extraction.feature_table import gather_table

    def run() -> None:
        gather_table(out)

    return run


def find(tree: Path) -> Callable[[], None]:
    """Prepare finding everyone's files."""
    from predictor.scan.visit_files import find_visits

    def run() -> None:
        assert all(len(visit.runs) == 3 for visit in find_visits(tree))

    return run


MAKERS: dict[str, Callable[[Path, int], None]] = {"gather": make_results, "find": make_names}
CONTENDERS = {"gather": gather, "find": find}


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    if measured_here(CONTENDERS):
        return 0
    arguments = parser_of(__doc__).parse_args()
    return conclude(measurements(is_quick=arguments.quick), as_json=arguments.json)


def _watch(process: subprocess.Popen[bytes], peaks: dict[int, float], others: Sequence[int]) -> None:
    """Note the peak memory of a process, of all that it started, and of others, as long as it runs."""
    peaks[process.pid] = 0.0
    while process.poll() is None:
        with suppress(psutil.Error):
            pids = [
                process.pid,
                *others,
                *(child.pid for child in psutil.Process(process.pid).children(recursive=True)),
            ]
            for pid in pids:
                peaks[pid] = max(peaks.get(pid, 0.0), _peak_mb(pid))
        time.sleep(LOOK_EVERY_S)


def _peak_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    raise SystemExit(main())
