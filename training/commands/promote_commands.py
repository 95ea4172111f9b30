"""`krp promote`: the gate before the alias `champion`, and the way back."""

from __future__ import annotations

import argparse

from predictor.console import emit

DONE = 0


def add_promote(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `krp promote` to the command line."""
    parser = subparsers.add_parser(
        "promote",
        help="put a registered model through the gate and, if it passes, make it champion",
        description=(
            "Verifies the registered bundle, prints the six checks of the promotion gate with their numbers, and "
            "moves the alias `champion` only if all pass (exit code 4 otherwise). With --rollback, the champion before "
            "the current one is verified and becomes champion again. Every decision is logged with its reasons."
        ),
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
        "--store", default="mlruns", help="folder or address of the MLflow store (default: mlruns)", metavar="STORE"
    )
    parser.set_defaults(run=_promote)


def _promote(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow and scikit-learn.
    from predictor.errors import UsageError
    from training.log_book.tracking import open_store
    from training.shelf.promotion import decide, examine, roll_back

    if bool(arguments.model) == bool(arguments.rollback):
        raise UsageError("expected either MODEL/VERSION or --rollback MODEL.", where="krp promote")
    store = open_store(arguments.store, must_exist=True)
    if arguments.rollback:
        back = roll_back(arguments.rollback, store=store, reason=arguments.reason)
        emit(f"{back.name} v{back.version} -> champion again (was v{back.replaced})")
        return DONE
    promotion = examine(arguments.model, store=store)
    for check in promotion.checks:
        emit(f"  {check.line()}")
    decide(promotion, store=store, reason=arguments.reason)
    n_checks = len(promotion.checks)
    emit(f"{promotion.name} v{promotion.version} -> champion (gate passed: {n_checks} of {n_checks})")
    return DONE
