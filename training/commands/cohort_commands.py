"""`krp extract`, and the options that every command takes which reads a cohort's scans or region tables."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say, show_error
from predictor.errors import UsageError
from predictor.exit_codes import DONE, SOME_FAILED
from predictor.record_card import counted
from predictor.visit_options import add_jobs, add_participant_labels, add_session
from training.commands.worker_options import add_workers, start_early, workers_of

if TYPE_CHECKING:
    from predictor.features.recipe import Recipe
    from training.cohort.timeseries_table import TableVisit
    from training.cohort.visit import CohortVisit
    from training.extraction.feature_table import ExtractionSummary

# What the group level must be told again: another recipe would compute everyone anew.
_REPEATED_OPTIONS: Final = (
    "bids_dir", "session", "tasks", "circuit", "confound_strategy", "censor_mm", "no_deconvolution", "atlas", "reader",
)  # fmt: skip

# What extracting a visit imports, two seconds of a processor; workers that are forked have it at once.
OF_EVERY_VISIT: Final = (
    "predictor.__main__", "training.extraction.feature_table", "training.cohort.derivatives",
    "training.cohort.timeseries_table", "training.forked_workers", "nilearn.interfaces.fmriprep", "nilearn.signal",
    "scipy.stats", "scipy.signal", "scipy.interpolate", "sklearn.covariance",
)  # fmt: skip
_OF_EVERY_REPORT: Final = ("predictor.report.visit_report",)


def add_extract(subparsers: Subparsers[Any]) -> None:
    """Add `krp extract` to the command line."""
    parser = add_command(
        subparsers,
        "extract",
        help="compute features from fMRIPrep outputs or region tables",
        description=(
            "A BIDS-App. participant: one features file per participant; those done before with the same recipe are "
            "skipped, so that a run that was cut off goes on where it stopped. group: the same for whoever is missing, "
            "then one table of all, standard errors and quality beside it, and OUT/index.html: who can be used."
        ),
        examples=(
            "krp extract derivatives/fmriprep features group --bids-dir raw",
            "krp extract derivatives/fmriprep features participant --bids-dir raw --participant-label 01 02",
            "krp extract derivatives/fmriprep features group --bids-dir raw --reports --dry-run",
            "krp extract xcp_d features group --atlas 4S156Parcels",
        ),
        exit_codes={SOME_FAILED: "some participants failed; they are named, the others are done"},
        if_interrupted="participants that were finished are kept; the same command goes on with the others",
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="fMRIPrep outputs, or region time-series tables")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the features")
    parser.add_argument("level", choices=("participant", "group"), help="level of the analysis")
    add_cohort_options(parser)
    add_jobs(parser)
    add_workers(parser)
    parser.add_argument("--force", action="store_true", help="compute again what was computed before")
    parser.add_argument(
        "--reports", action="store_true", help="draw one HTML report per participant (OUT/sub-<label>.html)"
    )
    parser.add_argument(
        "--aggregates-page",
        action="store_true",
        help="group: also write OUT/aggregates.html, the cohort's quality without a row of anybody, for passing on",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show whose turn it is and why, expected time and disk; compute and write nothing",
    )
    parser.set_defaults(run=_extract)


def add_cohort_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whose visits are read and how their signals are cleaned; see `find_cohort`."""
    add_participant_labels(parser)
    add_session(parser, otherwise="the only one, or the baseline")
    parser.add_argument("--bids-dir", type=Path, metavar="RAW", help="raw dataset with the events tables")
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="task description: your names of runs and events")
    parser.add_argument(
        "--circuit", type=Path, metavar="FILE", help="circuit: regions and pairs (default: fronto-limbic)"
    )
    parser.add_argument("--confound-strategy", metavar="NAME", help="nuisance regressors (default: motion24_wm_csf)")
    parser.add_argument(
        "--censor-mm", type=float, metavar="MM",
        help="leave out volumes that moved more; 0 keeps all (default: scans 0.5, tables 0.15, none where XCP-D did)",
    )  # fmt: skip
    parser.add_argument(
        "--no-deconvolution", action="store_const", const=True,
        help="gPPI: multiply the seed's measured signal, not its deconvolved one",
    )  # fmt: skip
    parser.add_argument("--atlas", metavar="LABEL", help="atlas of region tables (default: the only one)")
    parser.add_argument("--reader", choices=("bids", "timeseries"), help="kind of DIR (default: found out by looking)")


def _extract(arguments: argparse.Namespace) -> int:
    if arguments.aggregates_page and arguments.level != "group":
        raise UsageError("a page about everyone is made at the level group.", where="--aggregates-page")
    are_forked = start_early(arguments, OF_EVERY_VISIT + (_OF_EVERY_REPORT if arguments.reports else ()))
    from training.extraction.extraction_summary import summary_lines
    from training.extraction.feature_table import check_one_recipe, extract_cohort
    from training.workers import open_workers

    start, workers = time.monotonic(), workers_of(arguments, are_forked=are_forked)
    visits, recipe = find_cohort(arguments)
    if arguments.level == "group":
        check_one_recipe(visits, recipe, arguments.out)
    if arguments.dry_run:
        return _show_plan(arguments, visits, recipe)
    with open_workers(workers) as n_jobs:
        summary = extract_cohort(
            visits, recipe, arguments.out, n_jobs=n_jobs, force=arguments.force, reports=arguments.reports
        )
    _report(summary)
    if arguments.level == "group" and (summary.extracted or summary.skipped):
        _gather(arguments, summary)
    for line in summary_lines(summary, arguments.out, seconds=time.monotonic() - start):
        say(line)
    say(f"{'table' if arguments.level == 'group' else 'results'} in {arguments.out}; next: {_next(arguments)}")
    return SOME_FAILED if summary.failed else DONE


def _show_plan(arguments: argparse.Namespace, visits: Sequence[CohortVisit], recipe: Recipe) -> int:
    """Show what would be done; that some cannot be read is said by the exit code, too."""
    from training.extraction.extraction_plan import plan_extraction

    n_jobs = None if arguments.backend == "dask" else arguments.jobs
    plan = plan_extraction(
        visits, recipe, arguments.out, n_jobs=n_jobs, force=arguments.force, reports=arguments.reports
    )
    emit("\n".join(plan.lines()))
    say("dry run: nothing was computed or written")
    return SOME_FAILED if plan.of("cannot") else DONE


def _gather(arguments: argparse.Namespace, summary: ExtractionSummary) -> None:
    """Make one table of everyone and a page about their quality, and say what the table holds."""
    from predictor.scan.dataset_files import is_synthetic
    from training.cohort_quality.cohort_quality import cohort_quality
    from training.extraction.feature_table import absent_families, gather_table
    from training.report.cohort_aggregates_page import write_aggregates_page
    from training.report.cohort_quality_page import write_cohort_page

    out: Path = arguments.out
    table = gather_table(out)
    folders = (arguments.bids_dir, arguments.dir)
    quality = cohort_quality(
        table, out, failed=summary.failed, folders=folders, is_synthetic=is_synthetic(arguments.dir)
    )
    page = write_cohort_page(quality, out)
    n_missing = int(table.values.isna().to_numpy().sum())
    emit(f"{counted(len(table.values), 'participant')}, {len(table.definitions)} features, {n_missing} missing values")
    for family, reason in absent_families(table, out).items():
        emit(f"  {family} is missing for everyone: {reason}")
    say(f"quality of the cohort: {page}")
    if arguments.aggregates_page:
        say(f"the same without people: {write_aggregates_page(quality, out)}")


def _next(arguments: argparse.Namespace) -> str:
    """Return the command that most people call next, with what was said about the data and their cleaning."""
    if arguments.level == "group":
        return f"krp train EXPERIMENT.toml --set cohort.features={arguments.out}/features.tsv"
    words = ["krp", "extract", str(arguments.dir), str(arguments.out), "group"]
    for name in _REPEATED_OPTIONS:
        value = getattr(arguments, name)
        if value is not None:
            option = "--" + name.replace("_", "-")
            words += [option] if value is True else [option, str(value)]
    return shlex.join(words)


def find_cohort(arguments: argparse.Namespace) -> tuple[Sequence[CohortVisit], Recipe]:
    """Find the visits in `arguments.dir` and the recipe for their kind of data, given the options of a cohort."""
    from training.cohort.derivatives import find_derivatives_visits

    if kind_of_cohort(arguments) == "timeseries":
        return find_table_cohort(arguments)
    recipe = derivatives_recipe(arguments)
    visits = find_derivatives_visits(
        arguments.dir,
        bids_dir=arguments.bids_dir,
        tasks=recipe.tasks,
        participant_labels=arguments.participant_label,
        session_label=arguments.session,
    )
    return visits, recipe


def no_folder(folder: Path) -> UsageError:
    """Return the error for a DIR that is no folder."""
    found = "a file" if folder.is_file() else "none there"
    return UsageError(
        f"expected a folder as DIR, found {found}.",
        where=folder.name,
        remedy="Check the path. DIR is what fMRIPrep wrote, or a folder with region tables, and comes first.",
    )


def kind_of_cohort(arguments: argparse.Namespace) -> str:
    """Return the reader for `arguments.dir`: scans outrank tables, which may lie beside them in an fMRIPrep tree.

    Raises
    ------
    UsageError
        If there is no such folder, or an option has no meaning for its kind of data.
    """
    from training.cohort.timeseries_table import has_tables

    folder: Path = arguments.dir
    if not folder.is_dir():
        raise no_folder(folder)
    reader: str | None = arguments.reader
    if reader is None:
        has_scans = next(folder.rglob("*_desc-preproc_bold.nii*"), None) is not None
        reader = "timeseries" if not has_scans and has_tables(folder) else "bids"
    if reader == "timeseries":
        _refuse_options(arguments, "bids_dir", "tasks", "circuit", "confound_strategy", "no_deconvolution")
    else:
        _refuse_options(arguments, "atlas", kind="scans")
    return reader


def find_table_cohort(arguments: argparse.Namespace) -> tuple[Sequence[TableVisit], Recipe]:
    """Find the visits of a folder with region tables, and the recipe for them."""
    from training.cohort.timeseries_table import default_censor_mm, find_table_visits, table_recipe

    visits = find_table_visits(
        arguments.dir,
        participant_labels=arguments.participant_label,
        session_label=arguments.session,
        atlas=arguments.atlas,
    )
    censor_mm = default_censor_mm(visits) if arguments.censor_mm is None else arguments.censor_mm
    return visits, table_recipe(visits, censor_framewise_displacement_mm=censor_mm or None)


def derivatives_recipe(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that the options ask for, for scans."""
    from predictor.circuit.circuit import load_circuit
    from predictor.features.recipe import Recipe
    from predictor.scan.task_description import load_task_description

    recipe = Recipe(circuit=load_circuit(arguments.circuit), tasks=load_task_description(arguments.tasks))
    if arguments.confound_strategy is not None:
        recipe = replace(recipe, confound_strategy=arguments.confound_strategy)
    if arguments.no_deconvolution:
        recipe = replace(recipe, deconvolve_seed=False)
    if arguments.censor_mm is not None:
        recipe = replace(recipe, censor_framewise_displacement_mm=arguments.censor_mm or None)
    return recipe


def _refuse_options(arguments: argparse.Namespace, *names: str, kind: str = "region tables") -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]
    if given:
        raise UsageError(f"{', '.join(given)} have no meaning for {kind}.")


def _report(summary: ExtractionSummary) -> None:
    if summary.skipped:
        done_before = counted(len(summary.skipped), "participant was", "participants were")
        say(f"{done_before} done before with the same recipe (--force computes them again)")
    for failure in summary.failed:
        show_error(failure.as_error())
    if summary.failed:
        names = ", ".join(failure.participant_id for failure in summary.failed)
        say(f"failed: {names}; the other {len(summary.extracted) + len(summary.skipped)} are done")
