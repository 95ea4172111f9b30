from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from predictor.__main__ import main
from predictor.errors import BundleDamagedError
from predictor.model.bundle import ModelBundle
from predictor.scratch_folder import scratch_folder
from training.log_book.run_process import PROCESS_TAG, this_process
from training.log_book.tracking import Store, start_run
from training.shelf.doctor import DAMAGED, LONGEST_RUN_S, Finding, look_for_litter, repair
from training.shelf.promotion import decide, examine, roll_back
from training.shelf.promotion_log import read_decisions
from training.shelf.registry import (
    BUNDLE_IN_MODEL,
    CANDIDATE,
    CHAMPION,
    REGISTERING,
    STATUS,
    VERIFIED,
    RegisteredVersion,
    fetch_verified,
)

PutOnShelf = Callable[..., RegisteredVersion]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep temporary folders to the test: the machine's own may hold anybody's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def clean(shelf: Store) -> Store:
    """Return the store without what other tests left on purpose."""
    for model in shelf.client.search_registered_models():
        shelf.client.delete_registered_model(model.name)
    repair(look_for_litter(shelf), shelf)
    assert look_for_litter(shelf) == ()
    return shelf


def found_and_repaired(store: Store) -> list[Finding]:
    """Look, repair, and make sure that nothing is left."""
    findings = look_for_litter(store)
    done = repair(findings, store)
    assert all(finding.is_repaired for finding in done), [finding.line() for finding in done]
    assert look_for_litter(store) == ()
    return list(done)


def stored_bundle(store: Store, name: str, version: str) -> Path:
    uri = store.client.get_model_version_download_uri(name, version)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)) / BUNDLE_IN_MODEL / "bundle.json"


def test_a_run_is_closed_once_its_process_is_gone_and_not_before(clean: Store) -> None:
    with start_run(clean, "small-trial", name="at work") as run:
        assert look_for_litter(clean) == ()
        gone = replace(this_process(), started="1").text()  # another process of the same number
        clean.client.set_tag(run.run_id, PROCESS_TAG, gone)
        (finding,) = found_and_repaired(clean)
        assert (finding.kind, finding.target) == ("run", (run.run_id,))
        assert clean.client.get_run(run.run_id).info.status == "KILLED"


@pytest.mark.parametrize("process", ["7:1:another-boot:another-machine", "", "nonsense"])
def test_a_run_whose_process_cannot_be_seen_is_given_a_week(clean: Store, process: str) -> None:
    with start_run(clean, "small-trial", name="elsewhere") as run:
        clean.client.set_tag(run.run_id, PROCESS_TAG, process)
        assert look_for_litter(clean) == ()
        later = look_for_litter(clean, now_s=time.time() + LONGEST_RUN_S + 1)
        assert [finding.target for finding in later] == [(run.run_id,)]


def test_a_version_that_was_cut_off_is_deleted_but_not_while_it_is_being_registered(
    clean: Store, put_on_shelf: PutOnShelf
) -> None:
    put_on_shelf(clean, "cut-off")
    put_on_shelf(clean, "cut-off")
    clean.client.set_model_version_tag("cut-off", "2", STATUS, REGISTERING)
    run_id = clean.client.get_model_version("cut-off", "2").run_id
    clean.client.update_run(run_id, status="RUNNING")
    clean.client.set_registered_model_alias("cut-off", CANDIDATE, "1")
    assert look_for_litter(clean) == ()
    clean.client.set_terminated(run_id, "KILLED")
    clean.client.set_registered_model_alias("cut-off", CANDIDATE, "2")
    kinds = [finding.kind for finding in found_and_repaired(clean)]
    assert kinds == ["alias", "version", "model"]
    assert {str(one.version) for one in clean.client.search_model_versions("name = 'cut-off'")} == {"1"}
    assert clean.client.get_registered_model("cut-off").aliases == {CANDIDATE: 1}


def test_a_verified_version_whose_files_changed_is_kept_marked_and_loses_its_aliases(
    clean: Store, put_on_shelf: PutOnShelf
) -> None:
    for number in ("1", "2"):
        put_on_shelf(clean, "kept")
        decide(examine(f"kept/{number}", store=clean), store=clean)
    document = stored_bundle(clean, "kept", "2")
    sound = document.read_bytes()
    document.write_bytes(sound + b" ")
    done = found_and_repaired(clean)
    assert [finding.kind for finding in done] == ["alias", "alias", "version"]
    assert clean.client.get_registered_model("kept").aliases == {CANDIDATE: 1}
    assert clean.client.get_model_version("kept", "2").tags[STATUS] == DAMAGED
    assert read_decisions(clean, "kept")[-1].verdict == "withdrawn"
    assert roll_back("kept", store=clean).version == "1"
    document.write_bytes(sound)
    (finding,) = found_and_repaired(clean)
    assert "verifies again" in finding.detail
    assert fetch_verified("kept", "2", store=clean).tags[STATUS] == VERIFIED


def test_a_version_from_before_there_were_marks_is_verified_and_marked(clean: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(clean, "unmarked")
    clean.client.delete_model_version_tag("unmarked", "1", STATUS)
    assert [finding.kind for finding in found_and_repaired(clean)] == ["alias", "version"]
    assert fetch_verified("unmarked", "1", store=clean).version == "1"


def test_a_model_that_was_logged_and_never_registered_goes_with_its_files(
    clean: Store, put_on_shelf: PutOnShelf
) -> None:
    put_on_shelf(clean, "orphan")
    source = clean.client.get_model_version("orphan", "1").source
    folder = stored_bundle(clean, "orphan", "1").parents[2]
    clean.client.delete_model_version("orphan", "1")
    (finding,) = found_and_repaired(clean)
    assert finding.kind == "model"
    assert not folder.exists()
    with pytest.raises(mlflow.exceptions.MlflowException):
        clean.client.get_logged_model(source.rpartition("/")[2])


def make_old(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        os.utime(path, (0, 0))


def test_folders_of_nothing_are_removed_and_others_left_alone(clean: Store, temporary: Path) -> None:
    assert clean.folder is not None
    place = clean.folder / "artifacts" / "small-trial"
    litter = [place / ("0" * 32), place / "models" / ("m-" + "0" * 32)]
    litter += [temporary / f"krp-{purpose}-abc" for purpose in ("bundle", "confounds", "shelf")]
    others = [place / "notes", temporary / "krp-somebody-abc", temporary / "krp-log-new"]
    with scratch_folder("bundle") as in_use:
        for folder in (*litter, *others):
            folder.mkdir(parents=True)
            (folder / "file").write_text("")
        for folder in (*litter[2:], temporary / "krp-somebody-abc", in_use):
            make_old(folder)
        assert [finding.target for finding in found_and_repaired(clean)] == [(str(folder),) for folder in litter]
        assert in_use.is_dir()
    assert not any(folder.exists() for folder in litter)
    assert all((folder / "file").is_file() for folder in others)


def test_looking_changes_nothing(clean: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(clean, "only-looked")
    document = stored_bundle(clean, "only-looked", "1")
    document.write_bytes(document.read_bytes() + b" ")
    assert look_for_litter(clean) == look_for_litter(clean) != ()
    assert clean.client.get_registered_model("only-looked").aliases == {CANDIDATE: 1}


def test_a_repair_that_the_store_refuses_is_reported_and_the_others_go_on(
    clean: Store, put_on_shelf: PutOnShelf
) -> None:
    lost = Finding("run", "a run", "open", "mark it as killed", ("0" * 32,))
    with start_run(clean, "small-trial", name="closed too") as run:
        done = repair((lost, replace(lost, target=(run.run_id,))), clean)
    assert [finding.is_repaired for finding in done] == [False, True]
    assert done[0].failure


def test_a_version_that_was_verified_since_the_look_is_kept(clean: Store, put_on_shelf: PutOnShelf) -> None:
    put_on_shelf(clean, "verified-since")
    stale = Finding("version", "verified-since/1", "cut off", "delete it", ("verified-since", "1", ""))
    (done,) = repair((stale,), clean)
    assert not done.is_repaired
    assert fetch_verified("verified-since", "1", store=clean).version == "1"


def test_the_command_tells_by_its_exit_code_whether_something_remains(
    clean: Store, put_on_shelf: PutOnShelf, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(clean.folder)
    assert main(["doctor", "--store", store]) == 0
    assert "nothing found" in capsys.readouterr().out
    put_on_shelf(clean, "by-command")
    clean.client.set_registered_model_alias("by-command", CHAMPION, "1")
    clean.client.set_model_version_tag("by-command", "1", STATUS, REGISTERING)
    assert main(["doctor", "--store", store]) == 4
    assert "by-command@champion -> v1: registering it was cut off" in capsys.readouterr().out
    assert main(["doctor", "--store", store, "--repair", "--json"]) == 0
    assert {one["kind"] for one in json.loads(capsys.readouterr().out)} >= {"alias", "version"}


def test_a_store_that_is_not_there_is_no_clean_store(tmp_path: Path) -> None:
    assert main(["doctor", "--store", str(tmp_path / "nothing")]) == 3


def test_a_damaged_bundle_is_still_refused_after_the_doctor_looked(
    clean: Store, put_on_shelf: PutOnShelf, complete_bundle: ModelBundle
) -> None:
    put_on_shelf(clean, "still-refused")
    stored_bundle(clean, "still-refused", "1").unlink()
    look_for_litter(clean)
    with pytest.raises(BundleDamagedError):
        examine("still-refused/1", store=clean)
