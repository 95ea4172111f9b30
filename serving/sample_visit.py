"""The sample visit: one simulated participant's folder, scored through the same path as any other visit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from predictor.errors import SessionError
from predictor.feature_rows import read_covariates
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import Covariate
from predictor.pipeline import recipe_of
from predictor.scan.session import BaselineSession, read_visit
from predictor.scan.visit_files import RunFiles, VisitFiles, find_visits
from serving.covariates import CovariateValues
from serving.web.examples import curl

PARTICIPANTS = "participants.tsv"


@dataclass(frozen=True, slots=True)
class SampleVisit:
    """Files of the sample visit and what the raw dataset says about the person."""

    files: VisitFiles
    covariates: CovariateValues

    def read(self, bundle: ModelBundle) -> BaselineSession:
        """Reduce the scans to what the model's features need."""
        recipe = recipe_of(bundle)
        return read_visit(self.files, recipe.circuit, recipe.tasks)


def find_sample_visit(folder: Path, bundle: ModelBundle) -> SampleVisit:
    """Return the sample visit of a participant's folder in an fMRIPrep output.

    The raw dataset is the closest folder above that has a participants table; events and covariates come from it.

    Raises
    ------
    SessionError
        If the folder is no participant's folder, or holds no run that the model's task description knows.
    """
    label = folder.resolve().name
    if not label.startswith("sub-"):
        raise SessionError("expected a participant's folder (sub-<label>) as the sample visit.", where=label)
    derivatives = folder.resolve().parent
    raw = next((above for above in (derivatives, *derivatives.parents) if (above / PARTICIPANTS).is_file()), None)
    visits = find_visits(derivatives, bids_dir=raw, tasks=recipe_of(bundle).tasks, participant_labels=[label])
    covariates = _covariates(raw / PARTICIPANTS, label, bundle.covariates) if raw else {}
    return SampleVisit(visits[0], covariates)


def sample_curl(sample: SampleVisit, address: str, *, needs_key: bool) -> str:
    """Return a command that sends the sample visit to /v1/scans, to be run from the current folder."""
    parts = [f"{name}=@{_short(path)}" for run in sample.files.runs for name, path in _parts(run)]
    known = {name: value for name, value in sample.covariates.items() if value is not None}
    if known:
        parts.append(f"covariates={json.dumps(known)}")
    return curl([f"-F {shlex.quote(part)}" for part in parts], f"{address}/v1/scans", needs_key=needs_key)


def _parts(run: RunFiles) -> list[tuple[str, Path]]:
    files = {
        run.name: run.scan,
        f"{run.name}_confounds": run.confounds,
        f"{run.name}_confounds_sidecar": run.confounds_sidecar,
        f"{run.name}_sidecar": run.sidecar,
        f"{run.name}_events": run.events if run.kind != "rest" else None,
    }
    return [(name, path) for name, path in files.items() if path is not None]


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _covariates(table: Path, label: str, covariates: Sequence[Covariate]) -> CovariateValues:
    return read_covariates(table, [item for item in covariates if item.role != "arm"]).get(label, {})
