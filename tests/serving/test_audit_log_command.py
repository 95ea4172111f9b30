from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from predictor.__main__ import main
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.store.database import Database


@pytest.fixture
def logged(database: Database, database_url: str) -> str:
    """Return the address of a database with thirty entries."""
    chain = AuditChain(database)
    chain.append([AuditEvent("key:ada", "score-features", "sha256:" + "m" * 64, row=row) for row in range(1, 31)])
    chain.stop()
    return database_url


def run(*words: str) -> int:
    return main(["audit-log", *words])


def tamper(database: Database, statement: str) -> None:
    with database.writing() as connection:
        connection.execute(text(statement))


def test_an_intact_log_is_said_to_be_and_gives_an_anchor(logged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--database-url", logged) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "intact: 30 entries"
    anchor = lines[1].removeprefix("anchor: ")
    assert run("verify", "--database-url", logged, "--expect", anchor) == 0
    assert run("verify", "--database-url", logged, "--expect", "f" * 64 + ":30") == 4
    assert "audit-log-broken" in capsys.readouterr().err


def test_a_changed_log_is_exit_code_4_with_the_entry_named(
    logged: str, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(database, "UPDATE audit_entries SET owner = 'key:bob' WHERE sequence = 17".replace(":", "\\:"))
    assert run("verify", "--database-url", logged) == 4
    shown = capsys.readouterr()
    assert "entry 17" in shown.err
    assert "intact" not in shown.out
    assert run("verify", "--database-url", logged, "--json") == 4
    report = json.loads(capsys.readouterr().out)
    assert (report["is_intact"], report["first_broken"], report["n_entries"]) == (False, 17, 16)


def test_programs_read_the_report_as_json(logged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--database-url", logged, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_intact"] is True
    assert report["anchor"] == f"{report['head']['hash']}:30"


def test_the_newest_entries_are_shown_or_those_after_a_number(logged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--database-url", logged) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert lines[-1].split()[0] == "30"
    assert "score-features row 30" in lines[-1]
    assert run("show", "--database-url", logged, "--after", "3", "--limit", "2", "--json") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["sequence"] for entry in entries] == [4, 5]
    assert run("show", "--database-url", logged, "--limit", "0") == 2


def test_an_empty_log_is_intact_and_shows_nothing(
    database: Database, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", "--database-url", database_url) == 0
    assert run("show", "--database-url", database_url) == 0
    assert "no entries" in capsys.readouterr().err


def test_the_settings_say_which_database(
    logged: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRP_DATABASE_URL", logged)
    assert run("verify") == 0
    assert "30 entries" in capsys.readouterr().out


def test_no_database_is_made_by_looking_for_one(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    assert run("verify", "--database-url", f"sqlite:///{folder}/service.db") == 2
    assert run("verify", "--database-url", f"sqlite:///{folder}/service.db", "--expect", "nonsense") == 2
    assert "--expect" in capsys.readouterr().err
    assert not [*folder.iterdir()]
