from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from predictor.__main__ import main
from serving.access.api_keys import ApiKeys
from serving.store.audit_chain import AuditChain
from serving.store.database import Database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/service.db"


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("KRP_DATABASE_URL", url)


def create(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["keys", "create", "robot", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def keys_of(url: str) -> ApiKeys:
    return ApiKeys(Database.open(url))


def test_a_key_is_shown_alone_on_standard_output_and_works(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["keys", "create", "robot"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    assert shown.out.strip() not in shown.err
    assert keys_of(url).verify(shown.out.strip()).scopes == {"score", "read"}


def test_a_key_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    made = create(capsys)
    for arguments in (["keys", "list"], ["keys", "list", "--json"], ["keys", "revoke", made["id"]]):
        assert main(arguments) == 0
        shown = capsys.readouterr()
        assert made["id"] in shown.out + shown.err
        assert made["key"].split("_", 2)[2] not in shown.out + shown.err


def test_a_key_ends_after_a_year_unless_told_otherwise(capsys: pytest.CaptureFixture[str], url: str) -> None:
    create(capsys)
    create(capsys, "--days", "7")
    create(capsys, "--never-expires")
    lives = [key.expires - key.created if key.expires else None for key in keys_of(url).listed()]
    assert [life.days if life else None for life in lives] == [365, 7, None]


def test_scopes_are_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert create(capsys, "--scopes", "admin, read")["scopes"] == ["admin", "read"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scopes", "all"],
        ["--scopes", ""],
        ["--days", "0"],
        ["--days", "-1"],
        ["--days", "100000"],
        ["--days", "7", "--never-expires"],
    ],
    ids=" ".join,
)
def test_a_wrong_order_makes_no_key(capsys: pytest.CaptureFixture[str], url: str, arguments: list[str]) -> None:
    assert main(["keys", "create", "robot", *arguments]) == 2
    assert "krp_" not in capsys.readouterr().out
    assert not keys_of(url).any_was_ever_made()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "\x1b[2J"])
def test_a_note_is_one_short_printable_line(capsys: pytest.CaptureFixture[str], url: str, name: str) -> None:
    assert main(["keys", "create", name]) == 2
    assert not keys_of(url).any_was_ever_made()


def test_a_list_tells_states_apart(capsys: pytest.CaptureFixture[str]) -> None:
    valid, revoked = create(capsys), create(capsys)
    main(["keys", "revoke", revoked["id"]])
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    states = {item["id"]: item["state"] for item in json.loads(capsys.readouterr().out)}
    assert states == {valid["id"]: "valid", revoked["id"]: "revoked"}
    assert main(["keys", "list"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["id", "state"]
    assert [row.split()[1] for row in rows] == ["valid", "revoked"]


def test_an_unknown_id_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    create(capsys)
    assert main(["keys", "revoke", "0" * 12]) == 2
    assert "key-unknown" in capsys.readouterr().err


def test_listing_and_revoking_make_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    assert main(["keys", "list", "--database-url", elsewhere]) == 2
    assert main(["keys", "revoke", "0" * 12, "--database-url", elsewhere]) == 2
    assert not (tmp_path / "elsewhere.db").exists()


def test_making_and_revoking_a_key_stand_in_the_audit_log(capsys: pytest.CaptureFixture[str], url: str) -> None:
    made = create(capsys)
    main(["keys", "revoke", made["id"]])
    chain = AuditChain(Database.open(url))
    assert [(entry.owner, entry.action) for entry in chain.entries()] == [
        (f"key:{made['id']}", "key-created"),
        (f"key:{made['id']}", "key-revoked"),
    ]
