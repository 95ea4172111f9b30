from __future__ import annotations

import shutil
import stat
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from predictor.errors import DatabaseUnavailableError, UsageError
from serving.store.database import Database


def n_results(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM results")).scalar_one())


def test_an_empty_database_gets_its_tables_and_keeps_them(database_url: str) -> None:
    for _ in range(2):
        database = Database.open(database_url)
        assert n_results(database) == 0
        database.close()


def test_the_file_is_readable_by_this_user_only_whatever_it_was_before(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    database = Database.open(f"sqlite:///{folder}/service.db")
    with database.writing() as connection:
        connection.execute(text("UPDATE audit_head SET sequence = 0"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    database.close()
    assert modes["new"] == 0o700
    assert modes["service.db"] == modes["service.db-wal"] == 0o600
    (folder / "service.db").chmod(0o644)
    Database.open(f"sqlite:///{folder}/service.db").close()
    assert stat.S_IMODE((folder / "service.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["", "service.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "http://x"])
def test_an_address_of_another_form_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///FILE"):
        Database.open(url)


def test_a_file_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such database"):
        Database.open(f"sqlite:///{tmp_path}/service.db", must_exist=True)
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_named_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DatabaseUnavailableError) as caught:
        Database.open(f"sqlite:///{tmp_path}/taken/service.db")
    assert str(tmp_path) not in str(caught.value) + caught.value.where


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "service.db"
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatabaseUnavailableError):
        Database.open(f"sqlite:///{file}")


def test_a_server_that_does_not_answer_is_named_without_its_password(free_port: object) -> None:
    assert callable(free_port)
    with pytest.raises(DatabaseUnavailableError) as caught:
        Database.open(f"postgresql://ada:secret@127.0.0.1:{free_port()}/service")
    assert "secret" not in f"{caught.value} {caught.value.where} {caught.value.__cause__!r}"


def test_values_stand_in_no_error_of_the_database(database: Database) -> None:
    with pytest.raises(Exception, match="audit_head") as caught, database.writing() as connection:
        connection.execute(text("INSERT INTO audit_head VALUES (1, 0, :hash)"), {"hash": "private"})
    assert "private" not in str(caught.value)


def test_what_fails_in_the_middle_leaves_nothing(database: Database) -> None:
    def fail_in_the_middle() -> None:
        with database.writing() as connection:
            connection.execute(text("DELETE FROM audit_head"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar_one() == 1


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(database: Database) -> None:
    count = text("SELECT count(*) FROM audit_head")
    with database.reading() as reader:
        before = reader.execute(count).scalar_one()
        with database.writing() as writer:
            writer.execute(text("DELETE FROM audit_head"))
        assert reader.execute(count).scalar_one() == before == 1
    with database.reading() as reader:
        assert reader.execute(count).scalar_one() == 0


def test_a_file_that_was_moved_away_is_not_written_to_and_works_when_it_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "kept", tmp_path / "away"
    database = Database.open(f"sqlite:///{folder}/service.db")
    shutil.move(folder, away)
    with pytest.raises(DatabaseUnavailableError, match="gone"), database.writing() as connection:
        connection.execute(text("DELETE FROM audit_head"))
    with pytest.raises(DatabaseUnavailableError, match="gone"):
        n_results(database)
    assert not folder.exists()
    shutil.move(away, folder)
    assert n_results(database) == 0
    database.close()


def test_a_backup_put_in_its_place_is_what_is_read(tmp_path: Path) -> None:
    file, other = tmp_path / "service.db", tmp_path / "backup.db"
    Database.open(f"sqlite:///{other}").close()
    database = Database.open(f"sqlite:///{file}")
    with database.writing() as connection:
        connection.execute(text("DELETE FROM audit_head"))
    database.overwrite_deleted()
    other.replace(file)
    for left in tmp_path.glob("service.db-*"):
        left.unlink()
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar_one() == 1
    database.close()


def test_a_connection_that_the_server_ended_is_replaced(database: Database, database_url: str) -> None:
    if database.dialect == "sqlite":
        pytest.skip("a file has no server")
    assert n_results(database) == 0
    with psycopg.connect(database_url, autocommit=True) as other:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    assert n_results(database) == 0
    with pytest.raises(DatabaseUnavailableError), database.reading() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert n_results(database) == 0
