"""`krp doctor`: what killed runs and changed files left in the store, and how it is put right."""

from __future__ import annotations

import argparse
import json
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit
from predictor.exit_codes import DONE, REFUSED
from predictor.store_address import add_store


def add_doctor(subparsers: Subparsers[Any]) -> None:
    """Add `krp doctor` to the command line."""
    parser = add_command(
        subparsers,
        "doctor",
        help="find what killed runs left in the store, and repair it",
        description=(
            "Looks for runs whose process is gone, versions that were never verified or whose bundle is no longer the "
            "one that was registered, aliases that point at such versions, and models and folders that belong to "
            "nothing. Without --repair nothing is changed. A verified version is never deleted."
        ),
        examples=("krp doctor", "krp doctor --repair --store postgresql://krp@db.example.org/mlflow"),
        exit_codes={DONE: "nothing found, or all of it repaired", REFUSED: "something remains"},
    )
    add_store(parser)
    parser.add_argument("--repair", action="store_true", help="put right what can be put right")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from training.log_book.tracking import open_store
    from training.shelf.doctor import look_for_litter, repair

    store = open_store(arguments.store, must_exist=True)
    findings = look_for_litter(store)
    if arguments.repair:
        findings = repair(findings, store)
    if arguments.json:
        emit(json.dumps([finding.document() for finding in findings], indent=1))
    else:
        for finding in findings:
            emit(f"  {finding.line()}")
    n_left = sum(not finding.is_repaired for finding in findings)
    if not arguments.json:
        repaired = f", {len(findings) - n_left} repaired" if arguments.repair else ""
        emit(f"{len(findings)} found{repaired}" if findings else "nothing found: the store is in order")
    return REFUSED if n_left else DONE
