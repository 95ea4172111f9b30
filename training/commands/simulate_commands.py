"""`krp simulate`: a synthetic study to try things on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.exit_codes import DONE
from predictor.visit_options import add_jobs


def add_simulate(subparsers: Subparsers[Any]) -> None:
    """Add `krp simulate` to the command line."""
    parser = add_command(
        subparsers,
        "simulate",
        help="make a synthetic randomised trial to try things on",
        description=(
            "Writes a BIDS dataset with fMRIPrep-shaped derivatives: patients randomised to ketamine or midazolam and "
            "healthy controls, three runs each. Low inhibition of the amygdala by vmPFC predicts improvement under "
            "ketamine, as strongly as --strength says; planted_truth.json tells what was planted. The same seed gives "
            "the same bytes. About 1 GB for 160 people."
        ),
        examples=(
            "krp simulate trial --participants 24 --controls 8 --seed 1",
            "krp simulate null-trial --effect null",
            "krp simulate infusion --study infusion",
        ),
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to create; must be new or empty")
    parser.add_argument(
        "--study", choices=("trial", "infusion"), default="trial",
        help="trial: scans before a treatment; infusion: region tables of rest during an infusion, with CADSS",
    )  # fmt: skip
    parser.add_argument(
        "--participants",
        type=int,
        metavar="N",
        help="patients (default: trial 120, half per arm; infusion 26, 12 with ketamine)",
    )
    parser.add_argument("--controls", type=int, metavar="N", help="healthy controls of the trial (default: 40)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of everything random")
    parser.add_argument(
        "--effect", choices=("ketamine-only", "prognostic", "null"), default="ketamine-only",
        help="where the planted effect holds: with ketamine, in both arms (trial only), or nowhere",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=float, metavar="NUMBER",
        help="trial: share of the outcome's variance that the true couplings explain beyond arm + clinical; infusion: "
        "decrease of amygdala-vmPFC connectivity at 10-20 minutes, in Fisher z (default: 0.35; 0.4)",
    )  # fmt: skip
    parser.add_argument(
        "--followup", action="store_true",
        help="trial: scan the patients a second time, after treatment (ses-baseline and ses-followup)",
    )  # fmt: skip
    add_jobs(parser)
    parser.set_defaults(run=_simulate)


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


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
