"""The shelf: registered bundles, verified before they are named; training names a `candidate`, never the `champion`."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

from predictor.errors import (
    BundleDamagedError,
    ModelUnavailableError,
    RegisteredNameError,
    VersionUnverifiedError,
)
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle, verify_bundle
from predictor.model.canonical_json import canonical_json
from predictor.model.mlflow_loader import EXAMPLE_IS, input_example
from training.cohort.baseline_inputs import ANALYSIS, is_analysis_name, late_inputs
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import RunLog, Store, paged

CANDIDATE = "candidate"
CHAMPION = "champion"
BUNDLE_FOLDER = "bundle"
BUNDLE_IN_MODEL = f"data/{BUNDLE_FOLDER}"  # where MLflow puts it inside a logged model
GATE_DOCUMENT = "gate.json"
LOADER = "predictor.model.mlflow_loader"
# Tag of a version: where registering it has got to. Only what is verified is ever named or promoted.
STATUS, REGISTERING, VERIFIED = "status", "registering", "verified"
OUTCOME = "outcome"  # tag of a registered model and of its versions
SCRATCH = "krp-shelf-"  # temporary folders


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A bundle on the shelf."""

    name: str
    version: str
    bundle_digest: str
    model_uri: str


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedVersion:
    """A version whose files are those that were registered."""

    name: str
    version: str
    bundle: ModelBundle
    tags: Mapping[str, str]
    run_id: str


def register_bundle(
    bundle: ModelBundle,
    measured: Mapping[str, Any],
    *,
    store: Store,
    run: RunLog,
    tags: Mapping[str, str],
) -> RegisteredVersion:
    """Log the bundle as an MLflow model, register it, check what was stored, and only then name it `candidate`.

    The version is marked "registering" until its files were fetched back and verified; nothing that is not marked
    "verified" is ever named or promoted. Cut off anywhere, it leaves at most litter that `krp doctor` knows.

    Parameters
    ----------
    bundle
        The trained model; its name is the registered name.
    measured
        What the gate will ask for; stored beside the bundle, with its digest among the version's tags.
    store, run
        The log book, and the experiment's run.
    tags
        Outcome, digests of cohort and configuration, version of the code.

    Raises
    ------
    RegisteredNameError
        If the name stands for another outcome, or the model is an analysis and its name does not say so.
    BundleDamagedError
        If what the store gives back is not what was registered; `candidate` stays where it was.
    TrackingError
        If the store does not take it.
    """
    check_shelf(bundle.name, bundle.outcome.name, store=store)
    _check_kind(bundle, measured.get("measured", {}))
    gate = canonical_json(dict(measured))
    run.text(gate.decode(), GATE_DOCUMENT)
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        digest = save_bundle(bundle, Path(folder) / BUNDLE_FOLDER)
        store.select()  # another one may have been opened since
        with in_our_words("store the bundle"):
            model_uri, model_id = _log_model(Path(folder) / BUNDLE_FOLDER, bundle, run)
    facts = {**tags, "outcome": bundle.outcome.name, "bundle_digest": digest, "gate_digest": digest_of(gate)}
    with in_our_words("register the bundle"):
        _ensure_model(store, bundle)
        found = store.client.create_model_version(
            bundle.name, source=model_uri, run_id=run.run_id, model_id=model_id, tags=facts | {STATUS: REGISTERING}
        )
    version = RegisteredVersion(bundle.name, str(found.version), digest, model_uri)
    with downloaded(store, version.name, version.version) as stored:
        _load_expected(stored, digest, where=f"{version.name}/{version.version}")
    with in_our_words("name the version a candidate"):
        store.client.set_model_version_tag(version.name, version.version, STATUS, VERIFIED)
        store.client.set_registered_model_alias(version.name, CANDIDATE, version.version)
    return version


def look_packages_up() -> None:
    """Let MLflow find out which package holds which module: it asks when a model is logged, and remembers.

    That reads the lists of files of everything that is installed, half a second's work. `register_bundle` is quicker
    after it, and does it itself otherwise.
    """
    warn_dependency_requirement_mismatches(["mlflow"])


def check_shelf(name: str, outcome: str, *, store: Store) -> None:
    """Refuse a registered name that stands for another outcome; worth asking before hours of fitting.

    Raises
    ------
    RegisteredNameError
        If versions under this name predict something else.
    """
    held = _outcome_held(store, name)
    if held and held != outcome:
        raise RegisteredNameError(
            f"{name!r} holds models of {held}; expected a name of its own for {outcome}.",
            where="[tracking] registered_model",
        )


def fetch_verified(name: str, version: str, *, store: Store) -> VerifiedVersion:
    """Fetch a version's files and verify them against what was registered.

    Raises
    ------
    ModelUnavailableError
        If there is no such version.
    VersionUnverifiedError
        If registering it was cut off.
    BundleDamagedError
        If the stored bundle is not what was registered.
    """
    found = _checked_version(store, name, version)
    with downloaded(store, name, version) as stored:
        bundle = _load_expected(stored, found.tags.get("bundle_digest", ""), where=f"{name}/{version}")
    return VerifiedVersion(name, version, bundle, found.tags, found.run_id or "")


def verified_digest(name: str, version: str, *, store: Store) -> str:
    """Return the digest under which a version was registered.

    Raises
    ------
    ModelUnavailableError
        If there is no such version, or registering it was cut off.
    """
    return str(_checked_version(store, name, version).tags.get("bundle_digest", ""))


def champion_of(name: str, *, store: Store) -> str | None:
    """Return the version that is champion, None if there is none.

    Raises
    ------
    ModelUnavailableError
        If nothing is registered under this name.
    """
    try:
        aliases = store.client.get_registered_model(name).aliases
    except MlflowException as error:
        raise ModelUnavailableError("nothing is registered under this name.", where=name) from error
    return str(aliases[CHAMPION]) if CHAMPION in aliases else None


def name_champion(name: str, version: str, *, store: Store) -> None:
    """Move the alias `champion`."""
    with in_our_words("move the alias champion"):
        store.client.set_registered_model_alias(name, CHAMPION, version)


def versions_of(name: str, *, store: Store) -> list[ModelVersion]:
    """Return the versions of a model as MLflow knows them, oldest first."""
    found = paged(store.client.search_model_versions, f"name = '{name}'")
    return sorted(found, key=lambda one: int(one.version))


def check_stored(version: ModelVersion, *, store: Store) -> None:
    """Check that a version's files are those that were registered, without loading them.

    Raises
    ------
    ModelBundleError
        If they are not, or cannot be fetched.
    """
    expected = version.tags.get("bundle_digest", "")
    with downloaded(store, version.name, str(version.version)) as stored:
        found = verify_bundle(stored)
    if found != expected:
        raise BundleDamagedError(
            f"expected the bundle {expected[:19] or 'of no known digest'}, found {found[:19]}.",
            where=f"{version.name}/{version.version}",
        )


def knows_run(run_id: str, *, store: Store) -> bool:
    """Whether the store has this run, deleted ones included: they can be restored."""
    return _is_known(lambda: store.client.get_run(run_id))


def knows_model(model_id: str, *, store: Store) -> bool:
    """Whether the store has this logged model."""
    return _is_known(lambda: store.client.get_logged_model(model_id))


def resolve(reference: str, *, store: Store) -> tuple[str, str]:
    """Return name and number of "MODEL/VERSION", where the version may be an alias such as `candidate`.

    Raises
    ------
    ModelUnavailableError
        If there is no such version.
    """
    name, _, version = reference.rpartition("/")
    if not name or not version:
        raise ModelUnavailableError(
            "expected MODEL/VERSION.", where=reference, remedy="For example: krp promote ketamine-response/1"
        )
    try:
        if version.isdigit():
            return name, str(store.client.get_model_version(name, version).version)
        return name, str(store.client.get_model_version_by_alias(name, version).version)
    except MlflowException as error:
        number = _dangling(name, version, store)
        if number:
            raise ModelUnavailableError(
                f"the alias {version} points at version {number}, which is not in the registry.",
                where=reference,
                remedy="`krp doctor --repair` moves the alias, or takes it away.",
            ) from error
        raise ModelUnavailableError(
            "there is no such version in the registry.", where=reference, remedy="`krp train` prints what it registers."
        ) from error


def _dangling(name: str, alias: str, store: Store) -> str:
    """Return the number at which an alias points; empty if there is no such alias."""
    try:
        return str(store.client.get_registered_model(name).aliases.get(alias, ""))
    except MlflowException:
        return ""


def digest_of(content: bytes) -> str:
    """Return the sha256 of some bytes, "sha256:..."."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _log_model(folder: Path, bundle: ModelBundle, run: RunLog) -> tuple[str, str | None]:
    """Log the folder as an MLflow pyfunc model; returns its URI and id."""
    with warnings.catch_warnings():
        # MLflow compares the example's columns in a way that pandas will change.
        warnings.filterwarnings("ignore", message="Operation with range is deprecated")
        # Not through an active run of MLflow's: that would mark the run as finished before the experiment is.
        model = run.client.create_logged_model(run.experiment_id, name=bundle.name, source_run_id=run.run_id)
        info = Model.log(
            artifact_path=None,  # the model that was just made says where
            model_id=model.model_id,
            name=bundle.name,
            flavor=mlflow.pyfunc,
            run_id=run.run_id,
            loader_module=LOADER,
            data_path=str(folder),
            signature=_signature(bundle),
            input_example=input_example(bundle),
            metadata={"input_example": EXAMPLE_IS, "research_use_only": True},
            # Named here, because MLflow would otherwise start a process to guess them.
            pip_requirements=[
                f"ketamine-response-predictor=={bundle.versions.get('ketamine-response-predictor', '0')}"
            ],
        )
    return info.model_uri, info.model_id


def _signature(bundle: ModelBundle) -> ModelSignature:
    """Return the columns that `predict` of the loaded model takes and gives; every input may be missing."""
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", name, required=False) for name in bundle.feature_names]
    kinds = {"number": "double", "category": "string"}
    columns += [ColSpec(kinds[c.kind], c.name, required=False) for c in bundle.covariates if c.role != "arm"]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", arm) for arm in bundle.arms]))


def _is_known(ask: Callable[[], object]) -> bool:
    """Whether asking finds something; a store that does not answer is an error, not a no."""
    try:
        ask()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _check_kind(bundle: ModelBundle, measured: Mapping[str, object]) -> None:
    """Keep models that need later measures apart from predictors."""
    late = late_inputs(bundle.model.input_names, measured)
    if late and not is_analysis_name(bundle.name):
        first, reason = next(iter(late.items()))
        raise RegisteredNameError(
            f"{len(late)} inputs are not known at baseline ({first}: {reason}), so the model is an analysis.",
            where="[tracking] registered_model",
            remedy=f"Name it {bundle.name}-{ANALYSIS}.",
        )


def _outcome_held(store: Store, name: str) -> str | None:
    """Outcome that a registered name stands for; None if nothing is registered there."""
    with in_our_words("read the registry"):
        if not store.client.search_registered_models(f"name = '{name}'"):
            return None
        held = store.client.get_registered_model(name).tags.get(OUTCOME)
        versions = [] if held else versions_of(name, store=store)
    return held or next((one.tags[OUTCOME] for one in versions if OUTCOME in one.tags), None)


def _ensure_model(store: Store, bundle: ModelBundle) -> None:
    """Make the registered model, marked with its outcome, unless someone was faster."""
    if store.client.search_registered_models(f"name = '{bundle.name}'"):
        return
    try:
        store.client.create_registered_model(bundle.name, tags={OUTCOME: bundle.outcome.name})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        check_shelf(bundle.name, bundle.outcome.name, store=store)


def _checked_version(store: Store, name: str, version: str) -> ModelVersion:
    found = _version(store, name, version)
    if found.tags.get(STATUS) != VERIFIED:
        raise VersionUnverifiedError(
            f"expected a version that was verified, found one marked {found.tags.get(STATUS, 'not at all')!r}.",
            where=f"{name}/{version}",
        )
    return found


def _version(store: Store, name: str, version: str) -> ModelVersion:
    try:
        return store.client.get_model_version(name, version)
    except MlflowException as error:
        raise ModelUnavailableError("there is no such version in the registry.", where=f"{name}/{version}") from error


@contextmanager
def downloaded(store: Store, name: str, version: str) -> Iterator[Path]:
    """Lend a copy of the bundle folder that the registry holds, as a server would fetch it.

    Raises
    ------
    BundleDamagedError
        If the files are not there.
    """
    store.select()
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        try:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{name}/{version}", dst_path=folder, tracking_uri=store.uri
            )
        except (MlflowException, OSError) as error:
            raise BundleDamagedError("the registry's files of this version cannot be fetched.") from error
        yield Path(path) / BUNDLE_IN_MODEL


def _load_expected(folder: Path, digest: str, *, where: str) -> ModelBundle:
    bundle = load_bundle(folder)
    if bundle.digest != digest:
        raise BundleDamagedError(f"expected the bundle {digest[:19]}, found {str(bundle.digest)[:19]}.", where=where)
    return bundle
