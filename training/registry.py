"""The shelf: registered bundles, the alias `candidate` that training sets, and the gate before `champion`."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from predictor.errors import BundleDamagedError, ModelUnavailableError, PromotionRefusedError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from predictor.model.canonical_json import canonical_json
from training.promotion_gate import GateCheck, check_gate
from training.tracking import RunLog, Store

CANDIDATE = "candidate"
CHAMPION = "champion"
BUNDLE_FOLDER = "bundle"
BUNDLE_IN_MODEL = f"data/{BUNDLE_FOLDER}"  # where MLflow puts it inside a logged model
GATE_DOCUMENT = "gate.json"
LOADER = "predictor.model.mlflow_loader"
PROMOTION_LOG = "promotions.jsonl"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A bundle on the shelf."""

    name: str
    version: str
    bundle_digest: str
    model_uri: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the gate said, and whether the alias moved."""

    name: str
    version: str
    checks: tuple[GateCheck, ...]
    bundle_digest: str

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def register_bundle(
    bundle: ModelBundle,
    measured: Mapping[str, Any],
    *,
    store: Store,
    run: RunLog,
    tags: Mapping[str, str],
) -> RegisteredVersion:
    """Log the bundle as an MLflow model, register it, check what was stored, and only then name it `candidate`.

    Parameters
    ----------
    measured
        What the gate will ask for; stored beside the bundle, with its digest among the version's tags.
    tags
        Outcome, digests of cohort and configuration, version of the code.
    """
    gate = canonical_json(dict(measured))
    run.client.log_text(run.run_id, gate.decode(), GATE_DOCUMENT)
    with tempfile.TemporaryDirectory(prefix="krp-bundle-") as folder:
        digest = save_bundle(bundle, Path(folder) / BUNDLE_FOLDER)
        model_uri, model_id = _log_model(Path(folder) / BUNDLE_FOLDER, bundle, run)
    _ensure_model(store, bundle.name)
    facts = {**tags, "bundle_digest": digest, "gate_digest": _digest(gate)}
    found = store.client.create_model_version(
        bundle.name, source=model_uri, run_id=run.run_id, tags=facts, model_id=model_id
    )
    version = RegisteredVersion(bundle.name, str(found.version), digest, model_uri)
    with _downloaded(store, version.name, version.version) as stored:
        _load_expected(stored, digest)
    store.client.set_registered_model_alias(version.name, CANDIDATE, version.version)
    return version


def examine(reference: str, *, store: Store) -> Promotion:
    """Verify a registered bundle and put it through the gate; nothing is changed.

    Parameters
    ----------
    reference
        "MODEL/VERSION"; the version may be an alias such as `candidate`.

    Raises
    ------
    ModelUnavailableError
        If there is no such version.
    BundleDamagedError
        If the stored bundle or gate document is not what was registered.
    """
    name, version = _resolve(reference, store)
    found = store.client.get_model_version(name, version)
    with _downloaded(store, name, version) as stored:
        bundle = _load_expected(stored, found.tags.get("bundle_digest", ""))
    measured = _read_gate(store, found.run_id or "", found.tags.get("gate_digest", ""))
    return Promotion(name, version, check_gate(measured, bundle), str(bundle.digest))


def decide(promotion: Promotion, *, store: Store) -> None:
    """Write the decision down with its reasons, and move the alias `champion` last, if every check passed.

    Raises
    ------
    PromotionRefusedError
        If a check failed; the alias stays where it was.
    """
    _log_decision(promotion, store)
    if not promotion.passed:
        raise _refusal(promotion)
    store.client.set_registered_model_alias(promotion.name, CHAMPION, promotion.version)


def _log_model(folder: Path, bundle: ModelBundle, run: RunLog) -> tuple[str, str | None]:
    """Log the folder as an MLflow pyfunc model; returns its URI and id."""
    with mlflow.start_run(run_id=run.run_id), warnings.catch_warnings():
        # An example of an input would be a participant's data.
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        info = mlflow.pyfunc.log_model(
            name=bundle.name,
            loader_module=LOADER,
            data_path=str(folder),
            signature=_signature(bundle),
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


def _ensure_model(store: Store, name: str) -> None:
    try:
        store.client.get_registered_model(name)
    except MlflowException:
        store.client.create_registered_model(name)


@contextmanager
def _downloaded(store: Store, name: str, version: str) -> Iterator[Path]:
    """Lend a copy of the bundle folder that the registry holds, as a server would fetch it."""
    with tempfile.TemporaryDirectory(prefix="krp-verify-") as folder:
        try:
            path = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=folder)
        except (MlflowException, OSError) as error:
            raise BundleDamagedError("the registry's files of this version cannot be fetched.") from error
        yield Path(path) / BUNDLE_IN_MODEL


def _load_expected(folder: Path, digest: str) -> ModelBundle:
    bundle = load_bundle(folder)
    if bundle.digest != digest:
        raise BundleDamagedError(f"expected the bundle {digest[:19]}, found {str(bundle.digest)[:19]}.")
    return bundle


def _read_gate(store: Store, run_id: str, digest: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="krp-gate-") as folder:
        try:
            content = Path(store.client.download_artifacts(run_id, GATE_DOCUMENT, folder)).read_bytes()
        except (MlflowException, OSError) as error:
            raise BundleDamagedError("the record of what training measured is missing.", where=GATE_DOCUMENT) from error
    if _digest(content) != digest:
        raise BundleDamagedError("the record of what training measured was changed.", where=GATE_DOCUMENT)
    return dict(json.loads(content))


def _resolve(reference: str, store: Store) -> tuple[str, str]:
    name, _, version = reference.rpartition("/")
    try:
        if name and version.isdigit():
            return name, str(store.client.get_model_version(name, version).version)
        if name and version:
            return name, str(store.client.get_model_version_by_alias(name, version).version)
    except MlflowException as error:
        raise ModelUnavailableError(
            "there is no such version in the registry.", where=reference, remedy="`krp train` prints what it registers."
        ) from error
    raise ModelUnavailableError(
        "expected MODEL/VERSION.", where=reference, remedy="For example: krp promote ketamine-response/1"
    )


def _log_decision(promotion: Promotion, store: Store) -> None:
    """Write the decision down before the alias moves: to a file, one line each, and to the version's tags."""
    decision = "passed" if promotion.passed else "refused"
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": promotion.name,
        "version": promotion.version,
        "bundle_digest": promotion.bundle_digest,
        "decision": decision,
        "checks": [asdict(check) for check in promotion.checks],
    }
    with (store.folder / PROMOTION_LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, sort_keys=True) + "\n")
    reasons = "; ".join(check.line() for check in promotion.checks if not check.passed)
    tags = {"gate": decision, "gate_reasons": reasons, "gate_at": entry["at"]}
    for key, value in tags.items():
        store.client.set_model_version_tag(promotion.name, promotion.version, key, str(value))


def _refusal(promotion: Promotion) -> PromotionRefusedError:
    failed = [check for check in promotion.checks if not check.passed]
    return PromotionRefusedError(
        f"{promotion.name} v{promotion.version} failed {len(failed)} of {len(promotion.checks)} checks: "
        + "; ".join(f"({check.number}) {check.name}: {check.measured}" for check in failed)
        + ".",
        where=f"{promotion.name}/{promotion.version}",
    )


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
