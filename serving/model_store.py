"""Which model answers: found in the registry or in a folder, verified, loaded, and kept until a better one is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from predictor.errors import BundleDamagedError, ModelUnavailableError, PredictorError, RegistryUnreachableError
from predictor.model.bundle import ModelBundle, load_bundle, verify_bundle
from predictor.model.sealed_folder import digest_of, read_manifest
from predictor.model.signature import BundleKey
from predictor.scratch_folder import scratch_folder, scratch_folder_until_exit
from serving.model_cache import ModelCache
from serving.model_history import ModelHistory
from serving.model_registry import RegistryAddress
from serving.model_source import BundleFolder, ListedModel, LoadedModel, ModelSource, ModelVersion
from serving.settings import Settings, read_settings

__all__ = [
    "BundleFolder", "ListedModel", "LoadedModel", "ModelSource", "ModelStore", "ModelVersion", "RegistryAddress",
    "fetch_bundle", "open_store", "source_of",
]  # fmt: skip
logger = logging.getLogger(__name__)

LISTING_KEPT_S = 15.0  # between two looks at the registry for the list of its models


def source_of(settings: Settings) -> ModelSource:
    """Return the source that the settings name; a bundle folder goes before the registry."""
    if settings.bundle is not None:
        return BundleFolder(settings.bundle)
    return RegistryAddress.of_uri(settings.model, tracking_uri=settings.tracking_uri)


def open_store(settings: Settings) -> ModelStore:
    """Return the store that the settings describe, without a model yet.

    Raises
    ------
    UsageError
        If an address, or the public key, is not what it should be.
    """
    key = BundleKey.from_file(settings.bundle_public_key) if settings.bundle_public_key else None
    needs_cache = settings.bundle is None and settings.model_cache is not None
    cache = ModelCache(settings.model_cache) if needs_cache and settings.model_cache else None
    history = ModelHistory(settings.model_history) if settings.model_history else None
    return ModelStore(source_of(settings), key=key, cache=cache, history=history)


class ModelStore:
    """The model that answers now; a new one takes its place only once it is verified and loaded.

    Requests hold the `LoadedModel` they began with, so a change between two models is one assignment: no request ever
    sees half of each.

    Parameters
    ----------
    source
        Where models come from.
    key
        Whose signature a bundle must carry; None takes bundles without.
    cache
        Where the last verified bundle of a registry is kept for a start without it; None keeps none.
    history
        What was served before, so that nothing older is; None lets the source go back.
    """

    def __init__(
        self,
        source: ModelSource,
        *,
        key: BundleKey | None = None,
        cache: ModelCache | None = None,
        history: ModelHistory | None = None,
    ) -> None:
        self._source = source
        self._key = key
        self._cache = cache
        self._history = history
        self._loaded: LoadedModel | None = None
        self._refreshing = threading.Lock()
        self._listing = threading.Lock()
        self._listed: tuple[float, Sequence[ListedModel]] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether a model answers."""
        return self._loaded is not None

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
        ModelUnavailableError, ModelBundleError, ModelHistoryError
            If there is no model, it cannot be trusted, or nobody can say; the one loaded before goes on answering.
        """
        with self._refreshing:
            try:
                return self._load_found()
            except RegistryUnreachableError:
                if self._loaded is None and self._load_kept():
                    return True
                raise
            except ModelUnavailableError:
                if self._loaded is not None and self._loaded.from_cache:
                    self._loaded = None  # the registry is there, and took the model away while nobody was serving
                raise

    def load_kept(self) -> bool:
        """Load the copy of what was served last, until the registry says what to serve, and tell whether there is one.

        A start need not wait for MLflow then, which takes seconds to import; the model says `from_cache` meanwhile.
        """
        with self._refreshing:
            return self._loaded is None and self._load_kept()

    def listed(self) -> Sequence[ListedModel]:
        """Return every version that the source knows, newest first, the one that answers marked.

        Asks the registry, so not for the event loop; within seconds the last list is given again, and while the
        registry does not answer, or another caller is asking it, too. Nothing is raised: the model that answers is
        always in the list.
        """
        if self._listing.acquire(blocking=False):  # a registry that is slow holds up one thread, not all
            try:
                self._list_again()
            finally:
                self._listing.release()
        last = self._listed
        return _with_current(last[1] if last else (), self._loaded)

    def _list_again(self) -> None:
        now, last = time.monotonic(), self._listed  # once, for a new model empties it meanwhile
        if last is not None and now - last[0] <= LISTING_KEPT_S:
            return
        try:
            self._listed = (now, self._source.listed())
        except PredictorError as error:
            logger.warning("the models were not listed: %s", error.code)
            self._listed = (now, last[1] if last else ())

    def _load_found(self) -> bool:
        version, before = self._source.find(), self._loaded
        if before is not None and before.version == version:
            if before.from_cache:  # the registry is back, and means the same version
                self._loaded = replace(before, from_cache=False)
            return before.from_cache
        with scratch_folder("bundle") as folder:
            fetched = self._source.fetch(version, folder)
            bundle = self._verified(fetched, version)
            if self._history is not None:
                self._history.note(version.version, str(bundle.digest), source=_name_of(self._source))
            if self._cache is not None:
                self._cache.keep(fetched, replace(version, digest=bundle.digest), source=_name_of(self._source))
        self._loaded = LoadedModel(bundle, version, _now())
        self._listed = None
        logger.info("serving version %s, digest %s", version.version, bundle.digest)
        return True

    def _load_kept(self) -> bool:
        """Load what was served last, if it was kept and is whole; whoever asks is told that it is a copy."""
        kept = self._cache.last(source=_name_of(self._source)) if self._cache else None
        if kept is None:
            return False
        folder, version = kept
        try:
            bundle = self._verified(folder, version)
        except PredictorError as error:
            logger.error("the bundle that was kept is not served: %s: %s", error.code, error)
            return False
        self._loaded = LoadedModel(bundle, version, _now(), from_cache=True)
        logger.warning("serving a copy of version %s until the registry answers", version.version)
        return True

    def _verified(self, folder: Path, version: ModelVersion) -> ModelBundle:
        """Load a folder, once its signature, where one is asked for, its age and every digest are right."""
        checked = self._key.check(folder, version.signature) if self._key else digest_of(read_manifest(folder))
        _check_digest(checked, version.digest)  # before anything of it is interpreted
        if self._history is not None:
            self._history.check(version.version, checked, source=_name_of(self._source))
        bundle = load_bundle(folder)
        _check_digest(bundle.digest, checked)
        return bundle


def fetch_bundle(uri: str) -> tuple[Path, bool]:
    """Return a bundle folder for a `models:/` address, and whether it is the champion, for `krp score --model`.

    The folder is removed when the process ends. The registry is the one the settings name (KRP_TRACKING_URI), and so is
    the key that must have signed the bundle (KRP_BUNDLE_PUBLIC_KEY), and the history that no older model may follow
    (KRP_MODEL_HISTORY).

    Raises
    ------
    UsageError
        If the address has another form.
    ModelUnavailableError
        If the registry has no such model.
    ModelBundleError
        If its files are not those that were registered, not signed as they should be, or older than what was served.
    """
    settings = read_settings()
    address = RegistryAddress.of_uri(uri, tracking_uri=settings.tracking_uri)
    version = address.find()
    bundle_folder = address.fetch(version, scratch_folder_until_exit("bundle"))
    if settings.bundle_public_key:
        BundleKey.from_file(settings.bundle_public_key).check(bundle_folder, version.signature)
    digest = verify_bundle(bundle_folder)
    _check_digest(digest, version.digest)
    if settings.model_history:
        ModelHistory(settings.model_history).check(version.version, digest, source=address.shown)
    return bundle_folder, version.is_promoted


def _check_digest(found: str | None, expected: str | None) -> None:
    """Files and manifest could have been changed together; the registry remembers what was registered."""
    if expected is not None and expected != found:
        raise BundleDamagedError(f"expected the bundle {expected[:19]}, found {str(found)[:19]}.")


def _with_current(listed: Sequence[ListedModel], loaded: LoadedModel | None) -> list[ListedModel]:
    """Mark the model that answers, and add it where the source does not list it."""
    if loaded is None:
        return list(listed)
    version, from_cache = loaded.version.version, loaded.from_cache
    marked = [
        replace(one, is_current=one.version == version, from_cache=from_cache and one.version == version)
        for one in listed
    ]
    if any(one.is_current for one in marked):
        return marked
    bundle = loaded.bundle
    aliases = ("champion",) if loaded.version.is_promoted else ()
    current = ListedModel(
        bundle.name, version, bundle.digest, aliases, status="verified", card=bundle.card, is_current=True,
        from_cache=from_cache,
    )  # fmt: skip
    return [current, *marked]


def _name_of(source: ModelSource) -> str:
    return str(getattr(source, "shown", type(source).__name__))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
