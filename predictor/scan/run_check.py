"""Everything wrong with one run: its scan's header, then each of its tables by itself, then all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from predictor.circuit.circuit import Circuit
from predictor.errors import PredictorError
from predictor.scan.dataset_files import read_small_file
from predictor.scan.finding import Finding, finding_of
from predictor.scan.quality import RunQuality, judged_quality
from predictor.scan.region_signals import RegionRecording
from predictor.scan.scan_preview import preview_scan, stand_in_recording
from predictor.scan.session import Run, build_run
from predictor.scan.task_description import RunKind, TaskDescription
from predictor.scan.visit_files import RunFiles

_SIDECAR_PART, _CONFOUNDS_PARTS, _EVENTS_PART = ("sidecar",), ("confounds", "confounds_sidecar"), ("events",)
_PARTS: Final = (*_SIDECAR_PART, *_CONFOUNDS_PARTS, *_EVENTS_PART)
# The stand-in's coverage is that of the field of view; what is lost by it is found by trying.
_REASONS_OF_SIGNALS: Final = ("coverage-low", "temporal-snr-low")


@dataclass(frozen=True, slots=True)
class RunTrial:
    """What came of extracting from a run."""

    lost: Mapping[str, Sequence[str]]  # reason -> families of features that the run will not have
    quality: RunQuality


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What extraction will do with the runs."""

    circuit: Circuit
    tasks: TaskDescription
    kinds: tuple[RunKind, ...]  # kinds of run that features need
    try_out: Callable[[Run], RunTrial]  # raises what extraction would raise


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is compared between visits."""

    name: str
    n_volumes: int
    repetition_time_s: float | None
    space: str | None
    voxel_size_mm: float | None = None  # None: no image


@dataclass(frozen=True, slots=True)
class RunCheck:
    """What is wrong with one run, and what its header says; None if that cannot be read."""

    findings: tuple[Finding, ...]
    facts: RunFacts | None
    quality: RunQuality | None = None  # None: extraction would stop before it is known


def check_run(files: RunFiles, rules: CheckRules) -> RunCheck:
    """Check one run; nothing is raised for what is wrong with its files."""
    try:
        preview = preview_scan(files.scan, rules.circuit, declared_space=files.space)
    except PredictorError as error:
        # The tables cannot be compared with a scan that nobody can read.
        return RunCheck((finding_of(error, where=files.name),), None)
    recording = stand_in_recording(preview, rules.circuit, declared_space=files.space)
    parts, findings = _read_parts(files)
    errors, run = _built_in_parts(files, recording, parts, rules)
    findings += [finding_of(error, where=files.name) for error in {str(error): error for error in errors}.values()]
    seconds, quality = recording.repetition_time_s, None
    if not findings and run is not None:
        seconds = run.repetition_time_s
        of_run, quality = trial_findings(run, rules.try_out)
        findings += [*of_run, *_sidecar_notes(run, files)]
    facts = RunFacts(files.name, preview.header.n_volumes, seconds, files.space, preview.voxel_size_mm)
    return RunCheck(tuple(findings), facts, quality)


def _built_in_parts(
    files: RunFiles, recording: RegionRecording, parts: Mapping[str, bytes], rules: CheckRules
) -> tuple[list[PredictorError], Run | None]:
    """Return what is wrong with each table by itself, so that one fault does not hide another; and the whole run."""
    errors: list[PredictorError] = []
    run: Run | None = None
    timing: tuple[str, ...] = _SIDECAR_PART
    for names in (_SIDECAR_PART, _CONFOUNDS_PARTS, _EVENTS_PART):
        try:
            part = _built(files, recording, parts, rules, (*timing, *names))
        except PredictorError as error:
            errors.append(error)
            if names is _SIDECAR_PART:  # nobody knows the repetition time; the tables are judged without it
                timing, recording = (), replace(recording, repetition_time_s=None)
            continue
        # Each table was read once; together they are the run that extraction builds.
        run = part if run is None else replace(run, confounds=run.confounds or part.confounds, events=part.events)
    return errors, run


def _built(
    files: RunFiles, recording: RegionRecording, parts: Mapping[str, bytes], rules: CheckRules, names: Sequence[str]
) -> Run:
    """Build the run as extraction does it, with some of its tables."""
    given = {name: parts.get(name) if name in names else None for name in _PARTS}
    return build_run(
        files.kind,
        recording,
        confounds_tsv=given["confounds"],
        confounds_sidecar=given["confounds_sidecar"],
        sidecar=given["sidecar"],
        events_tsv=given["events"],
        tasks=rules.tasks,
        number=files.number,
    )


def _read_parts(files: RunFiles) -> tuple[dict[str, bytes], list[Finding]]:
    """Return the bytes of the tables and side-cars, and a finding for each that cannot be read."""
    paths: dict[str, Path | None] = {name: getattr(files, name) for name in _PARTS}
    parts, findings = {}, []
    for name, path in paths.items():
        if path is not None:
            try:
                parts[name] = read_small_file(path, where=f"{files.name}_{name}")
            except PredictorError as error:
                findings.append(finding_of(error))
    return parts, findings


def quality_findings(runs: Iterable[RunQuality]) -> Iterator[Finding]:
    """Yield why an answer from these runs of one visit would be flagged or refused."""
    for reason in judged_quality(runs).reasons:
        if reason.code not in _REASONS_OF_SIGNALS:
            name, detail = reason.detail.split(": ", 1)
            refused = "; an answer would be refused" if reason.severity == "refuse" else ""
            yield Finding("flag", reason.code, f"{detail}{refused}.", where=name)


def trial_findings(run: Run, try_out: Callable[[Run], RunTrial]) -> tuple[list[Finding], RunQuality | None]:
    """Return what comes of extracting from a run, and its quality; None where extraction would stop."""
    try:
        trial = try_out(run)
    except PredictorError as error:
        return [finding_of(error, where=run.name)], None
    notes = [Finding("note", "run-note", f"{note}.", where=run.name) for note in run.notes]
    return [*_lost_features(run, trial), *notes], trial.quality


def _lost_features(run: Run, trial: RunTrial) -> Iterator[Finding]:
    for reason, families in trial.lost.items():
        yield Finding(
            "missing",
            "feature-not-computable",
            f"{reason.rstrip('.')}; affects features such as {', '.join(families)}.",
            where=run.name,
        )


def _sidecar_notes(run: Run, files: RunFiles) -> Iterator[Finding]:
    for note in files.notes:
        yield Finding("note", "run-note", f"{note}.", where=run.name)
    if files.sidecar is None and run.repetition_time_s is not None:
        message = "the scan has no JSON side-car; the repetition time comes from its header."
        yield Finding("note", "sidecar-missing", message, where=run.name)
    if files.confounds is not None and files.confounds_sidecar is None:
        message = "the confounds table has no JSON side-car; only acompcor needs it."
        yield Finding("note", "sidecar-missing", message, where=run.name)
