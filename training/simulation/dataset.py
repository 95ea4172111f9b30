"""A whole synthetic trial, simulated in parallel and put in place only when it is complete."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from predictor import console
from predictor.circuit.circuit import Circuit, load_circuit
from predictor.errors import UsageError
from predictor.features.recipe import Recipe, default_recipe
from predictor.scan.session import read_visit
from predictor.scan.visit_files import VisitFiles
from training.output_files import check_folder, make_folder
from training.simulation.bids_writer import write_dataset, write_json, write_visit
from training.simulation.planted_truth import half_run_edges, truth_document
from training.simulation.trial import SimulatedPerson, TrialPlan, simulate_people

logger = logging.getLogger(__name__)

TRUTH_FILE = "planted_truth.json"
# Names of the sessions where there are two; a trial with one visit has none.
BASELINE_SESSION, FOLLOWUP_SESSION = "ses-baseline", "ses-followup"


def simulate_dataset(
    out: Path, plan: TrialPlan, *, circuit: Circuit | None = None, n_jobs: int = -1
) -> dict[str, object]:
    """Simulate a trial into a new folder and return its planted truth.

    Parameters
    ----------
    out
        A folder that does not exist yet, or is empty.
    plan
        Who takes part, and what is planted.
    circuit
        Regions; the default circuit unless given.
    n_jobs
        Processes; -1 for all processors. The bytes written do not depend on it.

    Raises
    ------
    UsageError
        If the folder holds anything (nothing is ever overwritten), or cannot be made.
    """
    circuit, out = circuit or load_circuit(), out.resolve()
    _check_free(out)
    people = simulate_people(plan, circuit)
    make_folder(out.parent)
    check_folder(out.parent)
    partial = Path(mkdtemp(prefix=f".{out.name}-partial-", dir=out.parent))
    try:
        partial.chmod(0o755)
        write_dataset(partial, people, plan)
        halves = _write_visits(partial, people, circuit, n_jobs, followup=plan.followup)
        truth = truth_document(plan, people, halves, circuit)
        write_json(partial / TRUTH_FILE, truth)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return truth


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "the output folder exists and is not empty; nothing is overwritten.",
            remedy="Name a new folder, or remove that one first.",
        )


def _write_visits(
    root: Path, people: tuple[SimulatedPerson, ...], circuit: Circuit, n_jobs: int, *, followup: bool
) -> NDArray[np.float64]:
    """Write every visit; returns the planted edges in half runs at baseline, shape (n_people, 2, n_edges)."""
    recipe = Recipe(circuit=circuit, tasks=default_recipe().tasks)
    tasks = (delayed(_write_and_measure)(root, person, recipe, followup=followup) for person in people)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    return np.stack(list(console.progress(results, total=len(people), label="Simulate trial")))


def _write_and_measure(root: Path, person: SimulatedPerson, recipe: Recipe, *, followup: bool) -> NDArray[np.float64]:
    session = BASELINE_SESSION if followup else None
    files = write_visit(root, person, recipe.circuit, session=session)
    if followup and person.change is not None:
        write_visit(root, person.at_followup(recipe.circuit), recipe.circuit, session=FOLLOWUP_SESSION)
    rest = VisitFiles(files.participant_id, session, tuple(run for run in files.runs if run.kind == "rest"))
    return half_run_edges(read_visit(rest, recipe.circuit, recipe.tasks), recipe)
