"""The commands of training: cohorts, features, experiments, and the shelf of models."""

from __future__ import annotations

from typing import Any

from predictor.command_parser import Subparsers
from training.commands.audit_commands import add_audit
from training.commands.card_commands import add_card
from training.commands.change_commands import add_change
from training.commands.check_commands import add_check
from training.commands.ci_check_commands import add_ci_check
from training.commands.cohort_commands import add_extract
from training.commands.compare_commands import add_compare
from training.commands.doctor_commands import add_doctor
from training.commands.evaluate_commands import add_evaluate
from training.commands.multiverse_commands import add_multiverse
from training.commands.promote_commands import add_promote
from training.commands.report_commands import add_report
from training.commands.sign_commands import add_sign
from training.commands.simulate_commands import add_simulate
from training.commands.timecourse_commands import add_timecourse
from training.commands.train_commands import add_train


def add_commands(subparsers: Subparsers[Any]) -> None:
    """Add the training commands to the command line."""
    add_simulate(subparsers)
    add_check(subparsers)
    add_extract(subparsers)
    add_change(subparsers)
    add_timecourse(subparsers)
    add_train(subparsers)
    add_audit(subparsers)
    add_multiverse(subparsers)
    add_compare(subparsers)
    add_report(subparsers)
    add_evaluate(subparsers)
    add_promote(subparsers)
    add_sign(subparsers)
    add_card(subparsers)
    add_doctor(subparsers)
    add_ci_check(subparsers)
