from __future__ import annotations

import signal
from dataclasses import dataclass
from threading import current_thread

import pytest
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from predictor.errors import WorkerLostError
from training.workers import Workers, is_cluster_open, map_compiled, one_thread_each, open_workers, worthwhile_jobs


def test_a_process_that_was_killed_is_named_and_not_a_bug() -> None:
    with pytest.raises(WorkerLostError) as caught, open_workers(Workers(n_jobs=2)) as n_jobs:
        # As the system does to a process that takes too much memory.
        Parallel(n_jobs=n_jobs)(delayed(signal.raise_signal)(signal.SIGKILL) for _ in range(2))
    assert "not computed again" in caught.value.remedy


def test_processes_of_this_machine_are_the_default() -> None:
    with open_workers(Workers(n_jobs=3)) as n_jobs:
        assert n_jobs == 3
        assert not is_cluster_open()
        assert worthwhile_jobs(1, n_jobs) == 1
        assert worthwhile_jobs(2, n_jobs) == 3
        with one_thread_each():
            assert get_active_backend()[0].inner_max_num_threads == 1


def test_compiled_code_is_spread_over_threads_in_the_order_of_its_items() -> None:
    def name_of_thread(item: int) -> tuple[int, str]:
        return item, current_thread().name

    found = list(map_compiled(name_of_thread, range(6), n_jobs=2))
    assert [item for item, _ in found] == list(range(6))
    assert all(name.startswith("ThreadPoolExecutor") for _, name in found)


@dataclass(frozen=True)
class _ClusterLike:
    """What stands where an open cluster's backend would."""

    is_cluster: bool = True


def test_a_lone_task_goes_to_a_cluster_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.workers.get_active_backend", lambda: (_ClusterLike(), -1))
    assert worthwhile_jobs(1, 8) == 8
    with one_thread_each():
        pass
    assert is_cluster_open()
