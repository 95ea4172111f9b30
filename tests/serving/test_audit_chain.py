from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from predictor.errors import AuditUnavailableError
from serving.store import audit_chain
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.store.database import Database

EVENT = AuditEvent("key:ada", "score-features", "sha256:m", "sha256:in", "sha256:out", 1)


class Commits:
    """What an observer is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.lags_s: list[float] = []

    def __call__(self, n_entries: int, /, *, lag_s: float) -> None:
        self.sizes.append(n_entries)
        self.threads.add(threading.current_thread().name)
        self.lags_s.append(lag_s)


@contextmanager
def started(database: Database, commits: Commits | None = None) -> Iterator[AuditChain]:
    chain = AuditChain(database, observe=commits)
    chain.start()
    try:
        yield chain
    finally:
        chain.stop()


async def record_many(chain: AuditChain, n_requests: int, *, n_events: int = 1) -> None:
    await asyncio.gather(*(chain.record([EVENT] * n_events) for _ in range(n_requests)))


def test_an_entry_says_who_did_what_and_when(database: Database) -> None:
    with started(database) as chain:
        asyncio.run(chain.record([EVENT, AuditEvent("local", "delete-all")]))
        first, second = chain.entries()
    assert (first.owner, first.action, first.row) == ("key:ada", "score-features", 1)
    assert (first.model_digest, first.input_digest, first.output_digest) == ("sha256:m", "sha256:in", "sha256:out")
    assert (second.sequence, second.owner, second.model_digest, second.row) == (2, "local", None, None)
    assert first.recorded.endswith("+00:00")


def test_requests_of_the_same_moment_share_a_commit_and_all_are_in_the_chain(database: Database) -> None:
    commits = Commits()
    with started(database, commits) as chain:
        for _ in range(3):
            asyncio.run(record_many(chain, 20, n_events=2))
        report = chain.verify()
    assert report.is_intact
    assert report.n_entries == sum(commits.sizes) == 120
    assert len(commits.sizes) <= 9
    assert all(lag_s > 0 for lag_s in commits.lags_s)


def test_the_entry_is_in_the_database_when_recording_returns(database: Database, database_url: str) -> None:
    async def record_and_read(chain: AuditChain) -> int:
        await chain.record([EVENT])
        other = Database.open(database_url)
        n_entries = len(AuditChain(other).entries())
        other.close()
        return n_entries

    with started(database) as chain:
        assert asyncio.run(record_and_read(chain)) == 1


def test_a_request_of_thousands_of_rows_is_one_commit(database: Database) -> None:
    commits = Commits()
    with started(database, commits) as chain:
        asyncio.run(chain.record([EVENT] * 2_345))
        asyncio.run(chain.record([EVENT]))
        assert chain.verify().n_entries == 2_346
    assert commits.sizes == [2_345, 1]


def test_entries_are_paged_in_their_order(database: Database) -> None:
    with started(database) as chain:
        chain.append([EVENT] * 7)
        assert [entry.sequence for entry in chain.entries(after=2, limit=3)] == [3, 4, 5]
        assert chain.entries(after=7) == []
        assert chain.head().sequence == 7


def test_nothing_is_recorded_before_the_start_and_after_the_end(database: Database) -> None:
    chain = AuditChain(database)
    with pytest.raises(AuditUnavailableError):
        asyncio.run(chain.record([EVENT]))
    chain.start()
    asyncio.run(chain.record([EVENT]))
    chain.stop()
    with pytest.raises(AuditUnavailableError):
        asyncio.run(chain.record([EVENT]))
    assert chain.verify().n_entries == 1


def test_stopping_commits_what_was_recorded(database: Database) -> None:
    async def stop_at_once(chain: AuditChain) -> None:
        requests = [asyncio.create_task(chain.record([EVENT])) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.to_thread(chain.stop)
        await asyncio.gather(*requests)

    chain = AuditChain(database)
    chain.start()
    asyncio.run(stop_at_once(chain))
    assert chain.verify().n_entries == 10


def test_it_can_be_started_again(database: Database) -> None:
    chain = AuditChain(database)
    for _ in range(2):
        chain.start()
        asyncio.run(record_many(chain, 3))
        chain.stop()
    assert chain.verify().n_entries == 6


def test_who_goes_away_does_not_disturb_the_others(database: Database) -> None:
    async def cancel_one(chain: AuditChain) -> None:
        leaving, staying = asyncio.create_task(chain.record([EVENT])), asyncio.create_task(chain.record([EVENT]))
        await asyncio.sleep(0)
        leaving.cancel()
        await staying

    with started(database) as chain:
        asyncio.run(cancel_one(chain))
        asyncio.run(chain.record([EVENT]))
        assert chain.verify().is_intact


def test_chains_of_several_services_on_one_database_are_one_chain(database: Database, database_url: str) -> None:
    other = Database.open(database_url)

    async def record_in_turns(chains: list[AuditChain]) -> None:
        for _ in range(10):
            await asyncio.gather(*(chain.record([EVENT] * 3) for chain in chains))

    with started(database) as first, started(other) as second:
        asyncio.run(record_in_turns([first, second]))
        report = second.verify()
    other.close()
    assert report.is_intact
    assert report.n_entries == 60


WRITER = """
import asyncio, sys
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.store.database import Database

async def write(chain, n_requests):
    for number in range(n_requests):
        await asyncio.gather(*(chain.record([AuditEvent(sys.argv[2], "score-features", row=number)]) for _ in range(4)))
        print(number, flush=True)

database = Database.open(sys.argv[1])
chain = AuditChain(database)
chain.start()
asyncio.run(write(chain, int(sys.argv[3])))
chain.stop()
"""


def start_writer(url: str, owner: str, n_requests: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, owner, str(n_requests)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_one_chain(database: Database, database_url: str) -> None:
    with start_writer(database_url, "a", 60) as first, start_writer(database_url, "b", 60) as second:
        for process in (first, second):
            process.communicate(timeout=60)
            assert process.returncode == 0
    chain = AuditChain(database)
    report = chain.verify()
    assert report.is_intact
    assert report.n_entries == 480
    assert [entry.owner for entry in chain.entries(limit=1_000)].count("a") == 240


def test_a_process_that_is_killed_leaves_every_entry_it_answered_for_and_a_whole_chain(
    database: Database, database_url: str
) -> None:
    n_promised = 0
    for round_number in range(3):
        with start_writer(database_url, f"round {round_number}", 1_000_000) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) == 15:
                    os.kill(process.pid, signal.SIGKILL)
            n_promised += 4 * 16
    report = AuditChain(database).verify()
    assert report.is_intact
    assert report.n_entries >= n_promised
    with started(database) as chain:
        chain.append([EVENT])
        assert chain.verify().n_entries == report.n_entries + 1


@pytest.fixture
def in_a_file(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path}/service.db")
    yield database
    database.close()


def test_without_a_database_nothing_is_taken_and_with_it_again_everything(
    in_a_file: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, away = tmp_path / "service.db", tmp_path / "away.db"
    with started(in_a_file) as chain:
        asyncio.run(chain.record([EVENT]))
        file.rename(away)
        with caplog.at_level(logging.ERROR), pytest.raises(AuditUnavailableError):
            asyncio.run(record_many(chain, 3))
        away.rename(file)
        asyncio.run(chain.record([EVENT]))
        assert chain.verify().n_entries == 2
    assert "did not take 3 entries" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_a_file_that_someone_else_writes_is_waited_for_outside_the_event_loop(
    in_a_file: Database, tmp_path: Path
) -> None:
    commits, turns = Commits(), 0

    async def record_while_locked(chain: AuditChain) -> None:
        nonlocal turns
        with sqlite3.connect(tmp_path / "service.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(chain.record([EVENT]))
            while turns < 20:
                await asyncio.sleep(0.001)
                turns += 1
            assert not waiting.done()
            other.execute("COMMIT")
        other.close()
        await waiting
        await chain.record([EVENT])

    with started(in_a_file, commits) as chain:
        asyncio.run(record_while_locked(chain))
        assert chain.verify().n_entries == 2
    assert commits.threads == {"audit-writer", threading.main_thread().name}


def test_a_slow_disk_does_not_hold_up_the_event_loop_twice(
    in_a_file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    monkeypatch.setattr(audit_chain, "SLOW_COMMIT_S", 0.0)
    monkeypatch.setattr(audit_chain, "REST_AFTER_SLOW_S", 3_600.0)
    with started(in_a_file, commits) as chain:
        asyncio.run(chain.record([EVENT]))
        assert commits.threads == {threading.main_thread().name}
        asyncio.run(chain.record([EVENT]))
        assert "audit-writer" in commits.threads


def test_a_turn_whose_entries_were_taken_already_keeps_nobody_waiting(in_a_file: Database) -> None:
    async def record_after_an_empty_turn(chain: AuditChain) -> None:
        chain._rests_until_s = float("inf")
        chain._commit_waiting()  # as when the thread's end took the entries before the turn that they had asked for
        chain._rests_until_s = 0.0
        await asyncio.wait_for(chain.record([EVENT]), timeout=20)

    with started(in_a_file) as chain:
        asyncio.run(record_after_an_empty_turn(chain))
        assert chain.verify().n_entries == 1


def test_a_server_that_restarted_is_noticed_before_the_answer_not_after(database: Database, database_url: str) -> None:
    if database.dialect == "sqlite":
        pytest.skip("a file has no server")
    with started(database) as chain:
        for _ in range(3):
            asyncio.run(chain.record([EVENT]))
            with psycopg.connect(database_url, autocommit=True) as other:
                others = "datname = current_database() AND pid <> pg_backend_pid()"
                other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
            time.sleep(0.05)
        asyncio.run(chain.record([EVENT]))
        report = chain.verify()
    assert report.is_intact
    assert report.n_entries == 4


def test_what_comes_while_the_thread_writes_goes_through_the_loop_again(in_a_file: Database) -> None:
    commits = Commits()

    async def record_while_the_thread_writes(chain: AuditChain) -> None:
        many = asyncio.create_task(chain.record([EVENT] * 2_000))
        await asyncio.sleep(0)
        while not chain._n_queued:
            await asyncio.sleep(0)
        await asyncio.gather(many, record_many(chain, 5))

    with started(in_a_file, commits) as chain:
        asyncio.run(record_while_the_thread_writes(chain))
        assert chain.verify().n_entries == 2_005
    assert commits.sizes == [2_000, 5]
    assert commits.threads == {"audit-writer", threading.main_thread().name}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_head",
        "UPDATE audit_head SET sequence = 0, hash = 'x'",
        "UPDATE audit_entries SET sequence = 3 WHERE sequence = 1",
    ],
    ids=["no end", "another end", "an entry beyond the end"],
)
def test_no_answer_leaves_once_the_chain_does_not_end_as_it_was_written(
    database: Database, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with started(database) as chain:
        asyncio.run(record_many(chain, 2))
        with database.writing() as connection:
            connection.execute(text(statement))
        with caplog.at_level(logging.ERROR), pytest.raises(AuditUnavailableError):
            asyncio.run(record_many(chain, 2))
        assert not chain.verify().is_intact
    assert "krp audit-log verify" in caplog.text


def test_who_only_watches_cannot_stop_the_log(in_a_file: Database, caplog: pytest.LogCaptureFixture) -> None:
    def fail(n_entries: int, /, *, lag_s: float) -> None:
        raise ZeroDivisionError

    chain = AuditChain(in_a_file, observe=fail)
    chain.start()
    with caplog.at_level(logging.ERROR):
        asyncio.run(chain.record([EVENT]))
        asyncio.run(chain.record([EVENT] * 101))
    chain.stop()
    assert chain.verify().n_entries == 102


def test_a_fault_of_ours_fails_the_request_and_not_the_writer(
    in_a_file: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with started(in_a_file) as chain:
        with monkeypatch.context() as patched:
            broken: Callable[..., None] = lambda events: 1 / 0  # noqa: E731
            patched.setattr(chain._patient, "append", broken)
            with caplog.at_level(logging.ERROR), pytest.raises(AuditUnavailableError):
                asyncio.run(chain.record([EVENT] * 101))
        asyncio.run(chain.record([EVENT] * 101))
        assert chain.verify().n_entries == 101
    assert "ZeroDivisionError" in caplog.text
