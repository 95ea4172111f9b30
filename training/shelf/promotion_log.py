"""The log of promotions: every decision about a champion, with its reasons and numbers, never changed afterwards.

In the store it is one finished run per decision, in an experiment of its own, so it works the same in a folder, a
database and behind a server. Stores in a folder keep a copy as lines of JSON beside the database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from predictor.errors import ModelUnavailableError
from training.log_book.tracking import Store, find_runs, start_run
from training.shelf.promotion_gate import GateCheck

EXPERIMENT = "promotions"
FILE = "promotions.jsonl"
DOCUMENT = "decision.json"
KIND = "promotion"

Verdict = Literal["passed", "refused", "rolled back", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one version."""

    model: str
    version: str
    verdict: Verdict
    bundle_digest: str
    replaced: str | None = None  # version that was champion before; None: there was none
    reason: str = ""  # what a person said, or why the doctor took the alias away
    checks: tuple[GateCheck, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    @property
    def reasons(self) -> str:
        """Failed checks in words, then what a person said."""
        failed = [check.line() for check in self.checks if not check.passed]
        return "; ".join([*failed, *([self.reason] if self.reason else [])])

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return asdict(self)


def write_decision(decision: Decision, store: Store) -> None:
    """Append a decision to the log; called before any alias moves.

    Raises
    ------
    TrackingError
        If the store cannot take it; nothing may be promoted then.
    """
    title = f"{decision.model} v{decision.version} {decision.verdict}"
    with start_run(store, EXPERIMENT, name=title, kind=KIND) as log:
        known = {name: value for name, value in decision.document().items() if name != "checks" and value is not None}
        log.tags({**known, "reasons": decision.reasons})
        log.metrics({name: value for check in decision.checks for name, value in check.numbers.items()})
        log.document(decision.document(), DOCUMENT)
    if store.folder is not None:
        _append(store.folder / FILE, json.dumps(decision.document(), sort_keys=True))


def read_decisions(store: Store, model: str) -> tuple[Decision, ...]:
    """Return what was decided about a model, oldest first; checks stay in the runs' documents."""
    try:
        runs = find_runs(store, experiments=[EXPERIMENT])
    except ModelUnavailableError:  # nothing was ever decided in this store
        return ()
    found = [_of_tags(run.tags) for run in runs if run.tags.get("model") == model and "verdict" in run.tags]
    return tuple(sorted(found, key=lambda decision: decision.at))


def champion_before(decisions: tuple[Decision, ...], version: str | None) -> str | None:
    """Return the version that was champion before this one was promoted; None if there was none.

    Parameters
    ----------
    decisions
        Of one model, oldest first.
    version
        The champion; None takes the one that was withdrawn last.
    """
    if version is None:
        version = next((one.version for one in reversed(decisions) if one.verdict == "withdrawn"), None)
    promoted = [one for one in decisions if (one.verdict, one.version) == ("passed", version)]
    return next((one.replaced for one in reversed(promoted) if one.replaced not in (None, version)), None)


def _of_tags(tags: Mapping[str, str]) -> Decision:
    return Decision(
        model=tags["model"],
        version=tags["version"],
        verdict=tags["verdict"],  # type: ignore[arg-type]
        bundle_digest=tags.get("bundle_digest", ""),
        replaced=tags.get("replaced"),
        reason=tags.get("reason", ""),
        at=tags.get("at", ""),
    )


def _append(path: Path, line: str) -> None:
    """Add a line and wait until it is on the disk; a line that a killed process left unfinished stays, on its own."""
    with path.open("a+b") as log:
        log.seek(max(log.seek(0, os.SEEK_END) - 1, 0))
        is_cut = log.read(1) not in (b"", b"\n")
        log.write((b"\n" if is_cut else b"") + line.encode() + b"\n")
        log.flush()
        os.fsync(log.fileno())
