from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from predictor.errors import (
    BundleDamagedError,
    BundleSignatureError,
    BundleUnsignedError,
    ModelUnavailableError,
    RegistryUnreachableError,
    UsageError,
)
from predictor.model.bundle import ModelBundle, save_bundle
from predictor.model.signature import BundleKey, sign_folder, sign_manifest
from serving.model_cache import ModelCache
from serving.model_source import BundleFolder, ListedModel, ModelVersion
from serving.model_store import ModelStore, open_store, source_of
from serving.settings import Settings


class Shelf:
    """A source whose versions are folders, for tests."""

    def __init__(self, **folders: Path) -> None:
        self.folders = folders
        self.version = ModelVersion(next(iter(folders)), is_promoted=True)
        self.is_there = True
        self.n_listings = 0

    def find(self) -> ModelVersion:
        if not self.is_there:
            raise RegistryUnreachableError("nobody answers.")
        return self.version

    def listed(self) -> list[ListedModel]:
        self.n_listings += 1
        if not self.is_there:
            raise RegistryUnreachableError("nobody answers.")
        return [ListedModel("ketamine-response", version, None) for version in self.folders]

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        return Path(shutil.copytree(self.folders[version.version], folder / "copy"))


@pytest.fixture
def damaged_dir(bundle_dir: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "damaged"))
    changed = folder / "bundle.json"
    changed.write_bytes(changed.read_bytes().replace(b"caps5", b"caps4"))
    return folder


def test_no_model_before_the_first_refresh(bundle_dir: Path) -> None:
    with pytest.raises(ModelUnavailableError):
        ModelStore(BundleFolder(bundle_dir)).current()


def test_a_new_version_takes_the_place_of_the_old(bundle_dir: Path, bundle: ModelBundle, tmp_path: Path) -> None:
    from dataclasses import replace

    save_bundle(replace(bundle, trained_on=81, digest=None), tmp_path / "second")
    shelf = Shelf(first=bundle_dir, second=tmp_path / "second")
    store = ModelStore(shelf)
    assert (store.refresh(), store.refresh()) == (True, False)
    shelf.version = ModelVersion("second", is_promoted=True)
    assert store.refresh()
    assert store.current().bundle.trained_on == 81
    assert store.current().version.version == "second"


def test_the_old_model_answers_on_when_the_new_one_is_damaged(bundle_dir: Path, damaged_dir: Path) -> None:
    shelf = Shelf(good=bundle_dir, bad=damaged_dir)
    store = ModelStore(shelf)
    store.refresh()
    before = store.current()
    shelf.version = ModelVersion("bad", is_promoted=True)
    with pytest.raises(BundleDamagedError):
        store.refresh()
    assert store.current() is before


def test_another_bundle_than_the_registered_one_is_refused(bundle_dir: Path) -> None:
    shelf = Shelf(v1=bundle_dir)
    shelf.version = ModelVersion("v1", is_promoted=True, digest="sha256:" + "0" * 64)
    with pytest.raises(BundleDamagedError, match="expected the bundle"):
        ModelStore(shelf).refresh()


@pytest.fixture
def keys() -> tuple[Ed25519PrivateKey, BundleKey]:
    """Return a private key and the public one that belongs to it."""
    private = Ed25519PrivateKey.generate()
    return private, BundleKey(private.public_key())


@pytest.fixture
def signed_dir(bundle_dir: Path, tmp_path: Path, keys: tuple[Ed25519PrivateKey, BundleKey]) -> Path:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "signed"))
    sign_folder(folder, keys[0])
    return folder


def test_with_a_key_a_signed_bundle_is_served_and_an_unsigned_or_foreign_one_is_not(
    bundle_dir: Path, signed_dir: Path, tmp_path: Path, keys: tuple[Ed25519PrivateKey, BundleKey]
) -> None:
    foreign_dir = Path(shutil.copytree(bundle_dir, tmp_path / "foreign"))
    sign_folder(foreign_dir, Ed25519PrivateKey.generate())
    shelf = Shelf(signed=signed_dir, unsigned=bundle_dir, foreign=foreign_dir)
    store = ModelStore(shelf, key=keys[1])
    store.refresh()
    for name, error in (("unsigned", BundleUnsignedError), ("foreign", BundleSignatureError)):
        shelf.version = ModelVersion(name, is_promoted=True)
        with pytest.raises(error):
            store.refresh()
        assert store.current().version.version == "signed"


def test_the_signature_is_checked_before_anything_is_parsed(
    damaged_dir: Path, keys: tuple[Ed25519PrivateKey, BundleKey]
) -> None:
    with pytest.raises(BundleUnsignedError):
        ModelStore(BundleFolder(damaged_dir), key=keys[1]).refresh()


def test_a_signature_may_come_with_the_version(bundle_dir: Path, keys: tuple[Ed25519PrivateKey, BundleKey]) -> None:
    shelf = Shelf(v1=bundle_dir)
    shelf.version = ModelVersion("v1", is_promoted=True, signature=sign_manifest(bundle_dir, keys[0]))
    store = ModelStore(shelf, key=keys[1])
    assert store.refresh()


def test_a_signature_does_not_vouch_for_changed_files(
    signed_dir: Path, keys: tuple[Ed25519PrivateKey, BundleKey]
) -> None:
    changed = signed_dir / "bundle.json"
    changed.write_bytes(changed.read_bytes().replace(b"caps5", b"caps4"))
    with pytest.raises(BundleDamagedError):
        ModelStore(BundleFolder(signed_dir), key=keys[1]).refresh()


def test_the_last_bundle_is_served_while_the_registry_is_not_there_and_says_so(
    bundle_dir: Path, bundle: ModelBundle, tmp_path: Path
) -> None:
    cache = ModelCache(tmp_path / "served")
    shelf = Shelf(v1=bundle_dir)
    ModelStore(shelf, cache=cache).refresh()
    shelf.is_there = False
    restarted = ModelStore(shelf, cache=cache)
    assert restarted.refresh()
    loaded = restarted.current()
    assert (loaded.bundle.digest, loaded.version.version) == (bundle.digest, "v1")
    assert (loaded.from_cache, loaded.state) == (True, "cached")
    with pytest.raises(RegistryUnreachableError):
        restarted.refresh()
    assert restarted.listed()[0].from_cache
    shelf.is_there = True
    shelf.version = ModelVersion("v1", is_promoted=True, digest=bundle.digest)
    restarted.refresh()
    assert (restarted.current().from_cache, restarted.current().state) == (False, "promoted")


def test_a_kept_bundle_that_was_changed_is_not_served(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    shelf = Shelf(v1=bundle_dir)
    ModelStore(shelf, cache=cache).refresh()
    (changed,) = (tmp_path / "served").glob("*/bundle/bundle.json")
    changed.write_bytes(changed.read_bytes().replace(b"caps5", b"caps4"))
    shelf.is_there = False
    restarted = ModelStore(shelf, cache=cache)
    with pytest.raises(RegistryUnreachableError):
        restarted.refresh()
    assert not restarted.is_loaded


def test_a_kept_bundle_needs_its_signature_too(
    bundle_dir: Path, tmp_path: Path, keys: tuple[Ed25519PrivateKey, BundleKey]
) -> None:
    cache = ModelCache(tmp_path / "served")
    shelf = Shelf(v1=bundle_dir)
    ModelStore(shelf, cache=cache).refresh()
    shelf.is_there = False
    with pytest.raises(RegistryUnreachableError):
        ModelStore(shelf, cache=cache, key=keys[1]).refresh()


def test_a_model_that_the_registry_took_away_is_not_served_from_the_copy(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    shelf = Shelf(v1=bundle_dir)
    ModelStore(shelf, cache=cache).refresh()

    def find() -> ModelVersion:
        raise ModelUnavailableError("the registry has no such alias.")

    shelf.find = find  # type: ignore[method-assign]
    restarted = ModelStore(shelf, cache=cache)
    with pytest.raises(ModelUnavailableError):
        restarted.refresh()
    assert not restarted.is_loaded


def test_a_start_from_the_copy_ends_when_the_registry_took_the_model_away(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    shelf = Shelf(v1=bundle_dir)
    ModelStore(shelf, cache=cache).refresh()

    def find() -> ModelVersion:
        raise ModelUnavailableError("the registry has no such alias.")

    shelf.find = find  # type: ignore[method-assign]
    restarted = ModelStore(shelf, cache=cache)
    assert restarted.load_kept()
    assert restarted.current().from_cache
    with pytest.raises(ModelUnavailableError):
        restarted.refresh()
    assert not restarted.is_loaded


def test_without_a_copy_there_is_nothing_to_start_from(bundle_dir: Path, tmp_path: Path) -> None:
    assert not ModelStore(Shelf(v1=bundle_dir), cache=ModelCache(tmp_path / "served")).load_kept()
    assert not ModelStore(BundleFolder(bundle_dir)).load_kept()


def test_a_cache_that_cannot_be_written_keeps_nobody_from_being_served(bundle_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "served").write_text("a file where the folder should be")
    store = ModelStore(Shelf(v1=bundle_dir), cache=ModelCache(tmp_path / "served"))
    assert store.refresh()


def test_the_list_marks_the_model_that_answers_and_asks_the_source_once_in_a_while(bundle_dir: Path) -> None:
    shelf = Shelf(v1=bundle_dir, v2=bundle_dir)
    store = ModelStore(shelf)
    assert [one.is_current for one in store.listed()] == [False, False]
    store.refresh()
    assert [(one.version, one.is_current) for one in store.listed()] == [("v1", True), ("v2", False)]
    n_listings = shelf.n_listings
    store.listed()
    assert shelf.n_listings == n_listings


def test_while_a_slow_registry_is_asked_others_get_the_list_before(bundle_dir: Path) -> None:
    shelf = Shelf(v1=bundle_dir)
    store = ModelStore(shelf)
    store.refresh()
    others: list[list[str]] = []

    def listed() -> list[ListedModel]:
        asked_meanwhile = threading.Thread(target=lambda: others.append([one.version for one in store.listed()]))
        asked_meanwhile.start()
        asked_meanwhile.join(10)
        return []

    shelf.listed = listed  # type: ignore[method-assign]
    assert [one.version for one in store.listed()] == ["v1"]
    assert others == [["v1"]]


def test_the_list_of_a_bundle_folder_is_the_bundle_itself(store: ModelStore, bundle: ModelBundle) -> None:
    (only,) = store.listed()
    assert (only.name, only.digest, only.is_current) == (bundle.name, bundle.digest, True)
    assert only.card == bundle.card


def test_a_public_key_of_another_kind_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key at all")
    with pytest.raises(UsageError, match="public key"):
        open_store(Settings(bundle=tmp_path, bundle_public_key=tmp_path / "key.pem"))


def test_mlflow_is_not_imported_for_a_bundle_folder(project: Path, bundle_dir: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from serving.model_store import BundleFolder, ModelStore\n"
        f"store = ModelStore(BundleFolder(Path({str(bundle_dir)!r}))); store.refresh()\n"
        "from serving.app import create_app; from serving.settings import Settings; create_app(Settings())\n"
        "print([name for name in ('mlflow', 'matplotlib', 'shap', 'training') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRP_BUNDLE", "some/where")
    monkeypatch.setenv("KRP_PORT", "9000")
    settings = Settings()
    assert (settings.bundle, settings.port) == (Path("some/where"), 9000)
    assert source_of(settings) == BundleFolder(Path("some/where"))
