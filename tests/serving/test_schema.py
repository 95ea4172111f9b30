from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from predictor.errors import DatabaseIncompatibleError
from serving.store import schema
from serving.store.database import Database
from serving.store.tables import metadata


def test_the_newest_migration_is_the_one_that_the_start_looks_for() -> None:
    assert ScriptDirectory(str(schema.MIGRATIONS), version_locations=[str(schema.MIGRATIONS)]).get_heads() == [
        schema.NEWEST
    ]


def test_the_migrations_leave_the_tables_that_the_queries_know(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_two_services_that_start_together_make_the_tables_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = [*pool.map(Database.open, [database_url] * 4)]
    with opened[0].reading() as connection:
        assert schema.is_current(connection)
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar_one() == 1
    for database in opened:
        database.close()


def test_tables_of_an_older_version_are_brought_up_and_keep_what_they_hold(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = schema._upgrade_to_newest
    monkeypatch.setattr(
        schema, "_upgrade_to_newest", lambda scripts: lambda revision, _: scripts._upgrade_revs("0001", revision)
    )
    old = Database.open(database_url)
    with old.writing() as connection:
        assert schema.version_of(connection) == "0001"
        connection.execute(text("INSERT INTO model_facts VALUES ('sha256:1', :document)"), {"document": b"facts"})
    old.close()
    monkeypatch.setattr(schema, "_upgrade_to_newest", newest)
    database = Database.open(database_url)
    with database.reading() as connection:
        assert schema.is_current(connection)
        assert bytes(connection.execute(text("SELECT document FROM model_facts")).scalar_one()) == b"facts"
    database.close()


def test_tables_of_a_newer_version_are_left_alone(database: Database, database_url: str) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseIncompatibleError, match="9999"):
        Database.open(database_url)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_after_the_first(scripts: ScriptDirectory) -> object:
        def steps(revision: str, context: object) -> object:
            yield from scripts._upgrade_revs("0001", revision)  # type: ignore[arg-type]
            raise ZeroDivisionError

        return steps

    with monkeypatch.context() as patched:
        patched.setattr(schema, "_upgrade_to_newest", break_after_the_first)
        with pytest.raises(ZeroDivisionError):
            Database.open(database_url)
    driver = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(driver)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    Database.open(database_url).close()


def test_a_start_with_current_tables_needs_no_migration(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(database_url).close()
    monkeypatch.setattr(schema, "MIGRATIONS", Path("nowhere"))
    Database.open(database_url).close()
