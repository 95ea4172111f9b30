"""`krp train`: all models of an experiment, judged, logged and, if one was named before fitting, registered."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.store_address import add_store
from training.commands.cohort_commands import add_jobs
from training.commands.quick_commands import without_collection


def add_train(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `krp train` to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train and judge all models of an experiment file, and register the primary one",
        description=(
            "Cross-validates the experiment's models and baselines on the same folds, tests the primary model against "
            "permuted outcomes, tells benefit of the treatment from prognosis, proves that held-out people do not "
            "reach the fit, logs everything in MLflow, and registers the primary model as a candidate. Only "
            "`krp promote` makes it champion. Where models compete, p is of the best of them; nothing is registered."
        ),
    )
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.toml", help="for example experiments/*.toml")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="replace one value of the file, e.g. --set cohort.features=out/features.tsv; may be given several times",
    )  # fmt: skip
    add_jobs(parser)
    add_store(parser, default=None, otherwise="[tracking] store of the file")
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="also write the primary model to this new folder, for krp serve --bundle",
    )
    parser.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    # Imported here, so that `krp --help` does not wait for mlflow and scikit-learn.
    with without_collection():
        from predictor.model.bundle import save_bundle
        from training.config import read_experiment
        from training.experiment import run_experiment
        from training.report.coefficient_lines import coefficient_lines
        from training.report.result_table import result_lines

    if arguments.bundle and (arguments.bundle.exists() or not arguments.bundle.parent.is_dir()):
        raise UsageError("expected a new folder for the bundle, in a folder that exists.", where="--bundle")
    config = read_experiment(arguments.experiment, overrides=arguments.overrides)
    if arguments.bundle and config.model.is_competition:
        raise UsageError("models compete, so there is no bundle to write.", where="--bundle")
    if arguments.store:
        config = replace(config, tracking=replace(config.tracking, store=arguments.store))
    result = run_experiment(config, n_jobs=None if arguments.jobs == -1 else arguments.jobs)
    for line in result_lines(result):
        emit(line)
    if result.bundle and config.features.names:  # a few measures that were named before looking
        for line in coefficient_lines(result.bundle):
            emit(f"  {line}")
    if arguments.bundle and result.bundle:
        save_bundle(result.bundle, arguments.bundle)
    registered = result.registered
    following = f"; next: krp promote {registered.name}/{registered.version}" if registered else ""
    say(f"trained in {result.seconds:.0f} s{following}")
    return 0
