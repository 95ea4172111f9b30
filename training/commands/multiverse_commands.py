"""`krp multiverse`: the same experiment under other reasonable decisions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.exit_codes import DONE, INVALID_INPUT
from predictor.store_address import add_store
from predictor.visit_options import add_jobs
from training.commands.experiment_options import add_experiment
from training.commands.worker_options import add_workers, workers_of

if TYPE_CHECKING:
    from training.multiverse.multiverse_plan import MultiversePlan


def add_multiverse(subparsers: Subparsers[Any]) -> None:
    """Add `krp multiverse` to the command line."""
    parser = add_command(
        subparsers,
        "multiverse",
        help="run an experiment under all alternatives that its file names, on the same people and folds",
        description=(
            "Cross-validates the primary model under every combination of the alternatives in [multiverse], on the "
            "people whom all universes can use and on the same folds, each beside the strongest baseline. Logs one "
            "run with a child per universe, registers nothing, and marks the registered universe: the others say how "
            "much the result hangs on decisions, and none of them may be picked afterwards."
        ),
        examples=(
            "krp multiverse experiments/multiverse.toml --dry-run",
            "krp multiverse experiments/multiverse.toml --permutations 99 --out multiverse",
        ),
        exit_codes={INVALID_INPUT: "input invalid; of a missing feature table the command that makes it is named"},
    )
    add_experiment(parser, help="a file with a section [multiverse]")
    parser.add_argument(
        "--permutations", type=int, default=0, metavar="N",
        help="also test the best universe against the best of all universes under N permuted outcomes",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write document, table and figure to this folder",
    )
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the universes and their feature tables; fit and log nothing"
    )
    add_jobs(parser)
    add_workers(parser)
    add_store(parser, default=None, otherwise="[tracking] store of the file")
    parser.set_defaults(run=_multiverse)


def _multiverse(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow and scikit-learn.
    from training.log_book.tracking import document_text, open_store
    from training.multiverse.multiverse import run_multiverse
    from training.multiverse.multiverse_log import log_multiverse, multiverse_files
    from training.multiverse.multiverse_plan import read_multiverse
    from training.multiverse.multiverse_record import multiverse_document
    from training.output_files import make_folder, write_atomically
    from training.report.multiverse_section import multiverse_lines
    from training.workers import open_workers

    if arguments.permutations < 0:
        raise UsageError("expected 0 or more permutations.", where="--permutations")
    workers = workers_of(arguments)
    plan = read_multiverse(arguments.experiment, overrides=arguments.overrides)
    if arguments.dry_run:
        return _show_plan(plan)
    plan.check_tables()
    tracking = plan.config.tracking
    store = open_store(arguments.store or tracking.store, artifacts=tracking.artifacts or None)
    with open_workers(workers) as n_jobs:
        result = run_multiverse(plan, n_jobs=None if n_jobs == -1 else n_jobs, n_permutations=arguments.permutations)
    document = multiverse_document(result)
    run_id = log_multiverse(store, result, document)
    if arguments.out:
        for name, content in multiverse_files(document).items():
            make_folder((arguments.out / name).parent)
            write_atomically(arguments.out / name, content)
    for line in [document_text(document)] if arguments.json else multiverse_lines(document):
        emit(line)
    say(f"{len(result.universes)} universes in {result.seconds:.0f} s; logged as run {run_id}")
    return DONE


def _show_plan(plan: MultiversePlan) -> int:
    """Show what would be run, and what has to be extracted first."""
    for line in plan.lines():
        emit(line)
    say("dry run: nothing was fitted or logged")
    return DONE
