from __future__ import annotations

import pytest

from serving.access.rate_limit import TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_full_bucket_gives_a_minutes_tokens_at_once_and_then_says_how_long_to_wait(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=3, clock=clock)
    assert [buckets.take("key:a") for _ in range(4)] == [0, 0, 0, 20]


def test_waiting_for_so_long_is_enough_and_a_moment_less_is_not(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=60, clock=clock)
    while not (wait_s := buckets.take("key:a")):
        pass
    clock.now_s += wait_s - 0.01
    assert buckets.take("key:a") == pytest.approx(0.01)
    clock.now_s += 0.011
    assert buckets.take("key:a") == 0


def test_a_refused_request_costs_nothing(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=1, clock=clock)
    buckets.take("key:a")
    assert [buckets.take("key:a") for _ in range(100)] == [60] * 100


def test_a_long_rest_fills_no_bucket_beyond_its_size(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=2, clock=clock)
    buckets.take("key:a")
    clock.now_s += 86_400
    assert [buckets.take("key:a") for _ in range(3)] == [0, 0, 30]


def test_one_owner_does_not_use_up_anothers_tokens(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=1, clock=clock)
    assert buckets.take("key:a") == buckets.take("key:b") == 0


def test_looking_takes_nothing(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=1, clock=clock)
    assert [buckets.wait_s("10.0.0.1"), buckets.wait_s("10.0.0.1"), buckets.take("10.0.0.1")] == [0, 0, 0]
    assert buckets.wait_s("10.0.0.1") == 60


def test_many_owners_do_not_fill_the_memory_and_the_busy_ones_stay_counted(clock: Clock) -> None:
    buckets = TokenBuckets(per_minute=100, max_owners=10, clock=clock)
    for _ in range(100):
        buckets.take("busy")
    for number in range(9):
        buckets.take(f"other {number}")
    assert buckets.take("busy") > 0
    for number in range(1_000):
        buckets.take(f"stranger {number}")
    assert len(buckets._levels) == 10
