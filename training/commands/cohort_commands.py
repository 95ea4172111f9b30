"""`krp simulate` and `krp extract`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.console import emit, say, show_error

if TYPE_CHECKING:
    from predictor.features.recipe import Recipe
    from training.cohort.timeseries_table import TableVisit
    from training.cohort.visit import CohortVisit
    from training.extraction.feature_table import ExtractionSummary

DONE, SOME_FAILED = 0, 1


def add_simulate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `krp simulate` to the command line."""
    parser = subparsers.add_parser(
        "simulate",
        help="make a synthetic randomised trial to try things on",
        description=(
            "Writes a BIDS dataset with fMRIPrep-shaped derivatives: patients randomised to ketamine or midazolam and "
            "healthy controls, three runs each. Low inhibition of the amygdala by vmPFC predicts improvement under "
            "ketamine, as strongly as --strength says; planted_truth.json tells what was planted. The same seed gives "
            "the same bytes. About 1 GB for 160 people."
        ),
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to create; must be new or empty")
    parser.add_argument(
        "--study", choices=("trial", "infusion"), default="trial",
        help="trial: scans before a treatment; infusion: region tables of rest during an infusion, with CADSS (trial)",
    )  # fmt: skip
    parser.add_argument(
        "--participants",
        type=int,
        metavar="N",
        help="patients (trial 120, half per arm; infusion 26, 12 with ketamine)",
    )
    parser.add_argument("--controls", type=int, metavar="N", help="healthy controls of the trial (40)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of everything random (0)")
    parser.add_argument(
        "--effect", choices=("ketamine-only", "prognostic", "null"), default="ketamine-only",
        help="where the planted effect holds: with ketamine, in both arms (trial only), or nowhere (ketamine-only)",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=float, metavar="NUMBER",
        help="trial: share of the outcome's variance that the true couplings explain beyond arm + clinical (0.35); "
        "infusion: decrease of amygdala-vmPFC connectivity at 10-20 minutes, in Fisher z (0.4)",
    )  # fmt: skip
    parser.add_argument(
        "--followup", action="store_true",
        help="trial: scan the patients a second time, after treatment (ses-baseline and ses-followup)",
    )  # fmt: skip
    add_jobs(parser)
    parser.set_defaults(run=_simulate)


def add_extract(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `krp extract` to the command line."""
    parser = subparsers.add_parser(
        "extract",
        help="compute features from fMRIPrep outputs or region tables",
        description=(
            "participant: one features file per participant; those done before with the same recipe are skipped. "
            "group: the same for whoever is missing, then one table of all, standard errors and quality beside it."
        ),
        epilog="Exit codes: 0 done, 1 some participants failed (named above), 2 wrong use, 3 input invalid.",
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="fMRIPrep outputs, or region time-series tables")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the features")
    parser.add_argument("level", choices=("participant", "group"), help="level of the analysis")
    add_cohort_options(parser)
    add_jobs(parser)
    parser.add_argument("--force", action="store_true", help="compute again what was computed before")
    parser.add_argument(
        "--reports", action="store_true", help="draw one HTML report per participant (OUT/sub-<label>.html)"
    )
    parser.set_defaults(run=_extract)


def add_cohort_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whose visits are read and how their signals are cleaned; see `find_cohort`."""
    parser.add_argument(
        "--participant-label", nargs="+", metavar="LABEL", help='participants, with or without "sub-" (all)'
    )
    parser.add_argument(
        "--session", metavar="LABEL", help='session, with or without "ses-" (the only one, or the baseline)'
    )
    parser.add_argument("--bids-dir", type=Path, metavar="RAW", help="raw dataset with the events tables")
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="task description: your names of runs and events")
    parser.add_argument("--circuit", type=Path, metavar="FILE", help="circuit: regions and pairs (fronto-limbic)")
    parser.add_argument("--confound-strategy", metavar="NAME", help="nuisance regressors (motion24_wm_csf)")
    parser.add_argument(
        "--censor-mm", type=float, metavar="MM",
        help="leave out volumes that moved more; 0 keeps all (scans 0.5, tables 0.15, none where XCP-D censored)",
    )  # fmt: skip
    parser.add_argument(
        "--no-deconvolution", action="store_const", const=True,
        help="gPPI: multiply the seed's measured signal, not its deconvolved one",
    )  # fmt: skip
    parser.add_argument("--atlas", metavar="LABEL", help="atlas of region tables (the only one)")
    parser.add_argument("--reader", choices=("bids", "timeseries"), help="kind of DIR (found out by looking)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many processes work at once."""
    parser.add_argument("--jobs", type=processes, default=-1, metavar="N", help="processes (all processors)")


def processes(text: str) -> int:
    """Read a number of processes: 1 or more, or -1 for all processors."""
    number = int(text)
    if number < 1 and number != -1:
        raise argparse.ArgumentTypeError("expected 1 or more, or -1 for all processors")
    return number


def _simulate(arguments: argparse.Namespace) -> int:
    if arguments.study == "infusion":
        from training.commands.timecourse_commands import simulate_study

        return simulate_study(arguments)
    # Imported here, so that `krp --help` does not wait for scipy and nilearn.
    from training.simulation.dataset import simulate_dataset
    from training.simulation.trial import DEFAULT_STRENGTH, TrialPlan

    plan = TrialPlan(
        n_patients=120 if arguments.participants is None else arguments.participants,
        n_controls=40 if arguments.controls is None else arguments.controls,
        seed=arguments.seed,
        effect=arguments.effect,
        strength=DEFAULT_STRENGTH if arguments.strength is None else arguments.strength,
        followup=arguments.followup,
    )
    truth = simulate_dataset(arguments.out, plan, n_jobs=arguments.jobs)
    for line in _truth_lines(truth):
        emit(line)
    say(f"synthetic data; next: krp extract {arguments.out} FEATURES group")
    return DONE


def _truth_lines(truth: dict[str, Any]) -> list[str]:
    """Say what the cohort shows of what was planted."""
    measured = truth["measured"]
    trial, variance = measured["trial"], measured["variance_explained"]
    reliability = measured["split_half_reliability"]["mean"]
    return [
        f"  responders            ketamine {_percent(trial['responders_ketamine'])}, "
        f"midazolam {_percent(trial['responders_midazolam'])} (parent trial 67 % and 20 %)",
        f"  difference            {_number(trial['difference_caps5_points'], 1)} CAPS-5 points (parent trial 11.9)",
        f"  split-half reliability {_number(reliability, 2)} of the resting amygdala-vmPFC edges (aim .6)",
        f"  oracle beyond arm + clinical {_percent(variance['oracle_beyond_arm_clinical'])} of the outcome's variance "
        f"(asked for {_percent(truth['plan']['strength'] if truth['plan']['effect'] != 'null' else 0.0)})",
    ]


def _extract(arguments: argparse.Namespace) -> int:
    from training.extraction.feature_table import absent_families, extract_cohort, gather_table

    visits, recipe = find_cohort(arguments)
    summary = extract_cohort(
        visits, recipe, arguments.out, n_jobs=arguments.jobs, force=arguments.force, reports=arguments.reports
    )
    _report(summary)
    if arguments.level == "group" and (summary.extracted or summary.skipped):
        table = gather_table(arguments.out)
        n_missing = int(table.values.isna().to_numpy().sum())
        emit(f"{len(table.values)} participants, {len(table.definitions)} features, {n_missing} missing values")
        for family, reason in absent_families(table, arguments.out).items():
            emit(f"  {family} is missing for everyone: {reason}")
    return SOME_FAILED if summary.failed else DONE


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


def kind_of_cohort(arguments: argparse.Namespace) -> str:
    """Return the reader for `arguments.dir`: scans outrank tables, which may lie beside them in an fMRIPrep tree.

    Raises
    ------
    UsageError
        If there is no such folder, or an option has no meaning for its kind of data.
    """
    from predictor.errors import UsageError
    from training.cohort.timeseries_table import has_tables

    folder: Path = arguments.dir
    if not folder.is_dir():
        raise UsageError("expected a folder as DIR, found none there.", where=folder.name)
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
    from predictor.errors import UsageError

    given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]
    if given:
        raise UsageError(f"{', '.join(given)} have no meaning for {kind}.")


def _report(summary: ExtractionSummary) -> None:
    if summary.skipped:
        say(f"{len(summary.skipped)} participants were done before with the same recipe (--force computes them again)")
    for failure in summary.failed:
        show_error(failure.as_error())
    if summary.failed:
        names = ", ".join(failure.participant_id for failure in summary.failed)
        say(f"failed: {names}; the other {len(summary.extracted) + len(summary.skipped)} are done")


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
