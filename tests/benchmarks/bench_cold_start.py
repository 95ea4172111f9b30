"""How soon a fresh process is useful: the command line, one answer from it, and the service from start to ready.

`python tests/benchmarks/bench_cold_start.py` times, each in fresh processes, a Python that does nothing,
`import predictor`, `krp --help`, `krp score` of a row of features and of a visit with three runs, and `krp serve` until
/health/ready answers: from a bundle folder, from a registry (SQLite) whose last model is kept on this machine, and from
one without a kept copy. Files are in the page cache after the first round, whose time is not counted.

Asked: start to ready in 3 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench_service import rows_of
from bench_visit import write_visit
from fresh_process import time_command
from made_up_bundle import COVARIATE_VALUES, save_made_up_bundle
from measurement import Measurement, conclude, parser_of
from service_process import serve
from synthetic_scans import data_folder

KRP = str(Path(sys.executable).with_name("krp"))
MAX_START_S = 3.0
GROUP = "Cold starts"
REGISTER = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from predictor.model.bundle import load_bundle
from training.log_book.tracking import open_store, start_run
from training.shelf.registry import register_bundle
store = open_store(sys.argv[2])
with start_run(store, "benchmark", name="made-up people") as run:
    register_bundle(load_bundle(Path(sys.argv[1])), {}, store=store, run=run, tags={})
"""


def commands(folder: Path, bundle: Path, scans: Path) -> Iterator[tuple[str, Sequence[str], str]]:
    """Give what is run: in words, as a command, and what to know about it."""
    covariates = [part for name, value in COVARIATE_VALUES.items() for part in ("--covariate", f"{name}={value}")]
    table = folder / "features.tsv"
    row = rows_of(bundle)[0]
    table.write_text("\t".join(["participant_id", *row]) + "\n" + "\t".join(["sub-01", *map(str, row.values())]) + "\n")
    write_visit(folder / "derivatives", scans)
    yield "Python that does nothing", (sys.executable, "-c", "pass"), "what every row here contains"
    yield "`import predictor`", (sys.executable, "-c", "import predictor"), ""
    yield "`krp --version`", (KRP, "--version"), ""
    yield "`krp --help`", (KRP, "--help"), "every command's parser is built"
    score = [KRP, "score", "--bundle", str(bundle), "--json", *covariates]
    yield "`krp score` of one row of features", (*score, str(table)), "140 features, linear model"
    visit = folder / "derivatives" / "sub-01"
    yield "`krp score` of a visit", (*score, str(visit)), "rest 240, faces 200, conflict 200 volumes, 2 mm"


def command_times(folder: Path, bundle: Path, scans: Path, *, n_rounds: int) -> Iterator[Measurement]:
    """Time commands in fresh processes."""
    for name, command, detail in commands(folder, bundle, scans):
        time_command(command, n_rounds=1, cwd=folder)
        seconds = time_command(command, n_rounds=n_rounds, cwd=folder)["seconds"]
        yield Measurement(GROUP, name, "s", seconds, detail=detail)


def service_starts(folder: Path, bundle: Path, *, n_rounds: int) -> Iterator[Measurement]:
    """Time the service until it is ready, by where its model comes from."""
    store = folder / "mlruns"
    command = [sys.executable, "-c", REGISTER, str(bundle), str(store)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    registry = {"tracking_uri": f"sqlite:///{store}/mlflow.db", "model": "models:/ketamine-response/1"}
    for source, folder_of_bundle, settings in (
        ("a bundle folder", bundle, {}),
        ("a registry, its last model kept here", None, registry),
        ("a registry, nothing kept", None, registry),
    ):
        seconds = []
        for number in range(n_rounds + 1):
            kept = folder / ("kept" if "nothing" not in source else f"kept-{number}")
            with serve(folder_of_bundle, folder, model_cache=str(kept), **settings) as service:
                seconds += [service.seconds_to_ready] if number else []
        yield Measurement(
            GROUP, f"`krp serve` to ready, {source}", "s", statistics.median(seconds), at_most=MAX_START_S,
            detail=f"median of {n_rounds}",
        )  # fmt: skip


def main() -> int:
    """Run the benchmark."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="starts of each kind (5; quick 1)")
    arguments = parser.parse_args()
    n_rounds = arguments.rounds or (1 if arguments.quick else 5)
    with data_folder() as scans, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = folder / "bundle"
        save_made_up_bundle(bundle)
        found = [
            *command_times(folder, bundle, scans, n_rounds=n_rounds),
            *service_starts(folder, bundle, n_rounds=n_rounds),
        ]
    return conclude(found, as_json=arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
