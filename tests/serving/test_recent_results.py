from __future__ import annotations

from serving.envelope import put_in_envelope
from serving.model_store import ModelStore
from serving.web.recent_results import RecentResults, Result


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def result(store: ModelStore) -> Result:
    return Result(put_in_envelope(b"{}", model_version="1"), {}, store.current(), "Visit")


def test_a_result_is_gone_when_its_time_is_up(store: ModelStore) -> None:
    clock = Clock()
    results = RecentResults(n_kept=5, keep_s=60, clock=clock)
    held = result(store)
    results.add(held)
    clock.now = 59.0
    assert results.get(held.envelope.id) is held
    clock.now = 60.0
    assert results.get(held.envelope.id) is None


def test_the_newest_results_are_kept(store: ModelStore) -> None:
    results = RecentResults(n_kept=2, keep_s=60)
    names = [results.add(result(store)) for _ in range(3)]
    assert [results.get(name) is None for name in names] == [True, False, False]


def test_a_deleted_result_is_gone(store: ModelStore) -> None:
    results = RecentResults(n_kept=2, keep_s=60)
    name = results.add(result(store))
    results.delete(name)
    assert results.get(name) is None
    results.delete(name)


def test_ids_cannot_be_guessed(store: ModelStore) -> None:
    names = {result(store).envelope.id for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 for name in names)
