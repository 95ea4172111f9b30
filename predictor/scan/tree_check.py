"""Everything wrong with a BIDS-derivatives tree, found before anything is computed.

Tables are read and tried out exactly as extraction does it. Of scans only the header is read, and noise stands in for
their signals: what depends on the signals themselves shows only in extraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from predictor.errors import SessionError
from predictor.scan.dataset_check import (
    description_findings,
    leftover_findings,
    participants_findings,
    scan_findings,
)
from predictor.scan.finding import Finding, finding_of, worst_first
from predictor.scan.run_check import CheckRules, RunFacts, check_run, quality_findings
from predictor.scan.task_description import RunKind
from predictor.scan.visit_choice import choose_visits
from predictor.scan.visit_files import VisitFiles, find_scans, find_visits

Watch = Callable[[Sequence[VisitFiles]], Iterable[VisitFiles]]


@dataclass(frozen=True, slots=True)
class TreeCheck:
    """What is wrong with a tree, worst first."""

    findings: tuple[Finding, ...]
    participant_ids: tuple[str, ...]  # everyone with a folder

    @property
    def unusable(self) -> tuple[str, ...]:
        """Participants that extraction will refuse."""
        found = {finding.participant_id for finding in self.findings if finding.severity == "unusable"}
        return tuple(name for name in self.participant_ids if name in found)

    @property
    def usable(self) -> tuple[str, ...]:
        """Participants with at least some features."""
        return tuple(name for name in self.participant_ids if name not in self.unusable)

    def document(self) -> dict[str, Any]:
        """Return plain values, as `krp check --json` prints them."""
        return {
            "usable": list(self.usable),
            "unusable": list(self.unusable),
            "findings": [finding.document() for finding in self.findings],
        }


def check_tree(
    derivatives_dir: Path,
    rules: CheckRules,
    *,
    bids_dir: Path | None = None,
    participant_labels: Sequence[str] | None = None,
    session_label: str | None = None,
    watch: Watch = iter,
) -> TreeCheck:
    """List everything wrong with a tree; nothing is raised for what is wrong with its files.

    Parameters
    ----------
    derivatives_dir, bids_dir, participant_labels
        As for `find_visits`.
    rules
        What extraction will do with the runs.
    session_label
        As for `choose_visits`.
    watch
        Passes the visits through, for a progress bar.

    Raises
    ------
    SessionError, UnknownParticipantError
        If the folder holds no scans, or not the session or participant that was asked for.
    """
    root, scans = find_scans(derivatives_dir)
    visits = find_visits(
        derivatives_dir,
        bids_dir=bids_dir,
        tasks=rules.tasks,
        participant_labels=participant_labels,
        keep_problems=True,
    )
    chosen = choose_visits(visits, session_label=session_label)
    everyone = tuple(visit.participant_id for visit in chosen)
    findings = [*description_findings(root, bids_dir or derivatives_dir), *leftover_findings(root)]
    if participant_labels is None:
        findings += participants_findings((bids_dir, derivatives_dir, root), everyone)
    findings += [
        finding for finding in scan_findings(scans, rules.tasks) if finding.participant_id in (None, *everyone)
    ]
    facts: dict[str, list[RunFacts]] = {}
    for visit in watch(chosen):
        of_visit, facts[visit.participant_id] = _check_visit(visit, rules)
        findings += [
            replace(finding, participant_id=visit.participant_id, session_id=visit.session_id) for finding in of_visit
        ]
    findings += [*_absent_kinds(chosen, rules.kinds), *odd_runs(facts)]
    return TreeCheck(worst_first(findings), everyone)


def _check_visit(visit: VisitFiles, rules: CheckRules) -> tuple[list[Finding], list[RunFacts]]:
    if visit.problem is not None:
        return [finding_of(visit.problem)], []
    checks = [check_run(files, rules) for files in visit.runs if files.kind in rules.kinds]
    if not checks:
        kinds = ", ".join(rules.kinds)
        return [Finding("unusable", SessionError.code, f"expected a run of the kinds {kinds}, found none.")], []
    findings = [finding for check in checks for finding in check.findings]
    findings += quality_findings(check.quality for check in checks if check.quality is not None)
    return findings, [check.facts for check in checks if check.facts is not None]


def _absent_kinds(visits: Sequence[VisitFiles], kinds: Iterable[RunKind]) -> Iterator[Finding]:
    """Yield the kinds of run that a visit lacks; once for all if no visit has them."""
    found = {visit.participant_id: {run.kind for run in visit.runs} for visit in visits if visit.problem is None}
    for kind in kinds:
        lacking = [name for name, present in found.items() if kind not in present]
        if found and len(lacking) == len(found):
            message = f"no visit has a {kind} run; its features will be missing for everyone."
            yield Finding("missing", "run-missing", message, where=kind)
            continue
        for name in lacking:
            message = f"the visit has no {kind} run, which others have; its features will be missing."
            yield Finding("missing", "run-missing", message, participant_id=name, where=kind)


def odd_runs(facts: dict[str, list[RunFacts]]) -> Iterator[Finding]:
    """Yield runs that differ from the same run of most others: cut short, another protocol, another template."""
    for name in dict.fromkeys(fact.name for of_visit in facts.values() for fact in of_visit):
        runs = {person: fact for person, of_visit in facts.items() for fact in of_visit if fact.name == name}
        for what, of_fact in _COMPARED.items():
            values = {person: of_fact(fact) for person, fact in runs.items()}
            (usual, count), *_ = Counter(values.values()).most_common(1)
            if count < max(2, len(values) / 2):
                continue  # nothing is usual here
            for person, value in values.items():
                if value != usual:
                    message = f"{what} {value}; {count} of {len(values)} have {usual}."
                    yield Finding("flag", "run-unlike-others", message, participant_id=person, where=name)


_COMPARED: dict[str, Callable[[RunFacts], str]] = {
    "number of volumes": lambda fact: str(fact.n_volumes),
    "repetition time": lambda fact: "unknown" if fact.repetition_time_s is None else f"{fact.repetition_time_s:.4g} s",
    "space": lambda fact: fact.space or "not named",
    "voxel size": lambda fact: "unknown" if fact.voxel_size_mm is None else f"{fact.voxel_size_mm:.2g} mm",
}
