from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest
from joblib import Parallel, delayed

from predictor.errors import TrainingError, WorkerLostError
from predictor.features.recipe import default_recipe, region_table_recipe
from training import fork_server
from training.cohort.derivatives import find_derivatives_visits
from training.commands.cohort_commands import OF_EVERY_VISIT
from training.extraction.feature_table import extract_cohort, gather_table
from training.workers import Workers, open_workers

HERE = Path(__file__).parent
SECONDS_TO_END = 120  # a busy machine takes its time
LONG_S = 600  # of a task that nobody waits for
# Says who computes, works until it is killed.
LASTING_COMMAND = f"""
import os, time
from training import fork_server
assert fork_server.start({OF_EVERY_VISIT!r})
from joblib import Parallel, delayed
from training.workers import Workers, open_workers
with open_workers(Workers(2, are_forked=True)) as n_jobs:
    parallel = Parallel(n_jobs=n_jobs)
    print(*parallel(delayed(call)() for call in (os.getpid, os.getppid)), flush=True)
    parallel(delayed(time.sleep)(600) for _ in range(2))
"""


@pytest.fixture
def n_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Open two forked workers; what is imported early is what `krp extract` names."""
    monkeypatch.syspath_prepend(str(HERE))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as `krp` does
        monkeypatch.setenv(name, "1")
    if not fork_server.start(OF_EVERY_VISIT):
        pytest.skip("workers cannot be forked here")
    with open_workers(Workers(n_jobs=2, are_forked=True)) as found:
        yield found


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_forked_workers_extract_the_same_bytes_as_one_process(n_jobs: int, tmp_path: Path) -> None:
    from slow_visits import REGIONS, SlowVisit

    recipe = region_table_recipe(REGIONS)
    visits = [SlowVisit(f"sub-{number:02d}", number, tmp_path / "log", 0.0) for number in range(5)]
    for name, processes in (("two", n_jobs), ("one", 1)):
        assert not extract_cohort(visits, recipe, tmp_path / name, n_jobs=processes).failed
        gather_table(tmp_path / name)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    readers = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()[:5]}
    assert str(os.getpid()) not in readers


def test_everything_that_a_visit_needs_was_imported_before_its_worker_was_forked(
    n_jobs: int, small_trial: Path, tmp_path: Path
) -> None:
    from slow_visits import modules_gained

    recipe = default_recipe()
    visits = find_derivatives_visits(small_trial, tasks=recipe.tasks)
    (gained,) = Parallel(n_jobs=n_jobs)([delayed(modules_gained)(visits[0], recipe, tmp_path)])
    # What a table needs to be written is a matter of milliseconds.
    slow = {"predictor", "training", "nibabel", "nilearn", "scipy", "sklearn"}
    assert [name for name in gained if name.partition(".")[0] in slow] == []


def test_the_server_has_one_thread_and_its_workers_one_for_linear_algebra(n_jobs: int) -> None:
    from slow_visits import threads_of_libraries

    parallel = Parallel(n_jobs=n_jobs)
    servers = set(parallel(delayed(os.getppid)() for _ in range(4)))
    assert len(servers) == 1
    assert os.getpid() not in servers
    assert psutil.Process(servers.pop()).num_threads() == 1  # else forking it would not be sound
    assert {count for found in parallel(delayed(threads_of_libraries)() for _ in range(4)) for count in found} == {1}


def test_a_forked_worker_that_was_killed_is_named_and_not_a_bug(n_jobs: int) -> None:
    with pytest.raises(WorkerLostError), open_workers(Workers(n_jobs=n_jobs, are_forked=True)):
        Parallel(n_jobs=n_jobs)(delayed(signal.raise_signal)(signal.SIGKILL) for _ in range(2))
    with open_workers(Workers(n_jobs=n_jobs, are_forked=True)):
        assert Parallel(n_jobs=n_jobs)(delayed(abs)(number) for number in (-1, -2)) == [1, 2]


def test_a_server_that_was_killed_ends_the_call_and_the_next_one_starts_another(n_jobs: int) -> None:
    (server,) = Parallel(n_jobs=n_jobs)([delayed(os.getppid)()])
    os.kill(server, signal.SIGKILL)
    while psutil.Process(server).status() != psutil.STATUS_ZOMBIE:  # nobody but its parent may wait for it
        time.sleep(0.01)
    with pytest.raises(BrokenProcessPool):
        Parallel(n_jobs=n_jobs)(delayed(time.sleep)(600) for _ in range(2))
    assert Parallel(n_jobs=n_jobs)(delayed(abs)(number) for number in (-1, -2)) == [1, 2]


def test_an_error_of_a_task_arrives_and_workers_go_on_to_serve(n_jobs: int) -> None:
    from slow_visits import fail

    with pytest.raises(TrainingError, match="too small"):
        Parallel(n_jobs=n_jobs)([delayed(fail)(), delayed(fail)()])
    assert Parallel(n_jobs=n_jobs)(delayed(abs)(number) for number in (-1, -2)) == [1, 2]


def test_workers_collect_garbage_though_their_server_does_not(n_jobs: int) -> None:
    assert Parallel(n_jobs=n_jobs)([delayed(gc.isenabled)(), delayed(abs)(1)])[0] is True
    assert Parallel(n_jobs=n_jobs)([delayed(gc.get_freeze_count)(), delayed(abs)(1)])[0] > 0


def test_workers_leave_ctrl_c_to_the_command(n_jobs: int) -> None:
    (handler,) = Parallel(n_jobs=n_jobs)([delayed(signal.getsignal)(signal.SIGINT)])
    assert handler == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) != signal.SIG_IGN


def interrupt_after_one_result() -> None:
    with open_workers(Workers(2, are_forked=True)) as n_jobs:
        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(time.sleep)(s) for s in (0, LONG_S))
        next(results)
        raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:.* tasks :UserWarning")  # joblib, of what is lost
def test_an_interruption_between_two_results_does_not_wait_for_what_is_still_computed() -> None:
    if not fork_server.start(["training.forked_workers"]):
        pytest.skip("workers cannot be forked here")
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_one_result()
    assert time.monotonic() - begin < LONG_S


def test_workers_and_their_server_end_with_a_killed_command() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", LASTING_COMMAND], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as command:
        assert command.stdout is not None
        others = [psutil.Process(int(word)) for word in command.stdout.readline().split()]
        assert len(others) == 2
        command.kill()
        command.wait()
    _, alive = psutil.wait_procs(others, timeout=SECONDS_TO_END)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
