"""The MLflow registry as a source of models: a shelf from which files are fetched; nothing of MLflow's is loaded.

The shelf is an SQLite file, a PostgreSQL database or a tracking server, addressed as for training. Whatever its client
says when something fails is put into our words, because it may quote addresses with their passwords.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from predictor.errors import (
    BundleDamagedError,
    ModelUnavailableError,
    RegistryUnreachableError,
    UsageError,
    VersionUnverifiedError,
)
from predictor.model.sealed_folder import MANIFEST
from predictor.scratch_folder import scratch_folder
from predictor.store_address import StoreAddress, store_address, without_credentials
from predictor.store_tables import StoreTables
from serving.model_card import read_card
from serving.model_source import ListedModel, ModelVersion

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

CHAMPION = "champion"
CANDIDATE = "candidate"
# Tags of a registered version, written by training and by `krp sign`.
DIGEST_TAG, STATUS_TAG, SIGNATURE_TAG = "bundle_digest", "status", "bundle_signature"
REGISTERING = "registering"  # of STATUS_TAG: its files were not verified yet
MAX_LISTED = 20
SECONDS_TO_ANSWER = 5
_MODEL_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_NOT_FOUND = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_PORTS = {"http": 80, "https": 443, "postgresql+psycopg": 5432}
# Before MLflow is imported: this service talks to no other host, tries again for seconds and not for minutes, and says
# itself what happens.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """A model in an MLflow registry, by alias or version."""

    name: str
    alias: str | None
    number: str | None
    store: StoreAddress
    # Cards that were read, by the digest of their bundle: neither ever changes.
    _cards: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_uri(cls, uri: str, *, tracking_uri: str) -> RegistryAddress:
        """Return the address of a `models:/` URI.

        Raises
        ------
        UsageError
            If the URI, or that of the registry, has another form.
        """
        match = _MODEL_ADDRESS.fullmatch(uri)
        if match is None:
            raise UsageError(
                f"expected models:/NAME@ALIAS or models:/NAME/VERSION, got {uri}.",
                remedy="`krp train` and `krp promote` print the address of the model they wrote.",
            )
        try:
            store = store_address(tracking_uri)
        except UsageError as error:
            raise UsageError(str(error), where="--tracking-uri or KRP_TRACKING_URI") from error
        return cls(match["name"], match["alias"], match["version"], store)

    @property
    def shown(self) -> str:
        """Name of the source that stays the same between starts, without credentials."""
        return f"{self.store.shown} {self.name} {self.alias or self.number}"

    def find(self) -> ModelVersion:
        """Name the version behind the alias; without a champion, the candidate.

        Raises
        ------
        ModelUnavailableError
            If there is none.
        VersionUnverifiedError
            If its registration was never finished.
        RegistryUnreachableError
            If the registry does not answer as it should.
        """
        with _in_our_words():
            shelf = self._shelf()
            aliases = shelf.aliases(self.name)
            number = self.number or aliases.get(self.alias or CHAMPION)
            if number is None and self.alias == CHAMPION:
                number = aliases.get(CANDIDATE)
            if number is None:
                raise ModelUnavailableError(f"the registry has no {self.name} with the alias {self.alias}.")
            tags = shelf.tags(self.name, number)
        if tags is None:
            raise ModelUnavailableError(f"the registry has no version {number} of {self.name}.")
        if tags.get(STATUS_TAG) == REGISTERING:
            raise VersionUnverifiedError(f"version {number} of {self.name} was never verified.")
        is_promoted = aliases.get(CHAMPION) == number
        passed_at = tags.get("gate_at") if tags.get("gate") == "passed" else None
        return ModelVersion(number, is_promoted, tags.get(DIGEST_TAG), tags.get(SIGNATURE_TAG), passed_at)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Copy the version's files below `folder`.

        Raises
        ------
        BundleDamagedError
            If no bundle is among them.
        RegistryUnreachableError
            If the registry does not answer as it should.
        """
        with _in_our_words():
            downloaded = self._download(self._shelf(), version.version, folder)
        found = sorted(downloaded.rglob(MANIFEST), key=lambda path: len(path.parts))
        if not found:
            raise BundleDamagedError(f"version {version.version} of {self.name} holds no bundle.")
        return found[0].parent

    def listed(self) -> Sequence[ListedModel]:
        """Return the newest versions under this name, newest first."""
        with _in_our_words():
            shelf = self._shelf()
            aliases, versions = shelf.aliases(self.name), shelf.versions(self.name)
            newest = sorted(versions, key=int, reverse=True)[:MAX_LISTED]
            return [self._listed_version(shelf, number, versions[number], aliases) for number in newest]

    def _listed_version(
        self, shelf: _Shelf, number: str, tags: Mapping[str, str], aliases: Mapping[str, str]
    ) -> ListedModel:
        digest = tags.get(DIGEST_TAG)
        is_whole = tags.get(STATUS_TAG) != REGISTERING and digest is not None
        return ListedModel(
            name=self.name,
            version=number,
            digest=digest,
            aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
            status=tags.get(STATUS_TAG, "unknown"),
            gate=tags.get("gate"),
            gate_reasons=tags.get("gate_reasons", ""),
            card=self._card_of(shelf, number, str(digest)) if is_whole else None,
            run_link=self._link_to(number),
        )

    def _card_of(self, shelf: _Shelf, number: str, digest: str) -> Mapping[str, Any] | None:
        """Return the card that lies in a version's bundle; None if its files are not those that were registered."""
        if digest not in self._cards:
            try:
                with scratch_folder("card") as folder:
                    manifest = self._download(shelf, number, folder, part=MANIFEST)
                    card = read_card(
                        manifest, digest=digest,
                        fetch=lambda name: self._download(shelf, number, folder, part=name),
                    )  # fmt: skip
            except (ModelUnavailableError, BundleDamagedError) as error:
                logger.warning("the card of version %s cannot be shown: %s", number, error.code)
                return None
            self._cards[digest] = card
        return self._cards[digest]

    def _download(self, shelf: _Shelf, number: str, folder: Path, *, part: str = "") -> Path:
        """Fetch a version's files, or one file of its bundle.

        MLflow puts the bundle into the folder `data/bundle` of a logged model.
        """
        inside = f"data/bundle/{part}" if part else ""
        with _in_our_words():
            copied = shelf.copy(self.name, number, folder, part=inside)
            # What the database beside us says may lie elsewhere, and MLflow knows how to get it.
            return copied or self._mlflow().copy(self.name, number, folder, part=inside)

    def _link_to(self, number: str) -> str | None:
        """Return MLflow's page of a version, which leads on to its run, where a browser can open it."""
        if not self.store.is_server:
            return None
        return f"{self.store.uri}/#/models/{quote(self.name, safe='')}/versions/{number}"

    def _shelf(self) -> _Shelf:
        """Return what can be asked: the tables themselves where they can be read, since MLflow takes long to import."""
        return StoreTables.of(self.store) or self._mlflow()

    def _mlflow(self) -> _MlflowShelf:
        """Return MLflow's client of the registry, once somebody answers there."""
        database = self.store.database
        if database is not None and not database.is_file():
            # MLflow would create an empty registry here, and say only then that it is empty.
            raise RegistryUnreachableError("there is no model registry here yet.")
        if database is None:
            _knock(self.store.uri)
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.store.unlock()
        from mlflow.tracking import MlflowClient

        return _MlflowShelf(MlflowClient(tracking_uri=self.store.uri, registry_uri=self.store.uri), self.store.uri)


@dataclass(frozen=True, slots=True)
class _MlflowShelf:
    """A registry asked through MLflow, in the words of `StoreTables`."""

    client: MlflowClient
    uri: str

    def aliases(self, name: str) -> dict[str, str]:
        """Version by alias; empty if nothing is registered under this name."""
        from mlflow.exceptions import MlflowException

        try:
            return {alias: str(number) for alias, number in self.client.get_registered_model(name).aliases.items()}
        except MlflowException as error:
            if error.error_code in _NOT_FOUND:
                return {}
            raise

    def tags(self, name: str, number: str) -> dict[str, str] | None:
        """Tags of a version; None if there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.client.get_model_version(name, number).tags)
        except MlflowException as error:
            if error.error_code in _NOT_FOUND:
                return None
            raise

    def versions(self, name: str) -> dict[str, dict[str, str]]:
        """Tags of the newest versions, by version."""
        found = self.client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"])
        return {str(one.version): dict(one.tags) for one in found}

    def copy(self, name: str, number: str, folder: Path, *, part: str = "") -> Path:
        """Fetch a version's files, or one of them."""
        from mlflow.artifacts import download_artifacts

        source = self.client.get_model_version_download_uri(name, number)
        uri = f"{source.rstrip('/')}/{part}" if part else source
        return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.uri))


_Shelf = StoreTables | _MlflowShelf


def _knock(uri: str) -> None:
    """Find out in seconds whether anyone listens; MLflow itself would try again for minutes."""
    parts = urlsplit(uri)
    if parts.hostname is None:  # a socket in the file system
        return
    try:
        port = parts.port or _PORTS[parts.scheme]
        socket.create_connection((parts.hostname, port), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise RegistryUnreachableError("nobody answers at the address of the model registry.") from error


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn what MLflow, its database and the system say into ours; their words go to the debug log only."""
    try:
        yield
    except Exception as error:
        is_foreign = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _FOREIGN
        if not is_foreign:
            raise
        logger.debug("the registry: %s", without_credentials(f"{type(error).__name__}: {error}"))
        raise RegistryUnreachableError("the model registry does not answer as it should.") from None


_FOREIGN = frozenset({"mlflow", "sqlalchemy", "alembic", "requests", "urllib3", "psycopg", "sqlite3"})
