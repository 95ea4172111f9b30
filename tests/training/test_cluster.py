"""On a real cluster: a scheduler and two workers, processes of their own that talk over TCP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from predictor.__main__ import main
from predictor.errors import ClusterLostError, ClusterUnreachableError, ClusterVersionsError, TrainingError, UsageError
from predictor.features.recipe import region_table_recipe
from predictor.model.linear_model import LinearEnsemble
from training import cluster
from training.config import ExperimentConfig
from training.experiment import ExperimentResult
from training.extraction.feature_table import extract_cohort, extract_visit, gather_table
from training.extraction.visit_result import result_path
from training.final_model import build_bundle
from training.judged_models import chance_level, judge_all, make_estimators, try_intervals
from training.training_table import TrainingTable
from training.workers import Workers, one_thread_each, open_workers

pytest.importorskip("distributed")
HERE = Path(__file__).parent
SECONDS_TO_START = 240  # a busy machine takes its time to import what a worker needs
N_VISITS, SECONDS_A_VISIT = 8, 0.5


@dataclass(frozen=True)
class RunningCluster:
    """A scheduler and its workers."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def running_cluster(folder: Path, *, n_workers: int = 2) -> Iterator[RunningCluster]:
    """Start a cluster, and end it by its processes."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "4"}
    file = folder / "scheduler.json"

    def start(*command: str) -> subprocess.Popen[bytes]:
        whole = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(file), "--no-dashboard"]
        return subprocess.Popen(whole, env=environment, cwd=folder, stderr=subprocess.DEVNULL)

    processes = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        _wait_for(file.is_file)
        options = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", str(folder))
        processes += [start("worker", "--name", f"w{number}", *options) for number in range(n_workers)]
        address = str(json.loads(file.read_text())["address"])
        with cluster.connected(address) as backend:
            _wait_for(lambda: len(backend._client.nthreads()) == n_workers)
        yield RunningCluster(address, processes[0], tuple(processes[1:]))
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _wait_for(condition: object) -> None:
    assert callable(condition)
    for _ in range(SECONDS_TO_START * 50):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError("it did not come about")


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Return a cluster that all tests of this module share; none but the last two may harm it."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def doomed(two_workers: RunningCluster) -> RunningCluster:
    """Return that cluster to the two last tests that need it: the first kills a worker, the second the scheduler."""
    return two_workers


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cluster_extracts_the_same_bytes_as_one_process(
    two_workers: RunningCluster, small_trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cluster = ["--backend", "dask", "--scheduler", two_workers.address]
    monkeypatch.chdir(tmp_path)  # the workers start elsewhere, so that relative paths must be made absolute
    tree = os.path.relpath(small_trial, tmp_path)
    assert main(["extract", tree, "one", "group", "--jobs", "1", "--quiet"]) == 0
    assert main(["extract", tree, "two", "group", *on_cluster, "--quiet"]) == 0
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_a_cluster_judges_and_fits_the_same_numbers_as_one_process(
    two_workers: RunningCluster, result: ExperimentResult, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    estimators = make_estimators(training_table, config)
    with open_workers(Workers(scheduler=two_workers.address)) as n_jobs, one_thread_each():
        assert n_jobs == 2
        models = judge_all(estimators, training_table, result.manifest, config, n_jobs=n_jobs)
        permutation = chance_level(estimators, training_table, models, result.manifest, config, n_jobs=n_jobs)
        first = estimators["elastic_net"]
        coverage = try_intervals(first, training_table, config, n_jobs=n_jobs)
        bundle = build_bundle(first, training_table, config, card={}, n_jobs=n_jobs)
    for ours, theirs in zip(models, result.models, strict=True):
        assert np.array_equal(ours.predicted.prediction, theirs.predicted.prediction)
    assert permutation is not None
    assert result.permutation is not None
    assert np.array_equal(permutation.null_r2, result.permutation.null_r2)
    assert coverage == result.coverage
    assert result.bundle is not None
    assert isinstance(bundle.bootstrap_models, LinearEnsemble)
    assert isinstance(result.bundle.bootstrap_models, LinearEnsemble)
    assert np.array_equal(bundle.bootstrap_models.weights, result.bundle.bootstrap_models.weights)
    assert np.array_equal(bundle.out_of_fold.residual, result.bundle.out_of_fold.residual)


def test_a_finished_participant_is_not_computed_again_though_the_answer_was_lost(tmp_path: Path) -> None:
    from slow_visits import REGIONS, SlowVisit

    recipe, log = region_table_recipe(REGIONS), tmp_path / "readings"
    visit = SlowVisit("sub-01", 1, log, 0.0)
    extract_cohort([visit], recipe, tmp_path, n_jobs=1)
    before = result_path(tmp_path, "sub-01").stat().st_ino
    assert extract_visit(visit, recipe, tmp_path) is None  # as the scheduler does when the worker dies too early
    assert log.read_text().count("\n") == 1
    assert result_path(tmp_path, "sub-01").stat().st_ino == before


def test_tasks_have_one_thread_share_what_comes_again_and_stay_in_their_process(two_workers: RunningCluster) -> None:
    from slow_visits import fail, nested_backend, shared_sum, threads_of_libraries

    numbers, table = np.arange(50_000.0), pd.DataFrame({"a": [1.0, 2.0]})
    with open_workers(Workers(scheduler=two_workers.address)) as n_jobs:
        parallel = Parallel(n_jobs=n_jobs)
        assert {count for found in parallel(delayed(threads_of_libraries)() for _ in range(4)) for count in found} == {
            1
        }
        found = parallel(delayed(shared_sum)(numbers, weight, table=table) for weight in range(20))
        assert found == [numbers.sum() * weight + 3.0 for weight in range(20)]
        assert parallel([delayed(nested_backend)()]) == [(0, "SequentialBackend")]
        with pytest.raises(TrainingError, match="too small") as caught:
            parallel([delayed(fail)(), delayed(fail)()])
        assert caught.value.where == "[cohort]"
        assert Parallel(n_jobs=1)([delayed(os.getpid)()]) == [os.getpid()]


def test_a_killed_worker_costs_the_work_on_its_participant_and_nothing_else(
    doomed: RunningCluster, tmp_path: Path
) -> None:
    from slow_visits import REGIONS, SlowVisit

    recipe, log = region_table_recipe(REGIONS), tmp_path / "readings"
    visits = [SlowVisit(f"sub-{number:02d}", number, log, SECONDS_A_VISIT) for number in range(N_VISITS)]
    lost: list[str] = []

    def kill_half_way() -> None:
        def half_is_read() -> bool:
            return log.is_file() and log.read_text().count("\n") >= N_VISITS // 2

        _wait_for(half_is_read)
        participant, process = log.read_text().splitlines()[-1].split()
        os.kill(int(process), signal.SIGKILL)  # while it reads this participant
        lost.append(participant)

    with open_workers(Workers(scheduler=doomed.address)) as n_jobs:
        killer = threading.Thread(target=kill_half_way)
        killer.start()
        summary = extract_cohort(visits, recipe, tmp_path / "out", n_jobs=n_jobs)
        killer.join()
        assert [process.poll() for process in doomed.workers].count(-signal.SIGKILL) == 1
        readings = Counter(line.split()[0] for line in log.read_text().splitlines())
        again = extract_cohort(visits, recipe, tmp_path / "out", n_jobs=n_jobs)
    assert not summary.failed
    assert readings == Counter({visit.participant_id: 1 for visit in visits}) + Counter(lost)
    assert len(again.skipped) == N_VISITS
    assert log.read_text().count("\n") == N_VISITS + 1
    gather_table(tmp_path / "out")
    extract_cohort([replace(visit, seconds=0.0) for visit in visits], recipe, tmp_path / "alone", n_jobs=1)
    gather_table(tmp_path / "alone")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")


def test_a_cluster_that_goes_away_is_an_error_with_a_name(doomed: RunningCluster) -> None:
    with open_workers(Workers(scheduler=doomed.address)) as n_jobs:
        killer = threading.Timer(0.5, doomed.scheduler.kill)
        killer.start()
        with pytest.raises(ClusterLostError):
            Parallel(n_jobs=n_jobs)(delayed(time.sleep)(1) for _ in range(30))
        killer.join()


def test_an_address_where_nobody_answers_is_named_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.3)
    with (
        pytest.raises(ClusterUnreachableError, match=r"no scheduler answered at tcp://127\.0\.0\.1:9"),
        open_workers(Workers(scheduler="tcp://127.0.0.1:9")),
    ):
        pass
    call = ["extract", str(tmp_path), str(tmp_path / "out"), "participant", "--backend"]
    assert main([*call, "dask"]) == 2
    assert main([*call, "loky", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert main([*call, "dask", "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"]) == 2
    said = capsys.readouterr().err
    for words in ("needs the address of a scheduler", "Add --backend dask", "--jobs has no meaning on a cluster"):
        assert words in said


@pytest.mark.parametrize("address", ["localhost", "http://localhost:8786", "tcp://localhost", "tcp://:1", "tcp://a:b"])
def test_what_is_no_address_is_wrong_use(address: str) -> None:
    with pytest.raises(UsageError, match="expected an address"), open_workers(Workers(scheduler=address)):
        pass


def test_without_dask_the_remedy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="not installed") as caught, open_workers(Workers(scheduler="tcp://a:1")):
        pass
    assert "ketamine-response-predictor[cluster]" in caught.value.remedy


def test_a_worker_with_other_versions_is_named() -> None:
    ours = {"packages": {"python": "3.11.1", **dict.fromkeys(cluster.COMPARED_PACKAGES, "1")}}
    other = {"packages": {**ours["packages"], "numpy": "2"}}
    same = {"client": ours, "scheduler": ours, "workers": {"tcp://a:1": ours}}
    cluster._check_versions(same)
    with pytest.raises(ClusterVersionsError, match="worker tcp://a:1 has numpy 2, this process 1"):
        cluster._check_versions({**same, "workers": {"tcp://a:1": other}})
    with pytest.raises(ClusterVersionsError, match="the scheduler has numpy 2"):
        cluster._check_versions({**same, "scheduler": other})
    with pytest.raises(ClusterVersionsError, match="a worker has version"):
        cluster.run_calls(cluster.Calls((), "0.0.0"))


def test_a_scheduler_without_workers_says_how_to_start_some() -> None:
    def nobody(n_workers: int, timeout: float) -> None:
        raise TimeoutError

    with pytest.raises(ClusterUnreachableError, match="has no workers") as caught:
        cluster._await_workers(SimpleNamespace(wait_for_workers=nobody), "tcp://host:8786")
    assert "dask worker tcp://host:8786" in caught.value.remedy
