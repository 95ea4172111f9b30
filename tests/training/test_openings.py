from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import AlreadyOpenedError, UsageError
from training.locked.openings import FileOpenings, Opening, OpeningLog, RegistryOpenings
from training.log_book.tracking import Store, open_store

OPENING = Opening("sha256:model", "sha256:cohort", "new people", "2030-01-01T00:00:00+00:00")
RESULT = {"models": [{"metrics": {"r2": 0.1, "mae": 2.0}}], "permutation": {"p_value": 0.2}}


@pytest.fixture(params=["registry", "file"])
def log(request: pytest.FixtureRequest, shelf: Store, put_on_shelf: Any, tmp_path: Path) -> OpeningLog:
    if request.param == "file":
        return FileOpenings.beside(tmp_path / "bundle")
    name = f"openings {request.node.originalname.removeprefix('test_')}"
    return RegistryOpenings(shelf, name, put_on_shelf(shelf, name).version)


def opening_of(log: OpeningLog) -> Opening:
    """Openings of the shared store are told apart by the model."""
    return Opening(f"sha256:{getattr(log, 'name', 'file')}", "sha256:cohort", "new people", "2030-01-01T00:00:00+00:00")


def own(log: OpeningLog) -> list[Opening]:
    return [one for one in log.earlier() if one.bundle_digest == opening_of(log).bundle_digest]


def test_an_opening_is_written_down_before_there_is_a_result(log: OpeningLog) -> None:
    with log.open(opening_of(log), again=False) as record:
        assert own(log) == [opening_of(log)]
        record.result(RESULT, "<p>page</p>")
    assert own(log) == [opening_of(log)]


def test_an_opening_that_broke_off_counts(log: OpeningLog) -> None:
    with pytest.raises(KeyboardInterrupt), log.open(opening_of(log), again=False):
        raise KeyboardInterrupt
    assert len(own(log)) == 1
    with pytest.raises(AlreadyOpenedError, match="opened once"), log.open(opening_of(log), again=False):
        pytest.fail("handed out a second look")


def test_a_second_look_on_purpose_is_counted_and_a_refused_one_is_not(log: OpeningLog) -> None:
    with log.open(opening_of(log), again=False):
        pass
    with pytest.raises(AlreadyOpenedError), log.open(opening_of(log), again=False):
        pytest.fail("handed out a second look")
    assert len(own(log)) == 1
    with log.open(opening_of(log), again=True):
        pass
    assert len(own(log)) == 2


def test_the_version_carries_the_count_and_deleting_runs_does_not_lower_it(shelf: Store, put_on_shelf: Any) -> None:
    version = put_on_shelf(shelf, "openings counted").version
    log = RegistryOpenings(shelf, "openings counted", version)
    with log.open(opening_of(log), again=False) as record:
        record.result(RESULT, "<p>page</p>")
        run_id = record.run.run_id
    assert {one.path for one in shelf.client.list_artifacts(run_id)} == {"locked_test.json", "locked_test.html"}
    shelf.client.delete_run(run_id)
    with pytest.raises(AlreadyOpenedError), log.open(opening_of(log), again=False):
        pytest.fail("handed out a second look")
    with log.open(opening_of(log), again=True):
        pass
    assert shelf.client.get_model_version("openings counted", version).tags["openings"] == "2"


def test_of_two_at_the_same_moment_one_is_refused(tmp_path: Path) -> None:
    log, start, outcomes = FileOpenings.beside(tmp_path / "bundle"), threading.Barrier(4), []

    def look() -> None:
        start.wait()
        try:
            with log.open(OPENING, again=False):
                outcomes.append("opened")
        except AlreadyOpenedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened", "refused", "refused", "refused"]


def test_a_damaged_log_stops_everything(tmp_path: Path) -> None:
    log = FileOpenings(tmp_path / "b.openings.jsonl")
    log.path.write_text('{"opening": {"at"\n')
    with pytest.raises(UsageError, match="damaged"):
        log.earlier()


def test_without_a_place_to_write_nothing_is_opened(tmp_path: Path) -> None:
    log = FileOpenings(tmp_path / "absent" / "b.openings.jsonl")
    with pytest.raises(UsageError, match="cannot be written down"), log.open(OPENING, again=False):
        pytest.fail("opened without a record")


def test_a_tracking_server_keeps_openings_as_a_folder_does(tracking_server: str, put_on_shelf: Any) -> None:
    store = open_store(tracking_server)
    log = RegistryOpenings(store, "openings afar", put_on_shelf(store, "openings afar").version)
    with log.open(opening_of(log), again=False) as record:
        record.result(RESULT, "<p>page</p>")
    with pytest.raises(AlreadyOpenedError), log.open(opening_of(log), again=False):
        pytest.fail("handed out a second look")
    assert store.client.get_model_version(log.name, log.version).tags["openings"] == "1"
