"""What is wrong with the files around the visits: descriptions, participants, tasks, leftovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from predictor.errors import PredictorError
from predictor.scan.dataset_files import (
    DESCRIPTION_FILE,
    PARTICIPANTS_FILE,
    generating_pipelines,
    read_description,
    read_small_file,
)
from predictor.scan.finding import Finding, finding_of
from predictor.scan.task_description import TaskDescription
from predictor.scan.tsv_table import MISSING_CELLS, parse_tsv
from predictor.scan.visit_files import FoundScan, acquisition_of

_SHOWN = 8


def description_findings(derivatives: Path, raw: Path | None) -> Iterator[Finding]:
    """Yield what is wrong with the dataset descriptions, and who made the derivatives."""
    for folder, is_derivative in ((derivatives, True), (raw, False)):
        if folder is None or (not is_derivative and folder == derivatives):
            continue
        place = f"{folder.name}/{DESCRIPTION_FILE}"
        try:
            description = read_description(folder)
        except PredictorError as error:
            yield Finding("flag", error.code, str(error), error.remedy, where=place)
            continue
        if description is None:
            yield Finding("note", "description-missing", f"expected a {DESCRIPTION_FILE}, found none.", where=place)
            continue
        absent = [key for key in ("Name", "BIDSVersion") if not description.get(key)]
        if absent:
            yield Finding("note", "description-incomplete", f"it does not give {' and '.join(absent)}.", where=place)
        pipelines = generating_pipelines(description)
        if pipelines:
            yield Finding("note", "pipeline", f"made by {', '.join(pipelines)}.", where=place)
        elif is_derivative:
            yield Finding("flag", "pipeline-unknown", "it does not say which pipeline made the data.", where=place)


def participants_findings(folders: Iterable[Path | None], participant_ids: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with the first participants.tsv among some folders, and who is in one place only."""
    path = next(
        (folder / PARTICIPANTS_FILE for folder in folders if folder and (folder / PARTICIPANTS_FILE).exists()), None
    )
    if path is None:
        yield Finding("note", "participants-missing", f"expected a {PARTICIPANTS_FILE}, found none.")
        return
    try:
        table = parse_tsv(read_small_file(path, where=PARTICIPANTS_FILE), where=PARTICIPANTS_FILE)
        listed = table.text("participant_id")
    except PredictorError as error:
        yield finding_of(error, "flag")
        return
    for name, count in Counter(listed).items():
        if name in MISSING_CELLS:
            yield Finding("flag", "table-invalid", f"{count} rows name no participant.", where=PARTICIPANTS_FILE)
        elif count > 1:
            message = f"{name} stands in the table {count} times."
            yield Finding(
                "flag", "participant-duplicate", message, "Keep one row per participant.", where=PARTICIPANTS_FILE
            )
    known, present = {name for name in listed if name not in MISSING_CELLS}, set(participant_ids)
    if known - present:
        message = f"{_listed(known - present)} have no data in the folder."
        yield Finding("flag", "participants-differ", message, where=PARTICIPANTS_FILE)
    if present - known:
        message = f"{_listed(present - known)} have data in the folder, but no row."
        yield Finding("flag", "participants-differ", message, where=PARTICIPANTS_FILE)


def scan_findings(scans: Sequence[FoundScan], tasks: TaskDescription) -> Iterator[Finding]:
    """Yield what is wrong with the scans as a whole: unknown tasks, names that do not fit, doubles."""
    unknown = sorted({scan.task for scan in scans if tasks.kind_of_task(scan.task) is None})
    if unknown:
        named = _listed([task or "(none)" for task in unknown])
        message = f"tasks that no kind of run claims, so that their scans are not used: {named}."
        yield Finding(
            "note",
            "task-unknown",
            message,
            "If one is rest, faces or conflict, say so in a task description (--tasks).",
        )
    for scan in scans:
        named = f"sub-{scan.entities.get('sub')}"
        if named not in scan.path.parts:
            message = f"the file's name says {named}, its folder does not; it counts for {named}."
            yield Finding("flag", "name-and-folder-differ", message, participant_id=named, where=f"task-{scan.task}")
    yield from _native_only(scans, tasks)
    stems = Counter(scan.path.parent / scan.path.name.removesuffix(".gz") for scan in scans)
    for stem, count in stems.items():
        if count > 1:
            message = "the scan is there twice, as .nii and as .nii.gz; the .nii is used."
            participant = next((part for part in stem.name.split("_") if part.startswith("sub-")), None)
            yield Finding("flag", "scan-twice", message, "Keep one of them.", participant, where=stem.name)


def _native_only(scans: Sequence[FoundScan], tasks: TaskDescription) -> Iterator[Finding]:
    """Yield runs that have no image in MNI space although others of the same person have one."""
    known = [scan for scan in scans if tasks.kind_of_task(scan.task) is not None]
    usable = [scan for scan in known if scan.is_usable]
    people = {scan.entities.get("sub") for scan in usable}
    lost = {acquisition_of(scan) for scan in known} - {acquisition_of(scan) for scan in usable}
    for entities in sorted(map(dict, lost), key=lambda entry: sorted((k, v or "") for k, v in entry.items())):
        participant = entities.pop("sub", None)
        if participant in people:
            named = "_".join(f"{name}-{label}" for name, label in entities.items())
            message = "this run has no scan in MNI space, so it is not used."
            yield Finding("flag", "scan-not-mni", message, participant_id=f"sub-{participant}", where=named)


def leftover_findings(root: Path) -> Iterator[Finding]:
    """Yield scans whose names end in something else, such as an interrupted download."""
    for path in sorted(root.glob("sub-*/**/*_desc-preproc_bold.nii*")):
        if not path.name.endswith((".nii", ".nii.gz")):
            participant = path.name.split("_")[0]
            message = "the file is no .nii or .nii.gz and is not used; perhaps a download was interrupted."
            yield Finding("flag", "leftover-file", message, participant_id=participant, where=path.name)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _SHOWN
    return ", ".join(name[:60] for name in ordered[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
