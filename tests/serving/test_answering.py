from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from predictor.errors import AuditUnavailableError, DatabaseUnavailableError
from predictor.model.answer import answer_bytes
from predictor.model.canonical_json import canonical_json
from predictor.pipeline import score_features
from serving.access.principal import Principal
from serving.answering import Scored, deliver, digest_of
from serving.model_facts import facts_bytes
from serving.model_store import ModelStore
from serving.operation.metrics import ServiceMetrics
from serving.store.audit_chain import AuditEvent
from serving.store.database import Database
from serving.store.results import ResultStore

OWNER = "key:0123"


class Log:
    """Stands for the audit log, and notes what was kept at the moment of writing."""

    def __init__(self, results: ResultStore | None = None, *, fails: bool = False) -> None:
        self.events: list[AuditEvent] = []
        self.fails = fails
        self.n_kept_before = 0
        self._results = results

    async def record(self, events: Sequence[AuditEvent]) -> None:
        if self.fails:
            raise AuditUnavailableError("the disk is full.")
        self.n_kept_before = len(self._results.list_of(OWNER)) if self._results else 0
        self.events += events


@pytest.fixture
def results(tmp_path: Path) -> Any:
    database = Database.open(f"sqlite:///{tmp_path}/service.db")
    yield ResultStore(database, keep=timedelta(hours=1), max_per_owner=10)
    database.close()


@pytest.fixture
def scored(store: ModelStore) -> list[Scored]:
    bundle = store.current().bundle
    answers = [
        answer_bytes(score_features({}, {}, bundle, recipe_hash=given, input_digest=None))
        for given in (bundle.recipe_hashes[0], "sha256:other")
    ]
    return [Scored(answer, "score-features", "sha256:in", row=row) for row, answer in enumerate(answers, start=1)]


def request_with(log: Log, results: Any, metrics: ServiceMetrics | None = None) -> Any:
    state = SimpleNamespace(audit=log, results=results, metrics=metrics or ServiceMetrics())
    principal = Principal(OWNER, frozenset({"score"}))
    return SimpleNamespace(app=SimpleNamespace(state=state), state=SimpleNamespace(principal=principal))


def test_every_answer_has_its_entry_with_the_digest_of_its_bytes(store: ModelStore, scored: list[Scored]) -> None:
    log = Log()
    envelopes = asyncio.run(deliver(request_with(log, None), scored, store.current()))
    assert [envelope.answer for envelope in envelopes] == [one.answer for one in scored]
    assert [(event.row, event.action, event.owner) for event in log.events] == [
        (1, "score-features", OWNER),
        (2, "score-features", OWNER),
    ]
    digests = ["sha256:" + sha256(one.answer).hexdigest() for one in scored]
    assert [event.output_digest for event in log.events] == digests
    assert {event.model_digest for event in log.events} == {store.current().bundle.digest}
    assert {event.input_digest for event in log.events} == {"sha256:in"}


def test_nothing_is_kept_unless_asked_for(store: ModelStore, scored: list[Scored], results: ResultStore) -> None:
    asyncio.run(deliver(request_with(Log(), results), scored, store.current()))
    assert results.list_of(OWNER) == []


def test_what_is_kept_is_the_same_bytes_and_comes_after_its_entry(
    store: ModelStore, scored: list[Scored], results: ResultStore
) -> None:
    log, model = Log(results), store.current()
    envelopes = asyncio.run(deliver(request_with(log, results), scored, model, keep=True))
    kept = [results.get(envelope.id, owner=OWNER) for envelope in envelopes]
    assert [one.answer for one in kept if one] == [one.answer for one in scored]
    assert results.model_facts(str(model.bundle.digest)) == facts_bytes(model)
    assert log.n_kept_before == 0
    assert {summary.label for summary in results.list_of(OWNER)} == {"Visit"}


def test_without_an_entry_nothing_leaves_and_nothing_is_kept(
    store: ModelStore, scored: list[Scored], results: ResultStore
) -> None:
    with pytest.raises(AuditUnavailableError):
        asyncio.run(deliver(request_with(Log(fails=True), results), scored, store.current(), keep=True))
    assert results.list_of(OWNER) == []


def test_an_answer_that_cannot_be_kept_is_an_error_and_no_silent_loss(store: ModelStore, scored: list[Scored]) -> None:
    class Gone:
        keep = timedelta(hours=1)

        def expires_from(self, created: Any) -> Any:
            return created + self.keep

        def add(self, *_: Any) -> None:
            raise DatabaseUnavailableError("the database does not answer.")

    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(deliver(request_with(Log(), Gone()), scored, store.current(), keep=True))


def test_answers_are_counted_by_their_status(store: ModelStore, scored: list[Scored]) -> None:
    metrics = ServiceMetrics()
    asyncio.run(deliver(request_with(Log(), None, metrics), scored, store.current()))
    text = metrics.text().decode()
    for status in {one.status for one in scored}:
        assert f'status="{status}"' in text
    assert scored[1].status == "refused"


def test_words_that_look_like_a_status_do_not_pass_for_one() -> None:
    reasons = [{"detail": '"status":"ok"'}]
    answer = canonical_json({"reasons": reasons, "quality": {"status": "ok"}, "status": "refused"})
    assert Scored(answer, "score-features", "sha256:in").status == "refused"


def test_a_visit_brings_the_digest_of_its_scans() -> None:
    scored = Scored.of_visit(b'{"provenance":{"input_digest":"sha256:ab"},"status":"ok"}', label="Sample visit")
    assert (scored.input_digest, scored.row, scored.label) == ("sha256:ab", None, "Sample visit")
    assert digest_of(b"") == "sha256:" + sha256(b"").hexdigest()
