"""Which model answers: found in the registry or in a folder, verified, loaded, and kept until a better one is.

MLflow is a shelf here. Files are fetched from it and verified; nothing is unpickled and no model of MLflow's is loaded.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from predictor.errors import BundleDamagedError, ModelUnavailableError, UsageError
from predictor.model.bundle import ModelBundle, load_bundle, verify_bundle
from serving.settings import Settings, read_settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

CHAMPION = "champion"
CANDIDATE = "candidate"
DIGEST_TAG = "bundle_digest"  # of a registered version, written by training
_MODEL_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
# Every bundle folder holds this file; in the registry it lies beside MLflow's own description.
_BUNDLE_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What a source offers at the moment."""

    version: str
    is_promoted: bool
    digest: str | None = None  # of the bundle that was registered; None when nobody wrote it down


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A verified bundle, and what the source says about it."""

    bundle: ModelBundle
    version: ModelVersion
    loaded_at: str  # UTC, ISO 8601

    @property
    def takes_scans(self) -> bool:
        """Whether the model's features can be computed from a scan; ready features and region tables cannot."""
        recipe = self.bundle.recipe
        return recipe is not None and recipe.circuit.has_coordinates


class ModelSource(Protocol):
    """Where models come from."""

    def find(self) -> ModelVersion:
        """Name the version to serve; raises ModelUnavailableError when there is none."""

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Return a bundle folder, written below `folder` where it has to be fetched."""


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """One bundle on this machine, without any registry."""

    folder: Path

    def find(self) -> ModelVersion:
        """Name the folder's only version; nobody promoted it."""
        return ModelVersion("bundle", is_promoted=False)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Return the folder itself."""
        return self.folder


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """A model in an MLflow registry, by alias or version."""

    name: str
    alias: str | None
    number: str | None
    tracking_uri: str

    @classmethod
    def of_uri(cls, uri: str, *, tracking_uri: str) -> RegistryAddress:
        """Return the address of a `models:/` URI.

        Raises
        ------
        UsageError
            If the URI has another form.
        """
        match = _MODEL_ADDRESS.fullmatch(uri)
        if match is None:
            raise UsageError(
                f"expected models:/NAME@ALIAS or models:/NAME/VERSION, got {uri}.",
                remedy="`krp train` and `krp promote` print the address of the model they wrote.",
            )
        return cls(match["name"], match["alias"], match["version"], tracking_uri)

    def find(self) -> ModelVersion:
        """Name the version behind the alias; without a champion, the candidate."""
        client = self._client()
        number = self.number or self._number_of(client, self.alias or CHAMPION)
        if number is None and self.alias == CHAMPION:
            number = self._number_of(client, CANDIDATE)
        if number is None:
            raise ModelUnavailableError(f"the registry has no {self.name} with the alias {self.alias}.")
        is_promoted = self._number_of(client, CHAMPION) == number
        return ModelVersion(number, is_promoted, self._digest_of(client, number))

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Copy the version's files below `folder`."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            source = client.get_model_version_download_uri(self.name, version.version)
            downloaded = Path(
                download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self.tracking_uri)
            )
        except (MlflowException, OSError) as error:
            raise ModelUnavailableError(f"version {version.version} of {self.name} cannot be fetched.") from error
        found = sorted(downloaded.rglob(_BUNDLE_FILE), key=lambda path: len(path.parts))
        if not found:
            raise BundleDamagedError(f"version {version.version} of {self.name} holds no bundle.")
        return found[0].parent

    def _number_of(self, client: MlflowClient, alias: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise ModelUnavailableError("the model registry does not answer as it should.") from error

    def _digest_of(self, client: MlflowClient, number: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version(self.name, number).tags.get(DIGEST_TAG)
        except MlflowException as error:
            raise ModelUnavailableError(f"the registry has no version {number} of {self.name}.") from error

    def _client(self) -> MlflowClient:
        if self.tracking_uri.startswith("sqlite:///") and not Path(self.tracking_uri[len("sqlite:///") :]).is_file():
            # MLflow would create an empty registry here, and say only then that it is empty.
            raise ModelUnavailableError("there is no model registry here yet.")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # this service talks to no other host
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # our own output says what happens
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)


def source_of(settings: Settings) -> ModelSource:
    """Return the source that the settings name; a bundle folder goes before the registry."""
    if settings.bundle is not None:
        return BundleFolder(settings.bundle)
    return RegistryAddress.of_uri(settings.model, tracking_uri=settings.tracking_uri)


class ModelStore:
    """The model that answers now; a new one takes its place only once it is verified and loaded."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self._loaded: LoadedModel | None = None
        self._refreshing = threading.Lock()

    def current(self) -> LoadedModel:
        """Return the model that answers now.

        Raises
        ------
        ModelUnavailableError
            If none has been loaded yet.
        """
        if self._loaded is None:
            raise ModelUnavailableError("no verified model is loaded yet.")
        return self._loaded

    def refresh(self) -> bool:
        """Load the source's current version if it is another one, and tell whether the model changed.

        Raises
        ------
        ModelUnavailableError, ModelBundleError
            If there is no model, or it cannot be trusted; the one loaded before goes on answering.
        """
        with self._refreshing:
            version = self._source.find()
            if self._loaded is not None and self._loaded.version == version:
                return False
            with tempfile.TemporaryDirectory(prefix="krp-bundle-") as folder:
                bundle = load_bundle(self._source.fetch(version, Path(folder)))
            _check_digest(bundle.digest, version)
            self._loaded = LoadedModel(bundle, version, datetime.now(UTC).isoformat(timespec="seconds"))
            logger.info("serving %s, version %s, digest %s", bundle.name, version.version, bundle.digest)
            return True


def _check_digest(found: str | None, version: ModelVersion) -> None:
    """Files and manifest could have been changed together; the registry remembers what was registered."""
    if version.digest is not None and version.digest != found:
        raise BundleDamagedError(f"expected the bundle {version.digest[:19]}, found {str(found)[:19]}.")


def fetch_bundle(uri: str) -> tuple[Path, bool]:
    """Return a bundle folder for a `models:/` address, and whether it is the champion, for `krp score --model`.

    The folder is removed when the process ends. The registry is the one the settings name (KRP_TRACKING_URI).

    Raises
    ------
    UsageError
        If the address has another form.
    ModelUnavailableError
        If the registry has no such model.
    BundleDamagedError
        If its files are not those that were registered.
    """
    address = RegistryAddress.of_uri(uri, tracking_uri=read_settings().tracking_uri)
    version = address.find()
    folder = Path(tempfile.mkdtemp(prefix="krp-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bundle_folder = address.fetch(version, folder)
    _check_digest(verify_bundle(bundle_folder), version)
    return bundle_folder, version.is_promoted
