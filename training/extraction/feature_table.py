"""Features of a whole cohort: extracted visit by visit, kept on disk, gathered into one table.

A visit's result is one JSON file, written at once or not at all; a visit whose result carries the recipe's hash, and
was made of the same files and after them, is not computed again. The table is gathered from those results, so that
participants can be extracted on different machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from predictor import console
from predictor.errors import ConfigError, PredictorError, SessionError, TableError, UsageError
from predictor.features.extraction import extract_features, feature_definitions, session_quality
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe, recipe_from_document
from predictor.features.run_preparation import session_confounds
from predictor.features.session_designs import session_designs
from predictor.record_card import counted
from predictor.scan.tsv_table import MISSING_CELLS
from training.cohort.feature_file import (
    INPUT_DIGEST,
    RECIPE_HASH,
    ReadyFeatures,
    definitions_document,
    read_matrices,
    read_ready_table,
)
from training.cohort.participants import PARTICIPANT_ID, check_participants, listed, read_participants
from training.cohort.visit import CohortVisit
from training.extraction.feature_files import (
    matrix_text,
    quality_text,
    reliability_document,
    reliability_text,
)
from training.extraction.visit_reports import forget_report, has_report, write_report
from training.extraction.visit_result import (
    INPUT_FILES,
    VisitResult,
    input_sizes,
    json_text,
    read_document,
    read_object,
    result_document,
    result_of,
    result_path,
)
from training.output_files import make_folder, write_atomically
from training.workers import worthwhile_jobs

TABLE_FILE, DEFINITIONS_FILE, RECIPE_FILE = "features.tsv", "features.json", "recipe.json"
STANDARD_ERRORS_FILE, RELIABILITY_FILE = "standard_errors.tsv", "reliability.tsv"
QUALITY_FILE, DESCRIPTION_FILE = "quality.tsv", "dataset_description.json"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Features of a cohort, one row per participant."""

    values: pd.DataFrame  # index participant_id, columns in the order of `definitions`; NaN where missing
    definitions: tuple[FeatureDefinition, ...]
    recipe: Recipe | None  # None: ready features of unknown making
    recipe_hashes: pd.Series  # by participant; None where unknown
    quality: pd.DataFrame  # by participant; no columns where unknown
    digest: str  # "sha256:..." of the files
    standard_errors: pd.DataFrame  # same index and columns as `values`; NaN where not known
    input_digests: pd.Series | None = None  # by participant: digest of the files behind a row; None: not told

    def __post_init__(self) -> None:
        if [definition.name for definition in self.definitions] != list(self.values.columns):
            raise TableError("the features and their definitions differ.", where=TABLE_FILE)
        if not (
            self.standard_errors.index.equals(self.values.index)
            and self.standard_errors.columns.equals(self.values.columns)
        ):
            raise TableError("the standard errors stand in other rows or columns.", where=STANDARD_ERRORS_FILE)
        check_participants([str(name) for name in self.values.index], where=TABLE_FILE)


@dataclass(frozen=True, slots=True)
class FailedVisit:
    """Why one participant has no features; the four parts of an error, fit to cross a process boundary."""

    participant_id: str
    code: str
    message: str
    where: str
    remedy: str

    def as_error(self) -> PredictorError:
        """Return an error that shows the participant and the four parts."""
        error = PredictorError(self.message, where=", ".join(filter(None, [self.participant_id, self.where])))
        error.remedy = self.remedy
        error.code = self.code  # type: ignore[misc]  # an instance may carry the code of the class it stands for
        return error


@dataclass(frozen=True, slots=True)
class ExtractionSummary:
    """What became of every visit."""

    extracted: tuple[str, ...]
    skipped: tuple[str, ...]  # done before, with the same recipe, and nothing changed since
    failed: tuple[FailedVisit, ...]


def extract_cohort(
    visits: Sequence[CohortVisit],
    recipe: Recipe,
    out: Path,
    *,
    n_jobs: int = -1,
    force: bool = False,
    reports: bool = False,
) -> ExtractionSummary:
    """Extract every visit that has not been, and write one file each.

    Parameters
    ----------
    visits
        One per participant.
    recipe
        What is measured and how; stands in `recipe.json` afterwards.
    out
        Folder of the results.
    n_jobs
        Processes; -1 for all processors.
    force
        Extract again what was extracted before; the earlier results are forgotten first.
    reports
        Also write a report for each; who has none yet is extracted again.

    Returns
    -------
    ExtractionSummary
        A visit that cannot be read is named there and stops nobody else.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    make_folder(out)
    _write_if_other(out / RECIPE_FILE, json_text(recipe.document()))
    _write_if_other(out / DESCRIPTION_FILE, json_text(_dataset_description()))
    if force:
        for visit in visits:
            _forget(result_path(out, visit.participant_id))
    were_done = [is_done(visit, recipe, out, reports=reports) for visit in visits]
    waiting = [visit for visit, done in zip(visits, were_done, strict=True) if not done]
    tasks = (delayed(extract_visit)(visit, recipe, out, reports=reports) for visit in waiting)
    parallel = Parallel(n_jobs=worthwhile_jobs(len(waiting), n_jobs), return_as="generator")
    # Results stand on disk and only failures come back, so memory does not grow with the cohort.
    results = console.progress(parallel(tasks), total=len(waiting), label="Extract features")
    failed = tuple(result for result in results if result is not None)
    lost = {failure.participant_id for failure in failed}
    return ExtractionSummary(
        extracted=tuple(visit.participant_id for visit in waiting if visit.participant_id not in lost),
        skipped=tuple(visit.participant_id for visit, done in zip(visits, were_done, strict=True) if done),
        failed=failed,
    )


def check_one_recipe(visits: Sequence[CohortVisit], recipe: Recipe, out: Path) -> None:
    """Refuse a folder from which no table could be gathered after these visits, before they are extracted.

    Raises
    ------
    TableError
        If it holds others' results of another recipe, or a damaged one.
    """
    ours = {visit.participant_id for visit in visits}
    others = [path for path in _result_files(out) if path.parent.name not in ours]
    _refuse_others([path.parent.name for path in others if read_document(path)[RECIPE_HASH] != recipe.recipe_hash])


def extract_visit(visit: CohortVisit, recipe: Recipe, out: Path, *, reports: bool = False) -> FailedVisit | None:
    """Extract one visit and write its file, and its report if one is wanted; None when that went well.

    It looks again whether that was done: a cluster runs a task anew when the worker is lost that held its result, and
    the result proper lies on disk.
    """
    path = result_path(out, visit.participant_id)
    try:
        if is_done(visit, recipe, out, reports=reports):
            return None
        _check_shared(out)
        make_folder(path.parent)
        session = visit.read(recipe, keep_mean_image=True) if reports else visit.read(recipe)
        confounds = session_confounds(session, recipe)
        vector = extract_features(session, recipe, halves=True, confounds=confounds)
        report = session_quality(session, recipe, confounds=confounds)
        designs = session_designs(session, recipe, confounds=confounds)
        forget_report(out, visit.participant_id)
        write_atomically(path, json_text(result_document(visit, vector, report, designs)))
        if reports:
            write_report(visit, session, recipe, vector, out)
    except PredictorError as error:
        # A result of an earlier recipe or scan must not pass for this one's.
        _forget(path)
        forget_report(out, visit.participant_id)
        return FailedVisit(visit.participant_id, error.code, str(error), error.where, error.remedy)
    return None


def gather_table(out: Path) -> FeatureTable:
    """Gather the participants' files into `features.tsv` and what belongs to it, and return the table.

    Raises
    ------
    SessionError
        If there are no results.
    TableError
        If a result is damaged or was made with another recipe than `recipe.json`.
    """
    paths = _result_files(out)
    if not paths or not (out / RECIPE_FILE).is_file():
        raise SessionError(
            "expected results of `krp extract ... participant` in the output folder, found none.",
            remedy="Run `krp extract DIR OUT participant` first.",
        )
    recipe = _read_recipe(out / RECIPE_FILE)
    definitions = feature_definitions(recipe)
    results = _read_results(paths, recipe)
    # One after another: each takes as much memory as the table of everyone.
    write_atomically(out / TABLE_FILE, matrix_text(results, definitions, [one.values for one in results]))
    errors = matrix_text(results, definitions, [one.standard_errors for one in results])
    write_atomically(out / STANDARD_ERRORS_FILE, errors)
    write_atomically(out / DEFINITIONS_FILE, json_text(definitions_document(definitions)))
    write_atomically(out / RELIABILITY_FILE, reliability_text(results, definitions))
    write_atomically(out / RELIABILITY_FILE.replace(".tsv", ".json"), json_text(reliability_document()))
    write_atomically(out / QUALITY_FILE, quality_text(results))
    del results, errors  # what is read back does not need them
    return read_feature_table(out / TABLE_FILE)


def absent_families(table: FeatureTable, out: Path) -> dict[str, str]:
    """Return the families that nobody has, with the reason that the first participant's result gives."""
    definitions: dict[str, list[str]] = {}
    for definition in table.definitions:
        definitions.setdefault(definition.family, []).append(definition.name)
    is_absent = table.values.isna().all()
    absent = {family: names for family, names in definitions.items() if is_absent[names].all()}
    if not absent:
        return {}
    first = read_document(result_path(out, str(table.values.index[0])))
    return {family: str(first["missing_reasons"].get(names[0], "unknown")) for family, names in absent.items()}


def read_feature_table(path: Path) -> FeatureTable:
    """Read `features.tsv` with what stands beside it, a ready .tsv or .csv table, or a folder of matrices.

    Floats come back exactly as they were written.

    Raises
    ------
    PredictorError
        What `training.cohort.feature_file` raises; TableError if features.json, standard_errors.tsv or recipe.json is
        damaged, or recipe.json was written by another version or is not the table's.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / TABLE_FILE).is_file():
        return _ready(read_matrices(path))
    table = path / TABLE_FILE if path.is_dir() else path
    # What stands beside a table belongs to it only if it bears its name.
    is_ours = table.name == TABLE_FILE
    sidecar = table.with_suffix(".json")
    ready = read_ready_table(table, sidecar=read_object(sidecar) if sidecar.is_file() else None)
    errors = folder / STANDARD_ERRORS_FILE
    standard_errors = read_ready_table(errors) if is_ours and errors.is_file() else None
    if not is_ours or not (folder / RECIPE_FILE).is_file():
        return _ready(ready, standard_errors=standard_errors)
    recipe = _read_recipe(folder / RECIPE_FILE)
    hashes = ready.sources.get(RECIPE_HASH)
    if hashes is not None and set(hashes) - MISSING_CELLS - {recipe.recipe_hash}:
        # A later extraction replaced the recipe: a model of this table would measure scans in another way.
        raise TableError(
            f"the table was made with another recipe than {RECIPE_FILE}.",
            where=table.name,
            remedy="Run `krp extract DIR OUT group` again, with the options that the cohort shall have.",
        )
    return _ready(
        ready,
        standard_errors=standard_errors,
        recipe=recipe,
        quality=_read_quality(folder / QUALITY_FILE, ready.values.index),
    )


def _ready(
    ready: ReadyFeatures,
    *,
    standard_errors: ReadyFeatures | None = None,
    recipe: Recipe | None = None,
    quality: pd.DataFrame | None = None,
) -> FeatureTable:
    index = ready.values.index
    hashes = ready.sources.get(RECIPE_HASH)
    errors = pd.DataFrame(np.nan, index=index, columns=ready.values.columns)
    digest = ready.digest
    if standard_errors is not None:
        errors = standard_errors.values
        digest = "sha256:" + hashlib.sha256(f"{digest} {standard_errors.digest}".encode()).hexdigest()
    return FeatureTable(
        values=ready.values,
        definitions=ready.definitions,
        recipe=recipe,
        recipe_hashes=pd.Series(None, index=index, dtype=object) if hashes is None else hashes,
        quality=pd.DataFrame(index=index) if quality is None else quality,
        digest=digest,
        standard_errors=errors,
        input_digests=ready.sources.get(INPUT_DIGEST),
    )


def is_done(visit: CohortVisit, recipe: Recipe, out: Path, *, reports: bool) -> bool:
    """Whether there is a whole result of this recipe and these files, none of which was changed after it."""
    path = result_path(out, visit.participant_id)
    try:
        document = read_document(path)
        if document[RECIPE_HASH] != recipe.recipe_hash or not _is_made_of(document.get(INPUT_FILES), visit):
            return False
        result_of(document, feature_definitions(recipe))
        made_at = path.stat().st_mtime_ns
        if reports and not has_report(out, visit.participant_id, since_ns=made_at):
            return False
        return all(file.stat().st_mtime_ns <= made_at for file in visit.input_files)
    except (TableError, OSError):
        return False


def _is_made_of(recorded: object, visit: CohortVisit) -> bool:
    """Whether a result was made of a visit's files.

    A copy may keep a date before the result's: other names or sizes are other files all the same. Events tables that
    only the earlier call knew of do not count: without --bids-dir they would be given up, and the tasks with them.
    """
    if not isinstance(recorded, dict):
        return False
    found = input_sizes(visit)
    lacking = recorded.keys() - found.keys()
    return all(recorded.get(name) == size for name, size in found.items()) and all(map(_is_events_table, lacking))


def _is_events_table(name: str) -> bool:
    return name.endswith(("_events.tsv", "_events.tsv.gz"))


def _check_shared(out: Path) -> None:
    """Refuse to write where nobody will gather: a folder of this name on a disk that only this machine has."""
    if not (out / RECIPE_FILE).is_file():
        raise UsageError(
            "the output folder is not there where the visit is extracted.",
            where=out.name,
            remedy="Put DIR and OUT on a disk that all machines share, under the same path.",
        )


def _write_if_other(path: Path, text: str) -> None:
    """Write a file unless it says the same already: thousands of jobs may share the folder."""
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return
    write_atomically(path, text)


def _forget(path: Path) -> None:
    """Remove a result, and its folder if that is empty then."""
    with suppress(OSError):  # whatever is in the way there was not written by us
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _read_results(paths: Sequence[Path], recipe: Recipe) -> list[VisitResult]:
    """Return the participants' results, all made with one recipe."""
    definitions = feature_definitions(recipe)
    results, others = [], []
    for path in paths:  # one file at a time, and of each only what the tables need
        document = read_document(path)
        if document[RECIPE_HASH] == recipe.recipe_hash:
            results.append(result_of(document, definitions))
        else:
            others.append(document[PARTICIPANT_ID])
    _refuse_others(others)
    return results


def _result_files(out: Path) -> list[Path]:
    return sorted(out.glob("sub-*/sub-*_features.json"))


def _refuse_others(participants: Sequence[str]) -> None:
    if participants:
        people = counted(len(participants), "participant")
        raise TableError(
            f"{people} in it have results of another recipe: {listed(participants)}.",
            where="output folder",
            remedy="Run `krp extract DIR OUT participant` again for them, or use another output folder.",
        )


def _read_recipe(path: Path) -> Recipe:
    """Return the recipe of a folder of features; raises TableError if it is damaged or another version's."""
    try:
        return recipe_from_document(read_object(path))
    except ConfigError as error:
        raise TableError(
            f"the recipe cannot be used: {error}",
            where=path.name,
            remedy="Another version wrote the folder, or it was changed since; run `krp extract DIR OUT group` again.",
        ) from error


def _read_quality(path: Path, index: pd.Index) -> pd.DataFrame:
    """Return the quality table in the order of the features; empty if it is not there."""
    if not path.is_file():
        return pd.DataFrame(index=index)
    return read_participants(path).reindex(index)


def _dataset_description() -> dict[str, Any]:
    return {
        "Name": "Features for predicting ketamine response",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "krp extract", "Version": version("ketamine-response-predictor")}],
    }
