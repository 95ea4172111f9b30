"""`krp promote`: the gate before the alias `champion`, and the way back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.exit_codes import DONE, REFUSED
from predictor.store_address import add_store

if TYPE_CHECKING:
    from training.shelf.promotion import Promotion


def add_promote(subparsers: Subparsers[Any]) -> None:
    """Add `krp promote` to the command line."""
    parser = add_command(
        subparsers,
        "promote",
        help="put a registered model through the gate and, if it passes, make it champion",
        description=(
            "Verifies the registered bundle, prints the six checks of the promotion gate with their numbers, and "
            "moves the alias `champion` only if all pass (exit code 4 otherwise). With --rollback, the champion before "
            "the current one is verified and becomes champion again. Every decision is logged with its reasons."
        ),
        examples=(
            "krp promote ketamine-response/candidate --dry-run",
            'krp promote ketamine-response/1 --reason "replicated at site B"',
            'krp promote --rollback ketamine-response --reason "drift"',
        ),
        exit_codes={REFUSED: "the gate refuses the model, or there is no earlier champion; the alias stays"},
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL/VERSION",
        help="e.g. ketamine-response/1 or ketamine-response/candidate",
    )
    parser.add_argument("--rollback", metavar="MODEL", help="give `champion` back to the previous champion of MODEL")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the log of promotions")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what the gate says; move no alias and log no decision"
    )
    add_store(parser)
    parser.set_defaults(run=_promote)


def _promote(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow and scikit-learn.
    from predictor.errors import UsageError
    from training.log_book.tracking import open_store
    from training.shelf.promotion import decide, examine, roll_back

    if bool(arguments.model) == bool(arguments.rollback):
        raise UsageError("expected either MODEL/VERSION or --rollback MODEL.", where="krp promote")
    if arguments.dry_run and arguments.rollback:
        raise UsageError("a rollback has no gate to try: --dry-run goes with MODEL/VERSION.", where="--dry-run")
    store = open_store(arguments.store, must_exist=True)
    if arguments.rollback:
        back = roll_back(arguments.rollback, store=store, reason=arguments.reason)
        emit(f"{back.name} v{back.version} -> champion again (was v{back.replaced})")
        return DONE
    promotion = examine(arguments.model, store=store)
    for check in promotion.checks:
        emit(f"  {check.line()}")
    if arguments.dry_run:
        return _show_verdict(promotion)
    decide(promotion, store=store, reason=arguments.reason)
    n_checks = len(promotion.checks)
    emit(f"{promotion.name} v{promotion.version} -> champion (gate passed: {n_checks} of {n_checks})")
    return DONE


def _show_verdict(promotion: Promotion) -> int:
    """Say what the gate would decide; the exit code is that of the decision."""
    n_passed = sum(check.passed for check in promotion.checks)
    verdict = "would become champion" if promotion.passed else "would be refused"
    emit(f"{promotion.name} v{promotion.version} {verdict} ({n_passed} of {len(promotion.checks)} checks passed)")
    say("dry run: no alias was moved and no decision logged")
    return DONE if promotion.passed else REFUSED
