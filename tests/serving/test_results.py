from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from predictor.errors import DatabaseUnavailableError
from serving.store.database import Database
from serving.store.results import KeptResult, ResultStore

MORNING = datetime(2026, 5, 4, 9, 30, 0, 123456, tzinfo=UTC)
FACTS = {"sha256:a": b"facts of a", "sha256:b": b"facts of b"}


class Clock:
    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> ResultStore:
    return ResultStore(database, keep=timedelta(hours=24), max_per_owner=5, clock=clock)


def kept(owner: str = "key:ada", *, digest: str = "sha256:a", **changed: object) -> KeptResult:
    answer = json.dumps({"status": "flagged", "research_use_only": True}).encode()
    fields: dict[str, object] = {
        "id": uuid4().hex, "owner": owner, "label": "Visit", "created": MORNING, "answer": answer,
        "expires": MORNING + timedelta(hours=24), "model_version": "7", "model_digest": digest,
    }  # fmt: skip
    return KeptResult(**(fields | changed))  # type: ignore[arg-type]


def count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_an_answer_comes_back_byte_for_byte_with_its_times(store: ResultStore) -> None:
    answer = b'{"status": "ok", "x":  0.1, "word": "\xc3\xa9"}'
    result = kept(answer=answer, label="line 3")
    store.add([result], FACTS)
    found = store.get(result.id, owner="key:ada")
    assert found is not None
    assert all(getattr(found, name) == getattr(result, name) for name in KeptResult.__dataclass_fields__)
    assert found.created.tzinfo is UTC
    assert found.status == "ok"


def test_another_owners_answer_is_not_there_and_cannot_be_deleted(store: ResultStore) -> None:
    result = kept("key:ada")
    store.add([result], FACTS)
    assert store.get(result.id, owner="key:bob") is None
    assert store.list_of("key:bob") == []
    assert store.delete(result.id, owner="key:bob") is False
    assert store.delete_all("key:bob") == 0
    assert store.get(result.id, owner="key:ada") is not None


def test_an_id_that_is_there_already_is_not_taken_by_anybody_and_nothing_beside_it(store: ResultStore) -> None:
    result = kept("key:ada")
    store.add([result])
    with pytest.raises(IntegrityError):
        store.add([kept("key:bob"), kept("key:bob", id=result.id)])
    assert store.list_of("key:bob") == []


def test_an_answer_is_gone_the_moment_its_time_is_up(store: ResultStore, clock: Clock, database: Database) -> None:
    result = kept()
    store.add([result], FACTS)
    clock.now = result.expires - timedelta(microseconds=1)
    assert store.get(result.id, owner=result.owner) is not None
    assert store.purge() == 0
    clock.now = result.expires
    assert store.get(result.id, owner=result.owner) is None
    assert store.list_of(result.owner) == []
    assert store.purge() == 1
    assert count(database, "results") == count(database, "model_facts") == 0


def test_the_history_shows_the_newest_first_and_no_answer(store: ResultStore) -> None:
    rows = [kept(label=f"line {number}") for number in range(3)]
    store.add(rows)
    store.add([kept(label="Visit", created=MORNING - timedelta(days=1))])
    history = store.list_of("key:ada")
    assert [line.label for line in history] == ["Visit", "line 2", "line 1", "line 0"]
    assert {line.status for line in history} == {"flagged"}
    assert not hasattr(history[0], "answer")


def test_the_oldest_go_when_an_owner_has_too_many(store: ResultStore) -> None:
    first, other = [kept(label=f"line {number}") for number in range(4)], kept("key:bob")
    store.add([other])
    store.add(first)
    store.add([kept(label=f"new {number}") for number in range(3)])
    labels = [line.label for line in store.list_of("key:ada")]
    assert labels == ["new 2", "new 1", "new 0", "line 3", "line 2"]
    assert store.get(other.id, owner="key:bob") is not None
    store.add([kept(label=f"many {number}") for number in range(8)])
    assert [line.label for line in store.list_of("key:ada")] == [f"many {number}" for number in (7, 6, 5, 4, 3)]


def test_delete_my_data_leaves_nothing_of_the_owner(store: ResultStore, database: Database) -> None:
    mine, others = [kept("key:ada"), kept("key:ada")], kept("key:bob", digest="sha256:b")
    store.add([*mine, others], FACTS)
    assert store.delete(mine[0].id, owner="key:ada") is True
    assert store.delete(mine[0].id, owner="key:ada") is False
    assert store.delete_all("key:ada") == 1
    assert count(database, "results") == 1
    assert store.model_facts("sha256:a") is None
    assert store.model_facts("sha256:b") == b"facts of b"


def test_facts_of_a_model_are_kept_once_and_as_long_as_one_of_its_answers(
    store: ResultStore, database: Database
) -> None:
    first, second = kept(), kept()
    store.add([first], {"sha256:a": b"facts of a", "sha256:unused": b"of nobody"})
    store.add([second], {"sha256:a": b"facts of a"})
    assert count(database, "model_facts") == 1
    store.delete(first.id, owner=first.owner)
    assert store.model_facts("sha256:a") == b"facts of a"
    store.delete(second.id, owner=second.owner)
    assert store.model_facts("sha256:a") is None


def test_facts_stay_while_answers_of_the_same_model_come_and_go(store: ResultStore) -> None:
    def come_and_go(number: int) -> list[bytes | None]:
        owner, seen = f"key:{number}", []
        for _ in range(6):
            result = kept(owner)
            store.add([result], {"sha256:a": b"facts of a"})
            seen.append(store.model_facts("sha256:a"))
            store.delete(result.id, owner=owner)
        return seen

    with ThreadPoolExecutor(4) as pool:
        seen = [facts for found in pool.map(come_and_go, range(4)) for facts in found]
    assert seen == [b"facts of a"] * 24
    assert store.model_facts("sha256:a") is None


@pytest.fixture
def in_a_file(tmp_path: Path, clock: Clock) -> Iterator[ResultStore]:
    database = Database.open(f"sqlite:///{tmp_path}/service.db")
    yield ResultStore(database, keep=timedelta(hours=24), max_per_owner=5, clock=clock)
    database.close()


def purge_later(store: ResultStore, clock: Clock) -> None:
    clock.now += timedelta(days=2)
    store.purge()


@pytest.mark.parametrize(
    "forget",
    [
        lambda store, clock: [store.delete(one.id, owner="key:ada") for one in store.list_of("key:ada")],
        lambda store, clock: store.delete_all("key:ada"),
        purge_later,
        lambda store, clock: (store.add([kept() for _ in range(5)]), store.purge()),
    ],
    ids=["deleted", "all deleted", "expired", "too many"],
)
def test_what_was_deleted_stands_in_no_file_any_more(
    in_a_file: ResultStore, clock: Clock, tmp_path: Path, forget: Callable[[ResultStore, Clock], object]
) -> None:
    secrets = [f"planted-{number}-{uuid4().hex}" for number in range(2)]
    for secret in secrets:
        answer = json.dumps({"status": "ok", "text": secret * 400}).encode()
        in_a_file.add([kept(answer=answer)], FACTS)

    def found() -> list[str]:
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [secret for secret in secrets if secret.encode() in content]

    assert found() == secrets
    forget(in_a_file, clock)
    assert found() == []


def test_a_database_that_is_gone_is_named(in_a_file: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "service.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseUnavailableError):
        in_a_file.add([kept()])
    with pytest.raises(DatabaseUnavailableError):
        in_a_file.purge()
