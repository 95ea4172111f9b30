"""Features of a whole cohort: extracted visit by visit, kept on disk, gathered into one table.

A visit's result is one JSON file, written at once or not at all; a visit whose result carries the recipe's hash, and is
newer than all its inputs, is not computed again. The table is gathered from those files, so that participants can be
extracted on different machines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from predictor import console
from predictor.errors import PredictorError, SessionError, TableError
from predictor.features.extraction import extract_features, feature_definitions, session_quality
from predictor.features.feature_vector import FeatureDefinition, FeatureVector
from predictor.features.recipe import Recipe, recipe_from_document
from predictor.scan.quality import QualityReport
from training.cohort.feature_file import (
    INPUT_DIGEST,
    RECIPE_HASH,
    ReadyFeatures,
    definitions_document,
    read_matrices,
    read_ready_table,
)
from training.cohort.participants import (
    PARTICIPANT_ID,
    check_participants,
    listed,
    read_participants,
    read_table_bytes,
)
from training.cohort.visit import CohortVisit
from training.output_files import make_folder, write_atomically

TABLE_FILE, DEFINITIONS_FILE, RECIPE_FILE = "features.tsv", "features.json", "recipe.json"
QUALITY_FILE, DESCRIPTION_FILE = "quality.tsv", "dataset_description.json"
EXTRACT_AGAIN = "Remove the file and run `krp extract DIR OUT participant` again."
# Numbers of a run that the quality table shows; the rest stands in the participant's file.
QUALITY_COLUMNS = ("minutes_kept", "mean_framewise_displacement_mm", "share_censored", "median_temporal_snr")


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Features of a cohort, one row per participant."""

    values: pd.DataFrame  # index participant_id, columns in the order of `definitions`; NaN where missing
    definitions: tuple[FeatureDefinition, ...]
    recipe: Recipe | None  # None: ready features of unknown making
    recipe_hashes: pd.Series  # by participant; None where unknown
    quality: pd.DataFrame  # by participant; no columns where unknown
    digest: str  # "sha256:..." of the files

    def __post_init__(self) -> None:
        if [definition.name for definition in self.definitions] != list(self.values.columns):
            raise TableError("the features and their definitions differ.", where=TABLE_FILE)
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
    visits: Sequence[CohortVisit], recipe: Recipe, out: Path, *, n_jobs: int = -1, force: bool = False
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
        Extract again what was extracted before.

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
    write_atomically(out / RECIPE_FILE, _json_text(recipe.document()))
    write_atomically(out / DESCRIPTION_FILE, _json_text(_dataset_description()))
    definitions = feature_definitions(recipe)
    done = [] if force else [visit for visit in visits if _is_done(visit, recipe, definitions, out)]
    waiting = [visit for visit in visits if visit not in done]
    tasks = (delayed(extract_visit)(visit, recipe, out) for visit in waiting)
    # A lone visit is not worth a second process.
    parallel = Parallel(n_jobs=1 if len(waiting) < 2 else n_jobs, return_as="generator")
    results = list(console.progress(parallel(tasks), total=len(waiting), label="Extract features"))
    failed = tuple(result for result in results if result is not None)
    lost = {failure.participant_id for failure in failed}
    return ExtractionSummary(
        extracted=tuple(visit.participant_id for visit in waiting if visit.participant_id not in lost),
        skipped=tuple(visit.participant_id for visit in done),
        failed=failed,
    )


def extract_visit(visit: CohortVisit, recipe: Recipe, out: Path) -> FailedVisit | None:
    """Extract one visit and write its file; None when that went well."""
    path = result_path(out, visit.participant_id)
    try:
        make_folder(path.parent)
        session = visit.read(recipe)
        vector, report = extract_features(session, recipe), session_quality(session, recipe)
        write_atomically(path, _json_text(_visit_document(visit, vector, report)))
    except PredictorError as error:
        # A result of an earlier recipe or scan must not pass for this one's.
        _forget(path)
        return FailedVisit(visit.participant_id, error.code, str(error), error.where, error.remedy)
    return None


def result_path(out: Path, participant_id: str) -> Path:
    """Return where a participant's result stands."""
    return out / participant_id / f"{participant_id}_features.json"


def gather_table(out: Path) -> FeatureTable:
    """Gather the participants' files into `features.tsv` and what belongs to it, and return the table.

    Raises
    ------
    SessionError
        If there are no results.
    TableError
        If a result is damaged or was made with another recipe than `recipe.json`.
    """
    paths = sorted(out.glob("sub-*/sub-*_features.json"))
    if not paths or not (out / RECIPE_FILE).is_file():
        raise SessionError(
            "expected results of `krp extract ... participant` in the output folder, found none.",
            remedy="Run `krp extract DIR OUT participant` first.",
        )
    recipe = recipe_from_document(_read_object(out / RECIPE_FILE))
    definitions = feature_definitions(recipe)
    documents = [_read_result(path) for path in paths]
    _check_same_recipe(documents, recipe)
    for path, document in zip(paths, documents, strict=True):
        if not _has_values(document, definitions):
            raise TableError("the file lacks features of its recipe.", where=path.name, remedy=EXTRACT_AGAIN)
    write_atomically(out / TABLE_FILE, _table_text(documents, definitions))
    write_atomically(out / DEFINITIONS_FILE, _json_text(definitions_document(definitions)))
    write_atomically(out / QUALITY_FILE, _quality_text(documents))
    return read_feature_table(out / TABLE_FILE)


def read_feature_table(path: Path) -> FeatureTable:
    """Read `features.tsv` with what stands beside it, a ready .tsv or .csv table, or a folder of matrices.

    Floats come back exactly as they were written.

    Raises
    ------
    PredictorError
        What `training.cohort.feature_file` raises; TableError if features.json or recipe.json is damaged.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / TABLE_FILE).is_file():
        return _ready(read_matrices(path))
    table = path / TABLE_FILE if path.is_dir() else path
    # What stands beside a table belongs to it only if it bears its name.
    is_ours = table.name == TABLE_FILE
    sidecar = table.with_suffix(".json")
    ready = read_ready_table(table, sidecar=_read_object(sidecar) if sidecar.is_file() else None)
    if not is_ours or not (folder / RECIPE_FILE).is_file():
        return _ready(ready)
    recipe = recipe_from_document(_read_object(folder / RECIPE_FILE))
    quality = _read_quality(folder / QUALITY_FILE, ready.values.index)
    return _ready(ready, recipe=recipe, quality=quality)


def _ready(ready: ReadyFeatures, *, recipe: Recipe | None = None, quality: pd.DataFrame | None = None) -> FeatureTable:
    index = ready.values.index
    hashes = ready.sources.get(RECIPE_HASH)
    return FeatureTable(
        values=ready.values,
        definitions=ready.definitions,
        recipe=recipe,
        recipe_hashes=pd.Series(None, index=index, dtype=object) if hashes is None else hashes,
        quality=pd.DataFrame(index=index) if quality is None else quality,
        digest=ready.digest,
    )


def _is_done(visit: CohortVisit, recipe: Recipe, definitions: Sequence[FeatureDefinition], out: Path) -> bool:
    """Whether there is a whole result of this recipe, and no input was changed after it."""
    path = result_path(out, visit.participant_id)
    try:
        document = _read_result(path)
        made_at = path.stat().st_mtime_ns
        is_current = all(file.stat().st_mtime_ns <= made_at for file in visit.input_files)
    except (TableError, OSError):
        return False
    return is_current and document[RECIPE_HASH] == recipe.recipe_hash and _has_values(document, definitions)


def _forget(path: Path) -> None:
    """Remove a result, and its folder if that is empty then."""
    with suppress(OSError):  # whatever is in the way there was not written by us
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _read_result(path: Path) -> dict[str, Any]:
    """Return a participant's document; raises TableError if it is damaged or another person's."""
    document = _read_object(path)
    kinds = {"values": dict, "missing_reasons": dict, "reasons": list, "quality": dict, "status": str}
    kinds |= {PARTICIPANT_ID: str, RECIPE_HASH: str, INPUT_DIGEST: str}
    if not all(isinstance(document.get(key), kind) for key, kind in kinds.items()):
        raise TableError("the file is no whole result.", where=path.name, remedy=EXTRACT_AGAIN)
    if document[PARTICIPANT_ID] != path.parent.name:
        raise TableError("the file holds another participant's result.", where=path.name, remedy=EXTRACT_AGAIN)
    return document


def _has_values(document: Mapping[str, Any], definitions: Sequence[FeatureDefinition]) -> bool:
    """Whether every feature is there, as a number or as missing."""
    values = document["values"]
    kinds = (int, float, NoneType)
    return all(d.name in values and isinstance(values[d.name], kinds) for d in definitions)


def _visit_document(visit: CohortVisit, vector: FeatureVector, report: QualityReport) -> dict[str, Any]:
    reasons = zip(vector.names, vector.missing_reasons, strict=True)
    return {
        PARTICIPANT_ID: visit.participant_id,
        "session_id": visit.session_id,
        RECIPE_HASH: vector.recipe_hash,
        INPUT_DIGEST: vector.input_digest,
        "values": vector.by_name(),
        "missing_reasons": {name: reason for name, reason in reasons if reason is not None},
        "status": "refused" if report.is_refused else "flagged" if report.reasons else "ok",
        "reasons": [reason.document() for reason in report.reasons],
        "quality": report.document(),
    }


def _check_same_recipe(documents: Sequence[Mapping[str, Any]], recipe: Recipe) -> None:
    other = [str(d.get(PARTICIPANT_ID)) for d in documents if d.get(RECIPE_HASH) != recipe.recipe_hash]
    if other:
        raise TableError(
            f"{len(other)} participants were extracted with another recipe than {RECIPE_FILE}: {listed(other)}.",
            where=RECIPE_FILE,
            remedy="Run `krp extract DIR OUT participant` again for them, or use another output folder.",
        )


def _table_text(documents: Sequence[Mapping[str, Any]], definitions: Sequence[FeatureDefinition]) -> str:
    names = [definition.name for definition in definitions]
    rows = [[PARTICIPANT_ID, RECIPE_HASH, INPUT_DIGEST, *names]]
    for document in documents:
        values = document["values"]
        source = [str(document[key]) for key in (PARTICIPANT_ID, RECIPE_HASH, INPUT_DIGEST)]
        rows.append([*source, *(_cell(values[name]) for name in names)])
    return _tsv(rows)


def _quality_text(documents: Sequence[Mapping[str, Any]]) -> str:
    kinds = list(dict.fromkeys(kind for document in documents for kind in document["quality"]))
    columns = [(kind, column) for kind in kinds for column in QUALITY_COLUMNS]
    rows = [[PARTICIPANT_ID, "status", "reasons", "n_missing_features", *(f"{c}__{k}" for k, c in columns)]]
    for document in documents:
        reasons = sorted({str(reason["code"]) for reason in document["reasons"]})
        measures = [_cell(document["quality"].get(kind, {}).get(column)) for kind, column in columns]
        first = [str(document[PARTICIPANT_ID]), str(document["status"]), " ".join(reasons) or "n/a"]
        rows.append([*first, str(len(document["missing_reasons"])), *measures])
    return _tsv(rows)


def _read_quality(path: Path, index: pd.Index) -> pd.DataFrame:
    """Return the quality table in the order of the features; empty if it is not there."""
    if not path.is_file():
        return pd.DataFrame(index=index)
    return read_participants(path).reindex(index)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_table_bytes(path))
    except ValueError as error:
        raise TableError("the file is not valid JSON.", where=path.name, remedy="Extract it again.") from error
    if not isinstance(document, dict):
        raise TableError("expected a JSON object.", where=path.name, remedy="Extract it again.")
    return document


def _cell(value: float | None) -> str:
    """Return the shortest text that reads back as the same float."""
    return "n/a" if value is None or not np.isfinite(value) else repr(float(value))


def _tsv(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def _json_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _dataset_description() -> dict[str, Any]:
    return {
        "Name": "Features for predicting ketamine response",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "krp extract", "Version": version("ketamine-response-predictor")}],
    }
