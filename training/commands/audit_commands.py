"""The command `krp audit`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit
from predictor.errors import LeakFoundError
from predictor.exit_codes import DONE, REFUSED
from predictor.visit_options import add_jobs
from training.commands.experiment_options import add_experiment

if TYPE_CHECKING:
    from training.audit import AuditReport


def add_audit(subparsers: Subparsers[Any]) -> None:
    """Add `audit`."""
    parser = add_command(
        subparsers,
        "audit",
        help="fold-isolation proof of an experiment, and what else could leak",
        description=(
            "Prove that held-out people do not reach the fit: their inputs and outcomes are replaced by absurd values "
            "where they enter the experiment, everything is fitted again, tuning included, and what was learned must "
            "not change by a bit. What this cannot see is checked by itself: the same person under two names, columns "
            "that carry the outcome or were measured after baseline, tables that were scaled, imputed or adjusted over "
            "everyone."
        ),
        examples=(
            "krp audit experiments/baseline_prediction.toml",
            "krp audit experiments/rpn_bochum.toml --only-primary --json > audit.json",
        ),
        notes=(
            "What is declared as measured after baseline passes: it is an analysis, not a predictor, and can never be "
            "champion."
        ),
        exit_codes={
            DONE: "no leak found",
            REFUSED: "a leak was found and is named, or an input is named like a later measure and nobody says when it "
            "was measured ([cohort] measured)",
        },
    )
    add_experiment(parser, help="for example experiments/*.toml")
    parser.add_argument("--only-primary", action="store_true", help="leave the candidates out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    add_jobs(parser)
    parser.set_defaults(run=run_audit)


def run_audit(arguments: argparse.Namespace) -> int:
    """Audit the experiment and show what was found.

    Raises
    ------
    LeakFoundError
        If there is a leak, or an input whose time of measurement is not declared.
    """
    # Imported here, so that `krp --help` does not wait for scikit-learn.
    import os

    from joblib import parallel_config

    from training.audit import audit
    from training.config import read_experiment

    config = read_experiment(arguments.experiment, overrides=arguments.overrides)
    n_jobs = (os.cpu_count() or 1) if arguments.jobs == -1 else arguments.jobs
    with parallel_config("loky", inner_max_num_threads=1):
        report = audit(config, only_primary=arguments.only_primary, n_jobs=n_jobs)
    if arguments.json:
        emit(json.dumps(report.document(), indent=2, ensure_ascii=False))
    else:
        emit("\n".join(report.lines()))
    if not report.passed:
        raise LeakFoundError(_failure(report), where=config.name)
    return DONE


def _failure(report: AuditReport) -> str:
    failing = {finding.severity for finding in report.findings if finding.fails}
    if failing == {"undeclared"} and all(model.passed for model in report.models.values()):
        return "inputs are named like measures from after baseline, and their time is not declared."
    steps = ", ".join(report.leaking_steps) or "no model could be proven"
    return f"held-out people or the outcome reach the models: {steps}."
