"""How long an experiment takes, and what the log book costs: logging, `krp report`, and `krp compare` over 200 runs.

`python tests/benchmarks/bench_log_book.py` trains experiments/baseline_prediction.toml on a simulated trial (with
--demo on the files that `make run` made) in a process of its own, with a stopwatch on everything that the log book, the
record, the report, the card and the registry add, their imports included, in a store that exists: making its database,
which happens once, is not counted. Then it writes the report of that run, and compares 200 runs of a store made for it,
as commands in fresh processes. Beside them stands a process that only imports MLflow.

Asked: logging adds at most 10 % to the experiment's time; a report takes 20 s and a comparison 3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

# As `krp` and the Makefile do.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fresh_process import say, time_command
from measurement import Measurement, conclude, parser_of

PROJECT = Path(__file__).resolve().parents[2]
EXPERIMENT = PROJECT / "experiments" / "baseline_prediction.toml"
KRP = (sys.executable, "-m", "predictor")
MAKE_STORE = "import sys; from training.log_book.tracking import open_store; open_store(sys.argv[1])"
IMPORT_MLFLOW = (sys.executable, "-c", "import mlflow")
MAX_LOGGING_PERCENT, MAX_REPORT_S, MAX_COMPARE_S = 10.0, 20.0, 3.0
GROUP = "Training and its log book"
N_EXPERIMENTS, N_RUNS_OF_EACH, N_MODELS = 20, 10, 10
THE_EXPERIMENT = ("training.judged_models", "training.final_model", "training.audit")
# What `training.experiment` calls for the log book; everything else it calls is the experiment itself.
LOGGING = ("open_store", "check_shelf", "log_experiment", "log_model", "log_findings", "record_experiment",
           "previous_versions", "with_reading_matter", "log_record", "gate_measurements", "register_bundle",
           "version_tags")  # fmt: skip


@dataclass(slots=True)
class Stopwatch:
    """Seconds inside what is watched, by name; what is called from inside belongs to the caller."""

    seconds: dict[str, float] = field(default_factory=dict)
    is_running: bool = False

    @contextmanager
    def watch(self, name: str) -> Iterator[None]:
        """Measure a block, unless it stands in one that is measured already."""
        if self.is_running:
            yield
            return
        self.is_running, start = True, time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.is_running = False

    def watched(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, measured."""

        def measured(*arguments: Any, **options: Any) -> Any:
            with self.watch(name):
                return run(*arguments, **options)

        return measured

    def watched_run(self, start_run: Callable[..., Any]) -> Callable[..., Any]:
        """Return the context manager of a run with its opening and its closing measured, not what stands between."""

        @contextmanager
        def measured(*arguments: Any, **options: Any) -> Iterator[Any]:
            run = start_run(*arguments, **options)
            with self.watch("start_run"):
                log = run.__enter__()
            yield log
            with self.watch("start_run"):
                run.__exit__(None, None, None)

        return measured


def train(store: Path, *, is_demo: bool, is_quick: bool) -> dict[str, Any]:
    """Train the experiment in this process; seconds of all of it and of the log book's parts."""
    start, stopwatch = time.perf_counter(), Stopwatch()
    # First what the experiment needs by itself, so that only what the log book adds is counted for it.
    for name in THE_EXPERIMENT:
        import_module(name)
    from training.commands.quick_commands import without_collection
    from training.config import read_experiment

    with stopwatch.watch("imports"), without_collection():  # as `krp train` does
        import training.experiment as experiment
        from training.log_book.tracking import RunLog
    for name in LOGGING:
        setattr(experiment, name, stopwatch.watched(name, getattr(experiment, name)))
    experiment.start_run = stopwatch.watched_run(experiment.start_run)
    RunLog.tags = stopwatch.watched("tags", RunLog.tags)  # type: ignore[method-assign]
    config = read_experiment(EXPERIMENT)
    config = replace(config, tracking=replace(config.tracking, store=str(store)))
    if is_quick:
        config = replace(config, validation=replace(config.validation, n_repeats=1, n_permutations=19))
    result = experiment.run_experiment(config if is_demo else simulated(config, store))
    seconds = time.perf_counter() - start
    return {"run_id": result.run_id, "seconds": seconds, "logging_by_part": stopwatch.seconds}


def simulated(config: Any, folder: Path) -> Any:
    """Return the experiment on tables of a trial that is simulated beside the store."""
    from training.simulation.measured_tables import simulate_tables, write_tables
    from training.simulation.trial import TrialPlan

    tables = folder.with_name("tables")
    tables.mkdir()
    write_tables(simulate_tables(TrialPlan(seed=1)), tables)
    files = {name: str(tables / f"{name}.tsv") for name in ("features", "participants")}
    return replace(config, cohort=replace(config.cohort, **files))


def fill(folder: Path) -> None:
    """Write 200 runs of 20 experiments, each with a run per model below it, as `krp train` leaves them."""
    from mlflow.entities import Metric, Param, RunTag
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from training.log_book.tracking import open_store

    # Thousands of commits: the disk need not be waited for, the store is thrown away.
    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = off"))
    client = open_store(folder).client
    numbers = {"r2": 0.31, "r2_lower": 0.2, "r2_upper": 0.42, "mae": 12.3, "permutation_p": 0.01, "gain": 40.0,
               "gain_lower": -5.0, "gain_upper": 80.0, "best_baseline_r2": 0.29}  # fmt: skip
    facts = {"primary": "elastic_net", "first_model": "elastic_net", "best_baseline": "arm + clinical"}
    settings = {"outcome": "caps5_percent_improvement", "n_participants": "120"}
    settings |= {f"validation.setting_{number}": "1" for number in range(25)}
    for number in range(N_EXPERIMENTS):
        name = f"experiment-{number:02d}"
        experiment = client.create_experiment(name)
        for _ in range(N_RUNS_OF_EACH):
            own = facts | {"kind": "experiment", "splits_digest": f"sha256:{number % 3}"}
            parent = client.create_run(experiment, tags=own, run_name=name).info.run_id
            one = [Metric(key, value, 0, 0) for key, value in numbers.items()]
            rest = [Param(key, value) for key, value in settings.items()]
            client.log_batch(parent, one, rest, [RunTag("synthetic", "yes")])
            for model in range(N_MODELS):
                below = {"kind": "model", "mlflow.parentRunId": parent}
                child = client.create_run(experiment, tags=below, run_name=f"model {model}").info.run_id
                client.log_batch(child, one)
                client.set_terminated(child)
            client.set_terminated(parent)


def measure_all(folder: Path, *, n_rounds: int, is_demo: bool, is_quick: bool) -> dict[str, Any]:
    """Train, report and compare; times in seconds."""
    store, filled = folder / "mlruns", folder / "filled"
    time_command([sys.executable, "-c", MAKE_STORE, str(store)], n_rounds=1, cwd=PROJECT)
    in_its_own = [sys.executable, __file__, "--measure", str(store), *(["--demo"] if is_demo else [])]
    in_its_own += ["--quick"] if is_quick else []
    trained = json.loads(subprocess.run(in_its_own, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT).stdout)
    fill(filled)
    report = [*KRP, "report", trained.pop("run_id"), "--store", str(store), "--out", str(folder / "report.html")]
    compare = [*KRP, "compare", "--all-runs", "--store", str(filled)]
    commands = {"mlflow": IMPORT_MLFLOW, "report": report, "compare": compare}
    times = {
        name: time_command(command, n_rounds=n_rounds, cwd=PROJECT)["seconds"] for name, command in commands.items()
    }
    return {**times, **trained}


def measurements(found: dict[str, Any], *, n_rounds: int, is_quick: bool) -> list[Measurement]:
    """Return what was asked beside what was measured."""
    parts = sorted(found["logging_by_part"].items(), key=lambda part: -part[1])
    logging_s = sum(seconds for _, seconds in parts)
    itself_s = found["seconds"] - logging_s
    folds = "10-fold nested, 19 permutations" if is_quick else "2 × 10-fold nested, 99 permutations"
    dearest = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts[:4])
    mlflow, fresh = "importing MLflow, nothing else", f"fresh process, median of {n_rounds}"
    return [
        Measurement(
            GROUP, "`krp train` end to end", "s", found["seconds"],
            detail=f"120 people; elastic net, ridge and baselines, {folds}; fold isolation; benefit; report, card and "
            "registration",
        ),
        Measurement(
            GROUP, "what the log book adds to the experiment's own time", "%", 100 * logging_s / itself_s,
            at_most=MAX_LOGGING_PERCENT, detail=f"{logging_s:.1f} s beside {itself_s:.1f} s: {dearest}",
        ),
        Measurement(
            GROUP, "`krp report`", "s", found["report"], found["mlflow"], mlflow, at_most=MAX_REPORT_S, detail=fresh
        ),
        Measurement(
            GROUP, "`krp compare` over 200 runs", "s", found["compare"], found["mlflow"], mlflow,
            at_most=MAX_COMPARE_S, detail=fresh,
        ),
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="times each command is run (3; quick 1)")
    parser.add_argument("--demo", action="store_true", help="train on the files of `make run`")
    parser.add_argument("--measure", type=Path, metavar="STORE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        say(json.dumps(train(arguments.measure, is_demo=arguments.demo, is_quick=arguments.quick)))
        return 0
    n_rounds = arguments.rounds or (1 if arguments.quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(Path(folder), n_rounds=n_rounds, is_demo=arguments.demo, is_quick=arguments.quick)
    return conclude(measurements(found, n_rounds=n_rounds, is_quick=arguments.quick), as_json=arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
