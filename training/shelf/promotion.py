"""Who is champion: a registered version through the gate, the alias moved last, and the way back."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import BundleDamagedError, PromotionRefusedError, TrackingError
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import Store
from training.shelf.promotion_gate import GateCheck, check_gate
from training.shelf.promotion_log import Decision, champion_before, read_decisions, write_decision
from training.shelf.registry import (
    GATE_DOCUMENT,
    champion_of,
    digest_of,
    fetch_verified,
    name_champion,
    resolve,
)
from training.shelf.stored_evidence import read_evidence


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the gate said about a version."""

    name: str
    version: str
    checks: tuple[GateCheck, ...]
    bundle_digest: str

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class Rollback:
    """A former champion that is champion again."""

    name: str
    version: str
    replaced: str | None  # version that was champion; None: the alias had been taken away


def examine(reference: str, *, store: Store) -> Promotion:
    """Verify a registered bundle and put it through the gate; nothing is changed.

    Parameters
    ----------
    reference
        "MODEL/VERSION"; the version may be an alias such as `candidate`.
    store
        The log book.

    Raises
    ------
    ModelUnavailableError
        If there is no such version.
    VersionUnverifiedError
        If registering it was cut off.
    BundleDamagedError
        If the stored bundle or gate document is not what was registered.
    RunDeletedError
        If the run it was registered from is gone, and the evidence with it.
    """
    name, version = resolve(reference, store=store)
    found = fetch_verified(name, version, store=store)
    evidence = read_evidence(store, found.run_id)
    measured = _read_gate(store, found.run_id, found.tags.get("gate_digest", ""))
    checks = check_gate(measured, found.bundle, evidence=evidence, tags=found.tags)
    return Promotion(name, version, checks, str(found.bundle.digest))


def decide(promotion: Promotion, *, store: Store, reason: str = "") -> None:
    """Write the decision down with its reasons, and move the alias `champion` last, if every check passed.

    Raises
    ------
    PromotionRefusedError
        If a check failed; the alias stays where it was.
    TrackingError
        If the decision cannot be written down; the alias stays, too.
    """
    before = champion_of(promotion.name, store=store)
    decision = Decision(
        model=promotion.name,
        version=promotion.version,
        verdict="passed" if promotion.passed else "refused",
        bundle_digest=promotion.bundle_digest,
        replaced=before,
        reason=reason,
        checks=promotion.checks,
    )
    write_decision(decision, store)
    tags = {"gate": decision.verdict, "gate_reasons": decision.reasons, "gate_at": decision.at}
    with in_our_words("mark the version with the decision"):
        for key, value in tags.items():
            store.client.set_model_version_tag(promotion.name, promotion.version, key, value)
    if not promotion.passed:
        raise _refusal(promotion)
    name_champion(promotion.name, promotion.version, store=store)


def roll_back(name: str, *, store: Store, reason: str = "") -> Rollback:
    """Give `champion` back to the version that had it before; its bundle is verified first, the alias moves last.

    Raises
    ------
    ModelUnavailableError
        If nothing is registered under this name.
    PromotionRefusedError
        If no earlier champion is known.
    VersionUnverifiedError, BundleDamagedError
        If the earlier champion can no longer be trusted; the champion stays.
    """
    current = champion_of(name, store=store)
    version = champion_before(read_decisions(store, name), current)
    if version is None:
        raise PromotionRefusedError(
            f"expected a champion before {f'v{current}' if current else 'now'}, found none in the log of promotions.",
            where=name,
            remedy="Promote another version: krp promote MODEL/VERSION.",
        )
    found = fetch_verified(name, version, store=store)
    digest = str(found.bundle.digest)
    write_decision(Decision(name, version, "rolled back", digest, replaced=current, reason=reason), store)
    name_champion(name, version, store=store)
    return Rollback(name, version, current)


def _read_gate(store: Store, run_id: str, digest: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="krp-read-") as folder:
        try:
            with in_our_words("read what training measured"):
                content = Path(store.client.download_artifacts(run_id, GATE_DOCUMENT, folder)).read_bytes()
        except TrackingError as error:
            raise BundleDamagedError("the record of what training measured is missing.", where=GATE_DOCUMENT) from error
    if digest_of(content) != digest:
        raise BundleDamagedError("the record of what training measured was changed.", where=GATE_DOCUMENT)
    return dict(json.loads(content))


def _refusal(promotion: Promotion) -> PromotionRefusedError:
    failed = [check for check in promotion.checks if not check.passed]
    return PromotionRefusedError(
        f"{promotion.name} v{promotion.version} failed {len(failed)} of {len(promotion.checks)} checks: "
        + "; ".join(f"({check.number}) {check.name}: {check.measured}" for check in failed)
        + ".",
        where=f"{promotion.name}/{promotion.version}",
    )
