from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import BundleDamagedError, ModelUnavailableError, UsageError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from serving.model_store import BundleFolder, ModelStore, ModelVersion, RegistryAddress, fetch_bundle, source_of
from serving.settings import Settings


class Shelf:
    """A source whose versions are folders, for tests."""

    def __init__(self, **folders: Path) -> None:
        self.folders = folders
        self.version = ModelVersion(next(iter(folders)), is_promoted=True)

    def find(self) -> ModelVersion:
        return self.version

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


@pytest.mark.parametrize("uri", ["ketamine", "runs:/1/model", "models:/", "models:/a/b", "models:/a@", "models:/a@b/c"])
def test_another_address_is_wrong_use(uri: str) -> None:
    with pytest.raises(UsageError):
        RegistryAddress.of_uri(uri, tracking_uri="sqlite:///x.db")


def test_a_missing_registry_is_not_created(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    source = source_of(Settings(tracking_uri=f"sqlite:///{database}"))
    with pytest.raises(ModelUnavailableError):
        source.find()
    assert not database.exists()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, bundle_dir: Path) -> tuple[Any, str]:
    """Return a client and the address of a registry with two versions of a bundle, without aliases."""
    from mlflow.tracking import MlflowClient

    root = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("ketamine-response")
    shutil.copytree(bundle_dir, root / "model/data/bundle")
    (root / "model/MLmodel").write_text("flavors: {}\n")
    digest = str(load_bundle(bundle_dir).digest)
    for _ in range(2):
        client.create_model_version(
            "ketamine-response", source=(root / "model").as_uri(), tags={"bundle_digest": digest}
        )
    return client, uri


def test_follows_the_champion_and_serves_the_candidate_as_not_promoted_before(
    registry: tuple[Any, str], bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, uri = registry
    store = ModelStore(source_of(Settings(tracking_uri=uri)))
    with pytest.raises(ModelUnavailableError):
        store.refresh()
    client.set_registered_model_alias("ketamine-response", "candidate", "2")
    store.refresh()
    assert (store.current().version.version, store.current().version.is_promoted) == ("2", False)
    client.set_registered_model_alias("ketamine-response", "champion", "1")
    store.refresh()
    assert (store.current().version.version, store.current().version.is_promoted) == ("1", True)
    assert store.current().bundle.digest == bundle.digest
    monkeypatch.setenv("KRP_TRACKING_URI", uri)
    folder, is_promoted = fetch_bundle("models:/ketamine-response@champion")
    assert (load_bundle(folder).digest, is_promoted) == (bundle.digest, True)
    with pytest.raises(ModelUnavailableError):
        fetch_bundle("models:/ketamine-response/7")


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
