from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from predictor.errors import ModelHistoryError, ModelRolledBackError, RegistryUnreachableError
from predictor.model import bundle as bundle_module
from predictor.model.bundle import ModelBundle, save_bundle
from serving.model_cache import ModelCache
from serving.model_history import ModelHistory
from serving.model_source import BundleFolder, ListedModel, ModelVersion
from serving.model_store import ModelStore, open_store
from serving.settings import Settings

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class Shelf:
    """A registry whose versions are folders, and whose alias anybody can move."""

    shown = "a registry"

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self.number, self.is_there = 1, True

    def find(self) -> ModelVersion:
        if not self.is_there:
            raise RegistryUnreachableError("nobody answers.")
        return ModelVersion(str(self.number), is_promoted=True)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        return Path(shutil.copytree(self.folders[int(version.version) - 1], folder / "copy"))

    def listed(self) -> list[ListedModel]:
        return []


@pytest.fixture
def history(tmp_path: Path) -> ModelHistory:
    return ModelHistory(tmp_path / "models.json")


@pytest.fixture
def second_dir(bundle: ModelBundle, tmp_path: Path) -> Path:
    save_bundle(replace(bundle, trained_on=81, digest=None), tmp_path / "second")
    return tmp_path / "second"


def test_before_anything_was_served_every_model_may_be(history: ModelHistory) -> None:
    history.check("3", ONE, source="s")
    assert not history.file.exists()


def test_a_lower_number_and_a_model_that_was_replaced_are_refused(history: ModelHistory) -> None:
    history.note("3", ONE, source="s")
    history.note("4", TWO, source="s")
    history.check("4", TWO, source="s")
    history.check("11", "sha256:3", source="s")
    with pytest.raises(ModelRolledBackError, match="version 4 or later, found 3"):
        history.check("3", TWO, source="s")
    with pytest.raises(ModelRolledBackError, match="took the place"):
        history.check("5", ONE, source="s")
    history.check("1", ONE, source="another")


def test_noting_the_same_again_leaves_the_file_alone(history: ModelHistory) -> None:
    history.note("3", ONE, source="s")
    before = history.file.stat()
    history.note("3", ONE, source="s")
    assert history.file.stat() == before
    assert os.listdir(history.file.parent) == [history.file.name]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"s": 3}', b'{"s": {"version": "3"}}', b"[" * 100_000, b"\xff"]
)
def test_a_file_that_is_no_history_lets_no_model_in(history: ModelHistory, content: bytes) -> None:
    history.file.write_bytes(content)
    with pytest.raises(ModelHistoryError):
        history.check("3", ONE, source="s")
    with pytest.raises(ModelHistoryError):
        history.note("3", ONE, source="s")
    assert history.file.read_bytes() == content


def test_an_older_model_is_refused_before_parsing_and_the_latest_answers_on(
    bundle_dir: Path, second_dir: Path, history: ModelHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(bundle_dir, second_dir, bundle_dir)
    store = ModelStore(shelf, history=history)
    store.refresh()
    shelf.number = 2
    store.refresh()
    latest = store.current()
    monkeypatch.setattr(bundle_module, "_parse_document", None)
    for number in (1, 3):  # the alias moved back, and the old files registered anew
        shelf.number = number
        with pytest.raises(ModelRolledBackError):
            store.refresh()
    assert store.current() is latest
    with pytest.raises(ModelRolledBackError):
        ModelStore(shelf, history=history).refresh()  # a restart does not forget


def test_what_cannot_be_written_down_is_not_served(bundle_dir: Path, tmp_path: Path) -> None:
    store = ModelStore(Shelf(bundle_dir), history=ModelHistory(tmp_path / "no folder" / "models.json"))
    with pytest.raises(ModelHistoryError):
        store.refresh()
    assert not store.is_loaded


def test_an_old_copy_is_not_served_while_the_registry_is_away(
    bundle_dir: Path, second_dir: Path, history: ModelHistory, tmp_path: Path
) -> None:
    shelf, cache = Shelf(bundle_dir, second_dir), ModelCache(tmp_path / "served")
    ModelStore(shelf, cache=cache, history=history).refresh()
    shelf.is_there = False
    assert ModelStore(shelf, cache=cache, history=history).load_kept()
    history.note("2", TWO, source=shelf.shown)  # by another process, which keeps its copies elsewhere
    assert not ModelStore(shelf, cache=cache, history=history).load_kept()


def test_the_setting_turns_it_on(bundle_dir: Path, second_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    settings = Settings(bundle=folder, model_history=tmp_path / "models.json")
    assert open_store(settings).refresh()
    for source, is_refused in ((second_dir, False), (bundle_dir, True)):
        shutil.rmtree(folder)
        shutil.copytree(source, folder)
        if is_refused:
            with pytest.raises(ModelRolledBackError):
                open_store(settings).refresh()
        else:
            assert open_store(settings).refresh()
    assert ModelStore(BundleFolder(folder)).refresh()
