"""`krp compare`: experiments side by side."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import ConfigError, UsageError
from predictor.exit_codes import DONE, INVALID_INPUT
from predictor.store_address import add_store
from training.commands.quick_commands import without_collection

if TYPE_CHECKING:
    from training.log_book.logged_run import RunSource

FIGURES = (".svg", ".html")


def add_compare(subparsers: Subparsers[Any]) -> None:
    """Add `krp compare` to the command line."""
    parser = add_command(
        subparsers,
        "compare",
        help="show experiments side by side: people, folds, R2, baselines, gate",
        description=(
            "Reads the latest finished run of each experiment from the log book and prints outcome, people, folds, R2 "
            "with its interval, p, MAE, the best baseline, the gain over it, the gate's decision and the version. "
            "Experiments that share a letter were judged on the same people and folds; only those can be compared."
        ),
        examples=(
            "krp compare",
            "krp compare baseline-prediction experiments/deviation_prediction.toml --figure compare.svg",
            "krp compare --all-runs --json > runs.json",
        ),
        exit_codes={INVALID_INPUT: "no such experiment, none finished, or input invalid"},
    )
    parser.add_argument(
        "experiments",
        nargs="*",
        metavar="EXPERIMENT",
        help="name of an experiment, or its file (default: all of the store)",
    )
    add_store(parser)
    parser.add_argument("--all-runs", action="store_true", help="all finished runs, not only the latest of each")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--figure", type=Path, metavar="OUT.svg|.html", help="also draw a forest figure to this file")
    parser.set_defaults(run=_compare)


@without_collection()
def _compare(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for it.
    from training.log_book.compare import compare_experiments
    from training.log_book.document_text import document_text

    figure: Path | None = arguments.figure
    if figure and figure.suffix not in FIGURES:
        raise UsageError(f"expected a file that ends in {' or '.join(FIGURES)}.", where="--figure")
    names = [_name(given) for given in arguments.experiments]
    comparison = compare_experiments(_log_book(arguments.store), names=names, all_runs=arguments.all_runs)
    document = comparison.document()
    if figure:
        from training.output_files import write_atomically
        from training.report.forest_figure import comparison_page, forest_figure

        drawn = forest_figure(document) if figure.suffix == ".svg" else comparison_page(document, *comparison.table())
        write_atomically(figure, drawn)
        say(f"figure: {figure.name}")
    for line in [document_text(document)] if arguments.json else comparison.lines():
        emit(line)
    return DONE


def _log_book(where: str) -> RunSource:
    """Open the log book, without MLflow where it lies in a file that can be read without."""
    from training.log_book.run_tables import RunTables

    if tables := RunTables.of(where):
        return tables
    from training.log_book.tracking import open_store

    return open_store(where, must_exist=True)


def _name(given: str) -> str:
    """Return the name of an experiment: as given, or as its file says."""
    if not given.endswith(".toml"):
        return given
    try:
        return str(tomllib.loads(Path(given).read_text(encoding="utf-8"))["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigError("the experiment file cannot be read, or has no name.", where=Path(given).name) from error
