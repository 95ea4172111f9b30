"""An MLflow store read without MLflow, held against what MLflow itself says about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from predictor.store_address import store_address
from predictor.store_tables import SCHEMA, StoreTables


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[MlflowClient, Path]:
    """Return a registry with three versions of a model, one of them deleted, and files in a folder with a space."""
    root = tmp_path_factory.mktemp("a store")
    (root / "files/data/bundle").mkdir(parents=True)
    (root / "files/data/bundle/manifest.json").write_text("{}")
    client = MlflowClient(f"sqlite:///{root}/mlflow.db", f"sqlite:///{root}/mlflow.db")
    client.create_registered_model("shelf")
    client.create_registered_model("empty")
    for number in range(3):
        client.create_model_version("shelf", source=(root / "files").as_uri(), tags={"number": str(number + 1)})
    client.set_registered_model_alias("shelf", "champion", "1")
    client.set_registered_model_alias("shelf", "candidate", "3")
    client.delete_model_version("shelf", "2")
    return client, root / "mlflow.db"


def tables_of(database: Path) -> StoreTables | None:
    return StoreTables.of(store_address(f"sqlite:///{database}"))


@pytest.fixture
def tables(store: tuple[MlflowClient, Path]) -> StoreTables:
    found = tables_of(store[1])
    assert found is not None, f"MLflow's schema is no longer {SCHEMA}: compare its tables, then name the new one"
    return found


def test_aliases_and_tags_are_those_that_mlflow_gives(store: tuple[MlflowClient, Path], tables: StoreTables) -> None:
    client, _ = store
    aliases = client.get_registered_model("shelf").aliases
    assert tables.aliases("shelf") == {alias: str(number) for alias, number in aliases.items()}
    found = {str(one.version): one.tags for one in client.search_model_versions("name = 'shelf'")}
    assert tables.versions("shelf") == found == {"3": {"number": "3"}, "1": {"number": "1"}}
    assert list(tables.versions("shelf")) == ["3", "1"]


def test_a_deleted_version_and_an_unknown_name_are_not_there(tables: StoreTables) -> None:
    assert tables.tags("shelf", "2") is None
    assert tables.place_of("shelf", "2") is None
    assert tables.aliases("unknown") == tables.versions("unknown") == tables.versions("empty") == {}


def test_files_are_copied_from_where_mlflow_keeps_them(
    store: tuple[MlflowClient, Path], tables: StoreTables, tmp_path: Path
) -> None:
    client, database = store
    assert tables.place_of("shelf", "3") == database.parent / "files"
    assert client.get_model_version_download_uri("shelf", "3") == (database.parent / "files").as_uri()
    whole = tables.copy("shelf", "3", tmp_path)
    assert whole is not None
    assert (whole / "data/bundle/manifest.json").read_text() == "{}"
    part = tables.copy("shelf", "3", tmp_path / "part", part="data/bundle/manifest.json")
    assert part is not None
    assert part.read_text() == "{}"


@pytest.mark.parametrize("place", ["s3://bucket/files", "https://example.org/files", "file://elsewhere/files"])
def test_files_on_other_machines_are_left_to_mlflow(place: str, tmp_path: Path, store: Any) -> None:
    copy = copy_of(store[1], tmp_path)
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE model_versions SET storage_location = ?, source = ?", (place, place))
    connection.close()
    tables = tables_of(copy)
    assert tables is not None
    assert tables.copy("shelf", "3", tmp_path) is None


def test_another_schema_is_left_to_mlflow(tmp_path: Path, store: Any) -> None:
    copy = copy_of(store[1], tmp_path)
    assert tables_of(copy) is not None
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of tomorrow'")
    connection.close()
    assert tables_of(copy) is None


def test_what_is_no_database_of_mlflow_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    sqlite3.connect(tmp_path / "empty.db").close()
    assert [tables_of(tmp_path / name) for name in ("text.db", "empty.db", "absent.db")] == [None, None, None]
    assert not (tmp_path / "absent.db").exists()
    assert StoreTables.of(store_address("https://mlflow.example.org")) is None


def test_nothing_is_ever_written(tables: StoreTables) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        tables.rows("DELETE FROM registered_models")


def copy_of(database: Path, folder: Path) -> Path:
    copy = folder / "copy.db"
    copy.write_bytes(database.read_bytes())
    return copy
