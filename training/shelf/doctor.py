"""The doctor: what killed runs and changed files left in the store, and how each of it is put right.

Looking changes nothing. Repairing never deletes a version that was verified: one whose files changed since is marked
"damaged", loses its aliases, and is marked "verified" again once its files are back. What another process may still be
writing is left alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from predictor.errors import ModelBundleError, TrackingError
from training.log_book.run_process import PROCESS_TAG, RunProcess
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import LoggedRun, Store, find_runs, paged
from training.shelf.promotion_log import Decision, write_decision
from training.shelf.registry import CANDIDATE, CHAMPION, STATUS, VERIFIED, check_stored, versions_of
from training.shelf.scratch_folders import artifact_orphans, forgotten_scratch

DAMAGED = "damaged"
RUNNING = "RUNNING"
# A run on another machine, or without a mark of its process, counts as gone after this time without an end.
LONGEST_RUN_S = 7 * 24 * 3600

Kind = Literal["run", "alias", "version", "model", "folder"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    name: str  # of the run, alias, version or folder, for people
    detail: str
    action: str  # what repairing does
    target: tuple[str, ...]  # what the repair needs to find it again
    is_repaired: bool = False
    failure: str = ""  # why the repair did not work

    def line(self) -> str:
        """One line for the screen."""
        done = "repaired" if self.is_repaired else "found"
        after = f": {self.failure}" if self.failure else ""
        return f"{done:<8}  {self.kind:<7}  {self.name}: {self.detail}; {self.action}{after}"

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "target"}


def look_for_litter(store: Store, *, now_s: float | None = None) -> tuple[Finding, ...]:
    """Find what is not as it should be; nothing is changed.

    Parameters
    ----------
    store
        The log book.
    now_s
        Unix time; None: the clock's.

    Raises
    ------
    TrackingError
        If the store does not answer.
    """
    now = time.time() if now_s is None else now_s
    with in_our_words("examine the store"):
        runs = find_runs(store, status="")
        at_work = {run.run_id for run in runs if run.status == RUNNING and not _is_gone(run, now)}
        found: list[Finding] = list(_dead_runs(runs, now))
        for name in sorted(model.name for model in paged(store.client.search_registered_models)):
            found += _of_registered_model(name, store, at_work)
        doomed = {finding.target[:2] for finding in found if finding.kind == "version" and not finding.target[2]}
        found += _orphan_models(store, runs, at_work, doomed)
        found += [_folder(path, why) for path, why in artifact_orphans(store)]
    found += [_folder(path, "a temporary folder that a killed process left") for path in forgotten_scratch(now)]
    return tuple(found)


def repair(findings: tuple[Finding, ...], store: Store) -> tuple[Finding, ...]:
    """Put right what was found, in its order, and tell what was repaired."""
    done = []
    for finding in findings:
        try:
            with in_our_words(finding.action):
                _REPAIRS[finding.kind](finding, store)
            done.append(replace(finding, is_repaired=True))
        except TrackingError as error:
            done.append(replace(finding, failure=str(error)))
    return tuple(done)


def _is_gone(run: LoggedRun, now_s: float) -> bool:
    process = RunProcess.of_text(run.tags.get(PROCESS_TAG, ""))
    is_alive = process.is_alive() if process else None
    return now_s - run.started_at_s > LONGEST_RUN_S if is_alive is None else not is_alive


def _dead_runs(runs: tuple[LoggedRun, ...], now_s: float) -> Iterator[Finding]:
    for run in runs:
        if run.status == RUNNING and _is_gone(run, now_s):
            name = f"{run.experiment}, {run.name} ({run.run_id[:8]})"
            yield Finding("run", name, "open, but its process is gone", "mark it as killed", (run.run_id,))


def _of_registered_model(name: str, store: Store, at_work: set[str]) -> Iterator[Finding]:
    """Aliases first: a version is only touched once nothing points at it."""
    versions = {str(one.version): one for one in versions_of(name, store=store)}
    unfit = {number: reason for number, one in versions.items() if (reason := _unfit(one, store, at_work))}
    usable = [number for number, one in versions.items() if one.tags.get(STATUS) == VERIFIED and number not in unfit]
    for alias, number in sorted(store.client.get_registered_model(name).aliases.items()):
        if str(number) not in usable:
            detail = unfit.get(str(number), "not verified" if str(number) in versions else "no such version")
            to = usable[-1] if alias == CANDIDATE and usable else ""
            action = f"move it to v{to}" if to else "take it away"
            if alias == CHAMPION:
                action += f" (`krp promote --rollback {name}` names the champion before)"
            yield Finding("alias", f"{name}@{alias} -> v{number}", detail, action, (name, alias, str(number), to))
    for number, reason in unfit.items():
        status = versions[number].tags.get(STATUS)
        mark, action = _remedy(status, reason)
        yield Finding("version", f"{name}/{number}", reason, action, (name, number, mark))


def _unfit(version: Any, store: Store, at_work: set[str]) -> str:
    """Why a version must not be used; empty if it may be, or if it is still being registered or known as damaged."""
    status = version.tags.get(STATUS)
    if status not in (VERIFIED, DAMAGED, None):
        return "" if version.run_id in at_work else "registering it was cut off"
    try:
        check_stored(version, store=store)
    except ModelBundleError as error:
        return "" if status == DAMAGED else f"its bundle does not verify: {error}"
    return {VERIFIED: "", DAMAGED: "its bundle verifies again"}.get(str(status), "it verifies, but is not marked so")


def _remedy(status: str | None, reason: str) -> tuple[str, str]:
    """Return the mark that the repair sets, none where it deletes, and the repair in words."""
    if reason.startswith("its bundle does not verify"):
        return DAMAGED, "mark it as damaged, and keep it"
    if status in (DAMAGED, None):
        return VERIFIED, "mark it as verified"
    return "", "delete it; it was never in use"


def _orphan_models(
    store: Store, runs: tuple[LoggedRun, ...], at_work: set[str], doomed: set[tuple[str, ...]]
) -> Iterator[Finding]:
    """Models that a killed run of ours logged and never registered, or whose version is about to be deleted."""
    ours = {run.run_id: run for run in runs if "config_digest" in run.tags}
    registered = _registered_models(store, doomed)
    places = [one.experiment_id for one in paged(store.client.search_experiments)]
    for model in paged(store.client.search_logged_models, experiment_ids=places) if places else ():
        run = ours.get(model.source_run_id or "")
        if run is None or run.run_id in at_work or model.model_id in registered:
            continue
        name = f"{model.name} of {run.experiment} ({model.model_id[:10]})"
        target = (model.model_id, model.artifact_location or "")
        yield Finding("model", name, "logged, but no version belongs to it", "delete it", target)


def _registered_models(store: Store, doomed: set[tuple[str, ...]]) -> set[str]:
    """Ids of the logged models that versions consist of.

    Searching tells a version's source, which names the model; not every store fills in the model's id as well.
    """
    kept = (o for o in paged(store.client.search_model_versions) if (o.name, str(o.version)) not in doomed)
    return {model_id for one in kept for model_id in (one.model_id, _id_in(one.source)) if model_id}


def _id_in(source: str | None) -> str:
    """Id of the logged model that a version's source names, as in `models:/m-...`."""
    return (source or "").rpartition("/")[2]


def _folder(path: Path, detail: str) -> Finding:
    return Finding("folder", path.name, detail, "remove it", (str(path),))


def _close_run(finding: Finding, store: Store) -> None:
    store.client.set_terminated(finding.target[0], "KILLED")


def _move_alias(finding: Finding, store: Store) -> None:
    name, alias, number, to = finding.target
    if alias == CHAMPION:
        write_decision(Decision(name, number, "withdrawn", "", replaced=number, reason=finding.detail), store)
    if to:
        store.client.set_registered_model_alias(name, alias, to)
    else:
        store.client.delete_registered_model_alias(name, alias)


def _mend_version(finding: Finding, store: Store) -> None:
    name, number, mark = finding.target
    if mark:
        store.client.set_model_version_tag(name, number, STATUS, mark)
        return
    if store.client.get_model_version(name, number).tags.get(STATUS) == VERIFIED:
        raise TrackingError("it has been verified since; it is kept.", where=finding.name)
    store.client.delete_model_version(name, number)


def _delete_model(finding: Finding, store: Store) -> None:
    """Delete the entry, and the files where they are a folder of this store's; a server keeps its files."""
    model_id, location = finding.target
    if model_id in _registered_models(store, set()):
        raise TrackingError("a version consists of it; it is kept.", where=finding.name)
    store.client.delete_logged_model(model_id)
    artifacts = store.address.artifacts
    path = Path(unquote(urlsplit(location).path))
    if artifacts and urlsplit(location).scheme in ("", "file") and path.is_relative_to(artifacts.resolve()):
        shutil.rmtree(path.parent if path.name == "artifacts" else path, ignore_errors=True)


def _remove_folder(finding: Finding, store: Store) -> None:
    shutil.rmtree(finding.target[0])


_REPAIRS: Mapping[str, Callable[[Finding, Store], None]] = {
    "run": _close_run,
    "alias": _move_alias,
    "version": _mend_version,
    "model": _delete_model,
    "folder": _remove_folder,
}
