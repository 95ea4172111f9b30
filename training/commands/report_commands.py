"""`krp report`: one experiment as one HTML file, made again from the log book."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.exit_codes import DONE, INVALID_INPUT
from predictor.store_address import add_store
from training.commands.quick_commands import without_collection

SUFFIX = ".html"


def add_report(subparsers: Subparsers[Any]) -> None:
    """Add `krp report` to the command line."""
    parser = add_command(
        subparsers,
        "report",
        help="write an experiment's report as one HTML file that needs nothing else",
        description=(
            "Reads the record of the latest finished run of an experiment from the log book and writes the report: "
            "data flow, models beside baselines, calibration, chance level, what the model weighs, benefit, power, "
            "limits, methods text with citations, model card and TRIPOD+AI table."
        ),
        examples=(
            "krp report baseline-prediction --out report.html",
            "krp report baseline-prediction --aggregates-only --out for_others.html",
        ),
        exit_codes={INVALID_INPUT: "no such experiment or no record, or input invalid"},
    )
    parser.add_argument("experiment", metavar="EXPERIMENT_OR_RUN", help="name of an experiment, or id of its run")
    add_store(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="where to (default: EXPERIMENT.html in this folder)"
    )
    parser.add_argument(
        "--aggregates-only",
        action="store_true",
        help="show no point, row or prediction of a single participant, for a report that leaves the group",
    )
    parser.set_defaults(run=_report)


@without_collection()
def _report(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow and the template engine.
    from training.log_book.logged_record import read_logged_record
    from training.log_book.tracking import open_store
    from training.report.closing_sections import multiverse_part
    from training.report.experiment_report import write_report

    out: Path | None = arguments.out
    if out and out.suffix != SUFFIX:
        raise UsageError(f"expected a file that ends in {SUFFIX}.", where="--out")
    store = open_store(arguments.store, must_exist=True)
    logged = read_logged_record(store, arguments.experiment, aggregates_only=arguments.aggregates_only)
    sections = [] if logged.multiverse is None else [multiverse_part(logged.multiverse)]
    path = out or Path(f"{logged.record.document['name']}{SUFFIX}")
    write_report(
        logged.record,
        path,
        aggregates_only=arguments.aggregates_only,
        sections=sections,
        previous=logged.previous,
    )
    emit(f"{path}: report of {logged.record.document['name']}, run {logged.run_id} (research use only)")
    if not arguments.aggregates_only:
        say("it shows single participants' points; use --aggregates-only for a report that leaves the group")
    return DONE
