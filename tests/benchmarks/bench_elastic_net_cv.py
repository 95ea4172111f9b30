"""How fast nested elastic-net cross-validation is, beside scikit-learn's ElasticNetCV and R's cv.glmnet.

`python tests/benchmarks/bench_elastic_net_cv.py` runs nested leave-one-out for 21 people with 12 and with 60 features,
on the reference cases beside the project where they are, else on numbers of the same size, in one thread:

- beside scikit-learn, both solve the same problem: the same outer and inner folds, mixture .5, 100 penalties shared by
  the inner folds, columns and outcome standardised once beforehand. scikit-learn stops at its own default tolerance,
  which is to its advantage, as ours are exact; a warning that it did not converge stops the benchmark. What is left of
  a difference comes from the outcome's spread, by which glmnet's quadratic penalty is divided in every fold anew;
- beside R, both take the defaults of `cv.glmnet`, which standardises in every fold and gives every fold its own
  penalties. Without R the time stored with the case stands there, as such: it was taken on another, loaded machine;
- then the permutation test of the whole procedure, on all cores.

Asked: at least 20 times faster than R; 1,000 permutations (21 people, 12 features) within 60 s on 2 cores. Times of
both sides are processor time, but for R's stored times and the permutations, which are times on the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from measurement import Measurement, conclude, parser_of
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import LeaveOneOut

from training.evaluation.elastic_net_cv import Columns, PenaltyGrid, nested_elastic_net, permute_elastic_net
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.splits import PartitionMaker, leave_one_out

Floats = NDArray[np.float64]
REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
CASES = {"glmnet_n21p12": (21, 12), "glmnet_n21p60": (21, 60)}
MIN_FASTER_THAN_R = 20.0
MAX_PERMUTATION_S, N_PERMUTATIONS = 60.0, 1000
L1_RATIO, N_PENALTIES, SMALLEST_FRACTION = 0.5, 100, 1e-3
MAX_ITERATIONS, MAX_DIFFERENCE_SD = 1_000_000, 0.1
GROUP = "Cross-validated elastic net"
R_SCRIPT = """
suppressMessages(library(glmnet)); folder <- commandArgs(TRUE)[1]
x <- as.matrix(read.csv(file.path(folder, "X.csv"))); y <- read.csv(file.path(folder, "y.csv"))$y; n <- length(y)
nested <- function() for (i in 1:n) {
  fit <- cv.glmnet(x[-i, ], y[-i], alpha = .5, foldid = 1:(n - 1), grouped = FALSE)
  predict(fit, x[i, , drop = FALSE], s = "lambda.min") }
nested(); cat(sum(system.time(nested())[c("user.self", "sys.self")]))
"""


def case_of(name: str) -> tuple[Floats, Floats]:
    """Predictors and outcome of a reference case, or made-up ones of its size."""
    if (REFERENCE / name).is_dir():
        X = np.loadtxt(REFERENCE / name / "X.csv", delimiter=",", skiprows=1)
        return X, np.loadtxt(REFERENCE / name / "y.csv", skiprows=1)
    rng, (n_people, n_features) = np.random.default_rng(0), CASES[name]
    X = rng.standard_normal((n_people, n_features))
    return X, np.asarray(X[:, :3].sum(axis=1) + 2 * rng.standard_normal(n_people))


def ours_beside_scikit_learn(name: str, *, n_rounds: int) -> Measurement:
    """The same problem by both, without anything that only one of them can do."""
    X, y = (_standardised(one) for one in case_of(name))
    grid = PenaltyGrid(
        l1_ratios=(L1_RATIO,), n_penalties=N_PENALTIES, smallest_fraction=SMALLEST_FRACTION, stops_early=False,
        shares_grid=True,
    )  # fmt: skip
    columns = Columns.of(X, standardise=False)
    seconds, found = cpu_seconds(lambda: nested_elastic_net(columns, y, leave_one_out(len(y)), grid=grid), n_rounds)
    ours = found.prediction[0]
    their_seconds, theirs = cpu_seconds(lambda: nested_by_scikit_learn(X, y), 1)
    difference = float(np.abs(ours - theirs).max())  # of an outcome whose standard deviation is 1
    if difference > MAX_DIFFERENCE_SD:
        raise SystemExit(f"{name}: predictions differ by {difference:.2g} SD: not the same problem was timed")
    n_people, n_features = X.shape
    return Measurement(
        GROUP, f"nested leave-one-out, {n_people} people, {n_features} features, the same problem", "ms",
        1e3 * seconds, 1e3 * their_seconds, "scikit-learn's ElasticNetCV",
        detail=f"{N_PENALTIES} penalties, one thread, processor time; scikit-learn converged at its default "
        f"tolerance; predictions differ by at most {difference:.2g} SD of the outcome",
    )  # fmt: skip


def nested_by_scikit_learn(X: Floats, y: Floats) -> Floats:
    """Predict every person by ElasticNetCV tuned without them, shape (n_people,)."""
    predictions = np.empty(len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for person in range(len(y)):
            others = np.arange(len(y)) != person
            model = ElasticNetCV(
                l1_ratio=L1_RATIO, alphas=N_PENALTIES, eps=SMALLEST_FRACTION, cv=LeaveOneOut(),
                max_iter=MAX_ITERATIONS,
            )  # fmt: skip
            predictions[person] = model.fit(X[others], y[others]).predict(X[[person]])[0]
    return predictions


def ours_beside_r(name: str, *, n_rounds: int) -> Measurement:
    """Both with what `cv.glmnet` does by itself."""
    X, y = case_of(name)
    columns = Columns.of(X)
    seconds, _ = cpu_seconds(lambda: nested_elastic_net(columns, y, leave_one_out(len(y))), n_rounds)
    n_people, n_features = X.shape
    title = f"nested leave-one-out, {n_people} people, {n_features} features, as cv.glmnet"
    if (found := seconds_of_r(name)) is None:
        return Measurement(GROUP, title, "ms", 1e3 * seconds, detail="neither R nor its stored time is here")
    return Measurement(
        GROUP, title, "ms", 1e3 * seconds, 1e3 * found[0], f"R's cv.glmnet, {found[1]}",
        ratio_at_least=MIN_FASTER_THAN_R, detail=f"one thread, processor time, median of {n_rounds}; results agree "
        "with R's to what the reference cases ask (tests/reference)",
    )  # fmt: skip


def seconds_of_r(name: str) -> tuple[float, str] | None:
    """Seconds of nested cv.glmnet, and whether they were measured here; None without R and without a stored time."""
    if not (REFERENCE / name).is_dir():
        return None
    if shutil.which("Rscript"):
        command = ["Rscript", "-e", R_SCRIPT, str(REFERENCE / name)]
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode == 0:
            return float(answer.stdout), "measured here"
    info = json.loads((REFERENCE / name / "out_info.json").read_text())
    return float(info["default_owngrid_sec_nested"]), "stored time of another machine"


def permutations(name: str, *, n_permutations: int) -> Measurement:
    """Time the permutation test of the whole nested leave-one-out."""
    X, y = case_of(name)
    columns, n_jobs = Columns.of(X), os.cpu_count() or 1
    observed = r2_against_training_mean(nested_elastic_net(columns, y, leave_one_out(len(y))))
    started = time.perf_counter()
    found = permute_elastic_net(
        columns, y, make_partition=PartitionMaker(None, None), observed_r2=observed, n_permutations=n_permutations,
        seed=0, n_jobs=n_jobs,
    )  # fmt: skip
    seconds = (time.perf_counter() - started) * N_PERMUTATIONS / n_permutations
    counted = "" if n_permutations == N_PERMUTATIONS else f"{n_permutations} were drawn, the time is scaled; "
    return Measurement(
        GROUP, f"{N_PERMUTATIONS:,} permutations of it, {len(y)} people, {X.shape[1]} features", "s", seconds,
        at_most=MAX_PERMUTATION_S, detail=f"{counted}{n_jobs} threads; R2 {observed:.2f}, p {found.p_value:.3f}",
    )  # fmt: skip


def cpu_seconds(run: Callable[[], object], n_rounds: int) -> tuple[float, object]:
    """Median processor time of a task, and what it gave the last time."""
    times = []
    for _ in range(n_rounds):
        started = time.process_time()
        found = run()
        times.append(time.process_time() - started)
    return statistics.median(times), found


def measurements(*, n_rounds: int, n_permutations: int) -> list[Measurement]:
    """Measure every case, once compiled."""
    nested_elastic_net(Columns.of(case_of("glmnet_n21p12")[0]), case_of("glmnet_n21p12")[1], leave_one_out(21))
    found = []
    for name in CASES:
        found += [ours_beside_scikit_learn(name, n_rounds=n_rounds), ours_beside_r(name, n_rounds=n_rounds)]
    return [*found, permutations("glmnet_n21p12", n_permutations=n_permutations)]


def main() -> int:
    """Run the benchmark."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="our nested cross-validations per case (15; quick 3)")
    parser.add_argument("--permutations", type=int, help=f"permutations ({N_PERMUTATIONS}; quick 100)")
    arguments = parser.parse_args()
    n_rounds = arguments.rounds or (3 if arguments.quick else 15)
    n_permutations = arguments.permutations or (100 if arguments.quick else N_PERMUTATIONS)
    return conclude(measurements(n_rounds=n_rounds, n_permutations=n_permutations), as_json=arguments.json)


def _standardised(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


if __name__ == "__main__":
    raise SystemExit(main())
