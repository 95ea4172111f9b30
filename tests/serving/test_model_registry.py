from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import ModelUnavailableError, RegistryUnreachableError, UsageError, VersionUnverifiedError
from predictor.model.bundle import ModelBundle, load_bundle
from predictor.store_tables import StoreTables
from serving.model_registry import RegistryAddress
from serving.model_store import ModelStore, fetch_bundle, source_of
from serving.settings import Settings


@pytest.mark.parametrize("uri", ["ketamine", "runs:/1/model", "models:/", "models:/a/b", "models:/a@", "models:/a@b/c"])
def test_another_address_is_wrong_use(uri: str) -> None:
    with pytest.raises(UsageError):
        RegistryAddress.of_uri(uri, tracking_uri="sqlite:///x.db")


@pytest.mark.parametrize("uri", ["mysql://db.example/mlflow", "sqlite://x.db"])
def test_a_registry_of_an_unknown_kind_is_wrong_use(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        RegistryAddress.of_uri("models:/a@b", tracking_uri=uri)
    assert "KRP_TRACKING_URI" in caught.value.where


@pytest.mark.parametrize("uri", ["postgresql://ada:secret@db.example/mlflow", "https://ada:secret@mlflow.example"])
def test_credentials_are_in_nothing_that_can_be_shown(uri: str) -> None:
    address = RegistryAddress.of_uri("models:/a@b", tracking_uri=uri)
    assert "secret" not in repr(address)
    assert "secret" not in address.shown
    assert "secret" not in str(address._link_to("3"))


def test_a_missing_registry_is_not_created(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    source = source_of(Settings(tracking_uri=f"sqlite:///{database}"))
    with pytest.raises(RegistryUnreachableError):
        source.find()
    assert not database.exists()


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_registry_where_nobody_listens_is_unreachable(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = RegistryAddress.of_uri("models:/a@b", tracking_uri=f"{scheme}://127.0.0.1:{port}/mlflow")
    with pytest.raises(RegistryUnreachableError) as caught:
        address.find()
    assert str(port) not in str(caught.value)


def test_a_file_that_is_no_registry_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(RegistryUnreachableError):
        RegistryAddress.of_uri("models:/a@b", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db").find()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, bundle_dir: Path) -> tuple[Any, str, Path]:
    """Return a client, the address and the model folder of a registry with two versions of a bundle, no aliases."""
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
            "ketamine-response", source=(root / "model").as_uri(), tags={"bundle_digest": digest, "gate": "passed"}
        )
    return client, uri, root / "model"


def test_follows_the_champion_and_serves_the_candidate_as_not_promoted_before(
    registry: tuple[Any, str, Path], bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, uri, _ = registry
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


def test_lists_versions_with_aliases_gate_and_card(registry: tuple[Any, str, Path], bundle: ModelBundle) -> None:
    client, uri, _ = registry
    client.set_registered_model_alias("ketamine-response", "candidate", "2")
    address = RegistryAddress.of_uri("models:/ketamine-response@champion", tracking_uri=uri)
    newest, oldest = address.listed()
    assert (newest.version, oldest.version) == ("2", "1")
    assert "candidate" in newest.aliases
    assert (newest.gate, newest.digest, newest.run_link) == ("passed", bundle.digest, None)
    assert newest.card == bundle.card


def test_a_card_that_was_changed_is_not_shown(registry: tuple[Any, str, Path]) -> None:
    _, uri, folder = registry
    card = folder / "data/bundle/card.json"
    before = card.read_bytes()
    try:
        card.write_bytes(before.replace(b"made-up", b"genuine"))
        address = RegistryAddress.of_uri("models:/ketamine-response@champion", tracking_uri=uri)
        assert [one.card for one in address.listed()] == [None, None]
    finally:
        card.write_bytes(before)


def test_a_version_whose_registration_was_cut_off_is_not_served(registry: tuple[Any, str, Path]) -> None:
    client, uri, _ = registry
    client.set_model_version_tag("ketamine-response", "2", "status", "registering")
    try:
        with pytest.raises(VersionUnverifiedError):
            RegistryAddress.of_uri("models:/ketamine-response/2", tracking_uri=uri).find()
    finally:
        client.delete_model_version_tag("ketamine-response", "2", "status")


def test_the_tables_say_what_mlflow_says_and_mlflow_is_asked_where_they_cannot_be_read(
    registry: tuple[Any, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, uri, _ = registry
    client.set_registered_model_alias("ketamine-response", "candidate", "2")
    found = []
    for way in ("tables", "mlflow"):
        if way == "mlflow":
            monkeypatch.setattr(StoreTables, "of", lambda address: None)
        address = RegistryAddress.of_uri("models:/ketamine-response@candidate", tracking_uri=uri)
        (tmp_path / way).mkdir()
        version = address.find()
        digest = load_bundle(address.fetch(version, tmp_path / way)).digest
        with pytest.raises(ModelUnavailableError, match="no version 7"):
            RegistryAddress.of_uri("models:/ketamine-response/7", tracking_uri=uri).find()
        with pytest.raises(ModelUnavailableError, match="alias absent"):
            RegistryAddress.of_uri("models:/ketamine-response@absent", tracking_uri=uri).find()
        found.append((version, digest, [(repr(one), one.card) for one in address.listed()]))
    assert found[0] == found[1]


def test_files_that_went_away_are_an_unreachable_registry(registry: tuple[Any, str, Path], tmp_path: Path) -> None:
    _, uri, folder = registry
    address = RegistryAddress.of_uri("models:/ketamine-response/1", tracking_uri=uri)
    version = address.find()
    folder.rename(folder.with_name("elsewhere"))
    try:
        with pytest.raises(RegistryUnreachableError):
            address.fetch(version, tmp_path)
    finally:
        folder.with_name("elsewhere").rename(folder)
