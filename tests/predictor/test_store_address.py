from __future__ import annotations

import os
from pathlib import Path

import pytest

from predictor.errors import UsageError
from predictor.store_address import store_address, without_credentials


def test_a_folder_holds_database_and_artifacts(tmp_path: Path) -> None:
    address = store_address(tmp_path / "log book")
    assert address.uri == f"sqlite:///{tmp_path}/log book/mlflow.db"
    assert address.database == tmp_path / "log book" / "mlflow.db"
    assert address.artifacts == tmp_path / "log book" / "artifacts"
    assert address.shown == "log book"


def test_an_sqlite_address_is_the_store_of_the_folder_it_stands_in(tmp_path: Path) -> None:
    assert store_address(f"sqlite:///{tmp_path}/mlflow.db") == store_address(tmp_path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_postgresql_is_spoken_to_by_psycopg_3_and_keeps_files_in_a_folder(scheme: str) -> None:
    address = store_address(f"{scheme}://db.example:5433/mlflow?sslmode=require", artifacts="files")
    assert address.uri == "postgresql+psycopg://db.example:5433/mlflow?sslmode=require"
    assert (address.folder, address.artifacts) == (None, Path("files"))


def test_a_server_keeps_files_itself() -> None:
    address = store_address("https://mlflow.example/team/")
    assert address.uri == "https://mlflow.example/team"
    assert (address.folder, address.artifacts, address.is_server) == (None, None, True)


@pytest.mark.parametrize(
    ("where", "secrets"),
    [
        ("postgresql://ada:s%40cret@db.example/mlflow", {"PGPASSWORD": "s@cret"}),
        ("postgresql://ada@db.example/mlflow?password=s@cret", {"PGPASSWORD": "s@cret"}),
        (
            "https://ada:s%40cret@mlflow.example",
            {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "s@cret"},
        ),
    ],
)
def test_passwords_leave_the_address_and_reach_the_driver(
    where: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in secrets:
        monkeypatch.setenv(name, "")
    address = store_address(where)
    assert "cret" not in f"{address!r} {address.uri} {address.shown}"
    address.unlock()
    assert {name: os.environ[name] for name in secrets} == secrets


@pytest.mark.parametrize("where", ["ftp://host/x", "sqlite://", "sqlite:///:memory:", "mysql://host/x", "file:///x"])
def test_another_kind_of_address_is_refused_without_repeating_it(where: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        store_address(where)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('store = "postgresql://ada:secret@db/mlflow"', 'store = "postgresql://***@db/mlflow"'),
        ("# --set tracking.store=http://ada:a/b:c@[::1]:5000", "# --set tracking.store=http://***@[::1]:5000"),
        ("http://ada:p@ss@host and postgresql://ada@host", "http://***@host and postgresql://***@host"),
        ("postgresql://db/m?user=ada&password=secret&x=1", "postgresql://db/m?user=ada&password=***&x=1"),
        (
            "see https://example.org/a@b and mail ada@example.org",
            "see https://example.org/a@b and mail ada@example.org",
        ),
        ('store = "mlruns"', 'store = "mlruns"'),
    ],
)
def test_credentials_are_taken_out_of_texts_and_nothing_else_is(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
