from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from predictor.errors import UsageError
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.store.audit_entry import FIRST_HASH, AuditEntry, ChainHead, seal
from serving.store.chain_report import read_anchor
from serving.store.database import Database

N_ENTRIES = 8


@pytest.fixture
def chain(database: Database) -> Iterator[AuditChain]:
    """Return a chain of eight entries, committed in two groups."""
    chain = AuditChain(database)
    events = [
        AuditEvent("key:ada", "score-features", "sha256:m", f"sha256:in{number}", "sha256:out", number)
        for number in range(N_ENTRIES)
    ]
    chain.append(events[:3])
    chain.append(events[3:])
    yield chain
    chain.stop()


@pytest.fixture
def tamper(database: Database) -> Callable[[str], None]:
    """Return what changes the database behind the service's back."""

    def run(statement: str) -> None:
        with database.writing() as connection:
            if database.dialect == "sqlite":
                connection.execute(text("DROP TRIGGER IF EXISTS audit_head_moves"))
            connection.execute(text(statement))

    return run


def seal_anew(chain: AuditChain, tamper: Callable[[str], None], *, from_sequence: int) -> None:
    """Write every hash from an entry on, and the chain's end, as whoever may write to the database can."""
    previous, entries = FIRST_HASH, chain.entries(limit=100)
    for entry in entries:
        new = seal(previous, *entry[:-1])
        if entry.sequence >= from_sequence:
            tamper(f"UPDATE audit_entries SET hash = '{new}' WHERE sequence = {entry.sequence}")
        previous = new
    tamper(f"UPDATE audit_head SET sequence = {entries[-1].sequence}, hash = '{previous}'")


def test_a_chain_as_it_was_written_is_intact(chain: AuditChain) -> None:
    report = chain.verify()
    assert report.is_intact
    assert report.n_entries == N_ENTRIES
    assert report.anchor == f"{chain.entries()[-1].hash}:{N_ENTRIES}"


def test_an_empty_chain_is_intact(database: Database) -> None:
    report = AuditChain(database).verify()
    assert report.is_intact
    assert report.anchor == f"{'0' * 64}:0"


def test_anybody_can_check_a_hash_with_sha256_and_json(chain: AuditChain) -> None:
    previous = "0" * 64
    for entry in chain.entries():
        document = json.dumps(entry[:-1], separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(f"{previous}\n{document}".encode()).hexdigest()
        assert entry.hash == previous


@pytest.mark.parametrize(
    "change",
    [
        "recorded = '2020-01-01T00:00:00+00:00'", "owner = 'key:bob'", "action = 'score-scan'", "model_digest = NULL",
        "input_digest = 'sha256:x'", "output_digest = ''", '"row" = 99', '"row" = NULL', f"hash = '{'f' * 64}'",
    ],
)  # fmt: skip
def test_a_changed_entry_is_named(chain: AuditChain, tamper: Callable[[str], None], change: str) -> None:
    tamper(f"UPDATE audit_entries SET {change} WHERE sequence = 4")
    report = chain.verify()
    assert report.first_broken == 4
    assert "changed" in report.reason
    assert report.n_entries == 3


@pytest.mark.parametrize("gone", [1, 4])
def test_a_dropped_entry_is_named(chain: AuditChain, tamper: Callable[[str], None], gone: int) -> None:
    tamper(f"DELETE FROM audit_entries WHERE sequence = {gone}")
    report = chain.verify()
    assert report.first_broken == gone
    assert "missing" in report.reason


def test_two_exchanged_entries_are_named(chain: AuditChain, tamper: Callable[[str], None]) -> None:
    for old, new in ((4, 99), (5, 4), (99, 5)):
        tamper(f"UPDATE audit_entries SET sequence = {new} WHERE sequence = {old}")
    assert chain.verify().first_broken == 4


def test_a_missing_end_is_named(chain: AuditChain, tamper: Callable[[str], None]) -> None:
    tamper(f"DELETE FROM audit_entries WHERE sequence > {N_ENTRIES - 2}")
    report = chain.verify()
    assert report.first_broken == N_ENTRIES - 1
    assert f"says {N_ENTRIES} entries" in report.reason


def test_a_missing_record_of_the_end_is_named(chain: AuditChain, tamper: Callable[[str], None]) -> None:
    tamper("DELETE FROM audit_head")
    report = chain.verify()
    assert "record of the chain's end is missing" in report.reason
    assert not report.is_intact


def test_an_entry_added_beside_the_chain_is_named(chain: AuditChain, tamper: Callable[[str], None]) -> None:
    last = chain.entries()[-1]
    added = AuditEntry(9, last.recorded, "key:eve", "score-scan", None, None, None, None, "")
    forged = seal(last.hash, *added[:-1])
    tamper(
        "INSERT INTO audit_entries (sequence, recorded, owner, action, hash) "
        f"VALUES (9, '{last.recorded.replace(':', chr(92) + ':')}', 'key\\:eve', 'score-scan', '{forged}')"
    )
    assert "beside" in chain.verify().reason


def test_a_chain_cut_and_sealed_anew_is_found_by_what_was_noted_elsewhere(
    chain: AuditChain, tamper: Callable[[str], None]
) -> None:
    noted = read_anchor(chain.verify().anchor)
    tamper("DELETE FROM audit_entries WHERE sequence > 5")
    seal_anew(chain, tamper, from_sequence=6)
    assert chain.verify().is_intact
    report = chain.verify(expected=noted)
    assert report.first_broken == 6
    assert "noted" in report.reason


def test_a_chain_rewritten_from_an_entry_on_is_found_by_what_was_noted_elsewhere(
    chain: AuditChain, tamper: Callable[[str], None]
) -> None:
    noted = ChainHead(6, chain.entries()[5].hash)
    tamper("UPDATE audit_entries SET owner = 'key:bob' WHERE sequence = 2")
    seal_anew(chain, tamper, from_sequence=2)
    assert chain.verify().is_intact
    report = chain.verify(expected=noted)
    assert report.first_broken == 6
    assert "another hash than was noted" in report.reason


def test_what_was_noted_holds_while_the_chain_grows(chain: AuditChain) -> None:
    noted = read_anchor(chain.verify().anchor)
    chain.append([AuditEvent("key:ada", "score-scan")])
    report = chain.verify(expected=noted)
    assert report.is_intact
    assert report.n_entries == N_ENTRIES + 1


def test_what_is_appended_to_a_tampered_chain_does_not_hide_it(
    database: Database, chain: AuditChain, tamper: Callable[[str], None]
) -> None:
    tamper("UPDATE audit_entries SET owner = 'key:bob' WHERE sequence = 4")
    chain.append([AuditEvent("key:ada", "score-scan")])
    assert chain.verify().first_broken == 4


@pytest.mark.parametrize("written", ["", "12", "f" * 64, f"{'f' * 63}:1", f"{'f' * 64}:x", f"{'f' * 64}:-1"])
def test_an_anchor_of_another_form_is_wrong_use(written: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal"):
        read_anchor(written)
