"""`krp ci-check`: performance on simulated trials whose truth is known."""

from __future__ import annotations

import argparse
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit
from predictor.exit_codes import DONE, REFUSED
from predictor.visit_options import add_jobs
from training.commands.experiment_options import add_experiment


def add_ci_check(subparsers: Subparsers[Any]) -> None:
    """Add `krp ci-check` to the command line."""
    parser = add_command(
        subparsers,
        "ci-check",
        help="train on simulated trials with and without an effect, and compare with what could be found",
        description=(
            "Simulates two trials as tables, one with an effect and one without, cross-validates the primary model of "
            "the experiment on both, and prints it beside an oracle that knows the true couplings and beside chance. "
            "Says nothing about real people."
        ),
        examples=("krp ci-check", "krp ci-check my_experiment.toml --participants 120 --share 0.2 1.0"),
        exit_codes={DONE: "within the stated band", REFUSED: "outside the stated band"},
    )
    add_experiment(
        parser,
        help="experiment to check; its cohort files are replaced by simulated ones (default: one of the package)",
        nargs="?",
    )
    parser.add_argument("--participants", type=int, metavar="N", help="patients of each trial (default: 240)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the simulation")
    parser.add_argument(
        "--share", type=float, nargs=2, default=(0.35, 1.0), metavar=("LOW", "HIGH"),
        help="share of the oracle's gain that is expected, if yours is another experiment (default: 0.35 1.0)",
    )  # fmt: skip
    add_jobs(parser)
    parser.set_defaults(run=_ci_check)


def _ci_check(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for scikit-learn.
    import os

    from predictor.errors import RefusedError
    from training.config import read_experiment
    from training.performance_check import DEFAULT_EXPERIMENT, N_PATIENTS, Band, check_performance

    band = Band(*arguments.share)
    config = read_experiment(arguments.experiment or DEFAULT_EXPERIMENT, overrides=arguments.overrides)
    check = check_performance(
        config,
        n_patients=N_PATIENTS if arguments.participants is None else arguments.participants,
        seed=arguments.seed,
        band=band,
        n_jobs=(os.cpu_count() or 1) if arguments.jobs == -1 else arguments.jobs,
    )
    for line in check.lines():
        emit(line)
    if not check.passed:
        raise RefusedError(
            "performance on simulated trials lies outside the stated band.",
            where="ci-check",
            remedy="Below the band: the pipeline lost what was planted. Above it: look for a leak with `krp audit`.",
        )
    return DONE
