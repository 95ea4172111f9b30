"""`krp timecourse`, and the study of an infusion that `krp simulate --study infusion` makes for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say, show_error
from predictor.errors import UsageError
from predictor.exit_codes import DONE, SOME_FAILED
from predictor.visit_options import add_jobs
from training.commands.cohort_commands import OF_EVERY_VISIT, add_cohort_options, no_folder
from training.commands.worker_options import add_workers, start_early, workers_of

if TYPE_CHECKING:
    import pandas as pd

# Study B: 12 people with ketamine, 14 with midazolam.
DEFAULT_PEOPLE, KETAMINE_SHARE = 26, 12 / 26
FEWEST_PERMUTATIONS, MOST_PERMUTATIONS = 19, 100_000


def add_timecourse(subparsers: Subparsers[Any]) -> None:
    """Add `krp timecourse` to the command line."""
    parser = add_command(
        subparsers,
        "timecourse",
        help="compare two arms' connectivity over the windows of an infusion (an analysis, no predictor)",
        description=(
            "Fisher z per pair of regions and window of a long resting run; a mixed model per pair for estimates; "
            "arm x time tested by permuting arms over people, corrected over all pairs and windows; and the change "
            "beside dissociation. Writes tables, results.json, a figure and a summary in plain words."
        ),
        examples=(
            "krp timecourse infusion results --dissociation cadss",
            "krp timecourse derivatives/fmriprep results --windows infusion_windows.toml --permutations 9999",
        ),
        exit_codes={SOME_FAILED: "some participants could not be read; they are named, the others were measured"},
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="fMRIPrep outputs, or region time-series tables")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument(
        "--windows", default="default", metavar="FILE",
        help="windows and pairs, such as experiments/infusion_windows.toml (default: study B's, 40 minutes)",
    )  # fmt: skip
    parser.add_argument("--participants", type=Path, metavar="TSV", help="participants.tsv (default: DIR's own)")
    parser.add_argument("--arm", default="arm", metavar="COLUMN", help="column with the two arms")
    parser.add_argument(
        "--treatment", metavar="NAME", help="the treated arm (default: ketamine, else first by alphabet)"
    )
    parser.add_argument("--dissociation", metavar="COLUMN", help="column with dissociation, such as the CADSS total")
    parser.add_argument("--permutations", type=int, metavar="N", help="permutations of arms (default: 4999)")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the permutations (default: a fixed one)")
    add_cohort_options(parser)
    add_jobs(parser)
    add_workers(parser)
    parser.set_defaults(run=_timecourse)


def simulate_study(arguments: argparse.Namespace) -> int:
    """Run `krp simulate --study infusion`."""
    from training.simulation.infusion import InfusionPlan, simulate_infusion

    if arguments.controls is not None or arguments.effect == "prognostic":
        raise UsageError("a study of an infusion has no controls and no prognostic effect.", where="--study infusion")
    n_people = DEFAULT_PEOPLE if arguments.participants is None else arguments.participants
    n_ketamine = round(n_people * KETAMINE_SHARE)
    strength = {} if arguments.strength is None else {"decrease_z": arguments.strength}
    plan = InfusionPlan(
        n_ketamine=n_ketamine,
        n_midazolam=n_people - n_ketamine,
        seed=arguments.seed,
        effect="null" if arguments.effect == "null" else "transient-decrease",
        **strength,
    )
    simulate_infusion(arguments.out, plan)
    planted = "nothing" if plan.effect == "null" else f"a decrease by {plan.decrease_z:g} Fisher z at 10-20 minutes"
    emit(f"  {n_ketamine} people with ketamine, {n_people - n_ketamine} with midazolam; planted: {planted}")
    say(f"synthetic data; next: krp timecourse {arguments.out} RESULTS --dissociation cadss")
    return DONE


def _timecourse(arguments: argparse.Namespace) -> int:
    are_forked = start_early(arguments, (*OF_EVERY_VISIT, "training.timecourse.recording"))
    # Imported here, so that `krp --help` does not wait for scipy and statsmodels.
    from predictor.scan.dataset_files import is_synthetic
    from training.commands.cohort_commands import find_cohort
    from training.output_files import make_folder
    from training.timecourse.analysis import DEFAULT_PERMUTATIONS, DEFAULT_SEED, analyse
    from training.timecourse.cohort import assemble_cohort, check_columns
    from training.timecourse.recording import measure_people
    from training.timecourse.result_files import write_results, write_sliding
    from training.timecourse.window_plan import load_window_plan
    from training.workers import open_workers

    workers = workers_of(arguments, are_forked=are_forked)
    if not arguments.dir.is_dir():
        raise no_folder(arguments.dir)
    n_permutations = DEFAULT_PERMUTATIONS if arguments.permutations is None else arguments.permutations
    seed = DEFAULT_SEED if arguments.seed is None else arguments.seed
    if not FEWEST_PERMUTATIONS <= n_permutations <= MOST_PERMUTATIONS or seed < 0:
        raise UsageError(
            f"expected {FEWEST_PERMUTATIONS} to {MOST_PERMUTATIONS} permutations and a seed of at least 0.",
            where="--permutations, --seed",
        )
    # Everything that can be wrong with the question is said before hours are spent on scans.
    plan = load_window_plan(arguments.windows)
    participants = _participants(arguments)
    columns = {
        "arm_column": arguments.arm,
        "treatment": arguments.treatment,
        "dissociation_column": arguments.dissociation,
    }
    visits, recipe = find_cohort(arguments)
    check_columns(participants, **columns)
    make_folder(arguments.out)
    with open_workers(workers) as n_jobs:
        measured, failed = measure_people(visits, recipe, plan, n_jobs=n_jobs)
    for failure in failed:
        show_error(failure.as_error())
    reasons = {failure.participant_id: failure.message for failure in failed}
    cohort = assemble_cohort(measured, participants, plan, failed=reasons, **columns)
    result = analyse(cohort, plan, n_permutations=n_permutations, seed=seed)
    emit(write_results(arguments.out, result, recipe, is_synthetic=is_synthetic(arguments.dir.resolve())))
    write_sliding(arguments.out, measured, plan)
    say(f"tables, figure and summary are in {arguments.out}")
    if failed:
        say(f"failed: {', '.join(reasons)}; the other {len(measured)} were measured")
    return SOME_FAILED if failed else DONE


def _participants(arguments: argparse.Namespace) -> pd.DataFrame:
    """Read participants.tsv; only those who were asked for, so that nobody else counts as missing."""
    from training.cohort.participants import read_participants

    participants = read_participants(arguments.participants or _participants_file(arguments.dir))
    if arguments.participant_label is None:
        return participants
    wanted = {"sub-" + label.removeprefix("sub-") for label in arguments.participant_label}
    return participants.loc[[name in wanted for name in participants.index]]


def _participants_file(folder: Path) -> Path:
    """Return participants.tsv of the folder, or of the dataset in which an fMRIPrep folder lies."""
    places = (folder, folder.resolve().parent, folder.resolve().parent.parent)
    found = [place / "participants.tsv" for place in places if (place / "participants.tsv").is_file()]
    if not found:
        raise UsageError(
            "expected participants.tsv in DIR or the two folders above, found none.",
            where="--participants",
            remedy="Name the table with --participants FILE.",
        )
    return found[0]
