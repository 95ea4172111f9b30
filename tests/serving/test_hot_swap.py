"""A model is exchanged while requests run: none fails, and no answer mixes two models."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import BundleDamagedError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from serving.model_source import ListedModel, ModelVersion
from serving.model_store import ModelStore
from serving.settings import Settings

N_CLIENTS, N_SWAPS = 4, 12
WAIT_S = 60.0


class MovingShelf:
    """A source whose current version is moved by hand."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.current = next(iter(folders))

    def find(self) -> ModelVersion:
        return ModelVersion(self.current, is_promoted=True)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        return Path(shutil.copytree(self.folders[version.version], folder / "copy"))

    def listed(self) -> list[ListedModel]:
        return []


def test_every_answer_is_of_one_model_while_models_change(
    serve: Any, bundle: ModelBundle, bundle_dir: Path, tmp_path: Path, make_features: Any
) -> None:
    save_bundle(replace(bundle, trained_on=81, digest=None), tmp_path / "second")
    damaged = Path(shutil.copytree(bundle_dir, tmp_path / "damaged"))
    (damaged / "bundle.json").write_bytes(b"{}")
    shelf = MovingShelf({"1": bundle_dir, "2": tmp_path / "second", "3": damaged})
    digests = {name: load_bundle(shelf.folders[name]).digest for name in ("1", "2")}
    store = ModelStore(shelf)
    store.refresh()
    body = {"rows": [{"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}]}
    seen: list[tuple[int, str, str]] = []
    is_over = threading.Event()

    def ask(url: str, make_client: Any) -> None:
        with make_client() as client:
            while not is_over.is_set():
                reply = client.post("/v1/predictions", json=body)
                (found,) = reply.json().get("predictions", [{}])
                answer = found.get("answer", {}).get("model", {})
                seen.append((reply.status_code, found.get("model_version", ""), answer.get("digest", "")))

    def wait_for_answers() -> None:
        """On a busy machine all exchanges may be over before anyone has asked; of so many, one was asked since."""
        enough, ends = len(seen) + N_CLIENTS + 1, time.monotonic() + WAIT_S
        while len(seen) < enough and time.monotonic() < ends:
            time.sleep(0.001)

    settings = Settings(refresh_s=0, database_url=f"sqlite:///{tmp_path}/service.db")
    with serve(settings, store) as service:
        clients = [threading.Thread(target=ask, args=(service.url, service.client)) for _ in range(N_CLIENTS)]
        for client in clients:
            client.start()
        for number in range(N_SWAPS):
            shelf.current = ("1", "2", "3")[number % 3]
            if shelf.current == "3":
                with pytest.raises(BundleDamagedError):
                    store.refresh()
            else:
                store.refresh()
            wait_for_answers()
        is_over.set()
        for client in clients:
            client.join()
    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} == {"1", "2"}
    assert all(digest == digests[version] for _, version, digest in seen)
