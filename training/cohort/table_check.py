"""Everything wrong with a folder of region tables, found before anything is computed.

Tables are small: they are read whole, and tried out as extraction does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from predictor.errors import PredictorError
from predictor.features.recipe import Recipe
from predictor.features.run_trial import trial_with
from predictor.scan.dataset_check import description_findings, participants_findings
from predictor.scan.finding import Finding, finding_of, worst_first
from predictor.scan.run_check import RunFacts, RunTrial, quality_findings, trial_findings
from predictor.scan.session import Run
from predictor.scan.tree_check import TreeCheck, odd_runs
from training.cohort.timeseries_table import TableVisit

Watch = Callable[[Sequence[TableVisit]], Iterable[TableVisit]]


def check_tables(
    visits: Sequence[TableVisit], recipe: Recipe, folder: Path, *, is_everyone: bool = True, watch: Watch = iter
) -> TreeCheck:
    """List everything wrong with the tables of a folder; nothing is raised for what is wrong with its files.

    Parameters
    ----------
    visits
        What `find_table_visits` found in the folder.
    recipe
        Their recipe, by `table_recipe`.
    folder
        Where dataset_description.json and participants.tsv are looked for.
    is_everyone
        Whether these are all people of the folder, so that participants.tsv can be compared with them.
    watch
        Passes the visits through, for a progress bar.
    """
    everyone = tuple(visit.participant_id for visit in visits)
    findings = list(description_findings(folder, None))
    if is_everyone:
        findings += participants_findings((folder,), everyone)
    facts: dict[str, list[RunFacts]] = {}
    try_out = trial_with(recipe)
    for visit in watch(visits):
        of_visit, facts[visit.participant_id] = _check_visit(visit, recipe, try_out)
        findings += [
            replace(finding, participant_id=visit.participant_id, session_id=visit.session_id) for finding in of_visit
        ]
    return TreeCheck(worst_first([*findings, *odd_runs(facts)]), everyone)


def _check_visit(
    visit: TableVisit, recipe: Recipe, try_out: Callable[[Run], RunTrial]
) -> tuple[list[Finding], list[RunFacts]]:
    try:
        runs = visit.read(recipe).runs
    except PredictorError as error:
        return [finding_of(error)], []
    tried = [trial_findings(run, try_out) for run in runs]
    findings = [finding for of_run, _ in tried for finding in of_run]
    findings += quality_findings(quality for _, quality in tried if quality is not None)
    return findings, [RunFacts(run.name, run.n_volumes, run.repetition_time_s, None) for run in runs]
