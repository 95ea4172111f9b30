"""`krp compare`: experiments side by side."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from predictor.console import emit, say
from predictor.errors import ConfigError, UsageError
from predictor.store_address import add_store
from training.commands.quick_commands import without_collection

FIGURES = (".svg", ".html")


def add_compare(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `krp compare` to the command line."""
    parser = subparsers.add_parser(
        "compare",
        help="show experiments side by side: people, folds, R2, baselines, gate",
        description=(
            "Reads the latest finished run of each experiment from the log book and prints outcome, people, folds, R2 "
            "with its interval, p, MAE, the best baseline, the gain over it, the gate's decision and the version. "
            "Experiments that share a letter were judged on the same people and folds; only those can be compared."
        ),
        epilog="Exit codes: 0 done, 2 wrong use, 3 no such experiment, or none finished.",
    )
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="name of an experiment, or its file (all of the store)"
    )
    add_store(parser)
    parser.add_argument("--all-runs", action="store_true", help="all finished runs, not only the latest of each")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--figure", type=Path, metavar="OUT.svg|.html", help="also draw a forest figure to this file")
    parser.set_defaults(run=_compare)


@without_collection()
def _compare(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow.
    from training.log_book.compare import compare_experiments
    from training.log_book.tracking import document_text, open_store
    from training.output_files import write_atomically
    from training.report.forest_figure import comparison_page, forest_figure

    figure: Path | None = arguments.figure
    if figure and figure.suffix not in FIGURES:
        raise UsageError(f"expected a file that ends in {' or '.join(FIGURES)}.", where="--figure")
    names = [_name(given) for given in arguments.experiments]
    store = open_store(arguments.store, must_exist=True)
    comparison = compare_experiments(store, names=names, all_runs=arguments.all_runs)
    document = comparison.document()
    if figure:
        drawn = forest_figure(document) if figure.suffix == ".svg" else comparison_page(document, *comparison.table())
        write_atomically(figure, drawn)
        say(f"figure: {figure.name}")
    for line in [document_text(document)] if arguments.json else comparison.lines():
        emit(line)
    return 0


def _name(given: str) -> str:
    """Return the name of an experiment: as given, or as its file says."""
    if not given.endswith(".toml"):
        return given
    try:
        return str(tomllib.loads(Path(given).read_text(encoding="utf-8"))["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigError("the experiment file cannot be read, or has no name.", where=Path(given).name) from error
