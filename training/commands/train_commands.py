"""`krp train`: all models of an experiment, judged, logged and, if one was named before fitting, registered."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.exit_codes import DONE
from predictor.store_address import add_store
from predictor.visit_options import add_jobs
from training.commands.experiment_options import add_experiment
from training.commands.quick_commands import without_collection
from training.commands.worker_options import add_workers, workers_of

if TYPE_CHECKING:
    from training.config import ExperimentConfig


def add_train(subparsers: Subparsers[Any]) -> None:
    """Add `krp train` to the command line."""
    parser = add_command(
        subparsers,
        "train",
        help="train and judge all models of an experiment file, and register the primary one",
        description=(
            "Cross-validates the experiment's models and baselines on the same folds, tests the primary model against "
            "permuted outcomes, tells benefit of the treatment from prognosis, proves that held-out people do not "
            "reach the fit, logs everything in MLflow, and registers the primary model as a candidate. Only "
            "`krp promote` makes it champion. Where models compete, p is of the best of them; nothing is registered."
        ),
        examples=(
            "krp train experiments/baseline_prediction.toml",
            "krp train my_experiment.toml --set cohort.features=features/features.tsv --dry-run",
            "krp train my_experiment.toml --bundle bundle --store postgresql://krp@db.example.org/mlflow",
        ),
        exit_codes={DONE: "done; whether the model is any good is said by the numbers, not by the code"},
        if_interrupted="what was computed is lost, its run is marked KILLED; the same command starts anew",
    )
    add_experiment(parser, help="for example experiments/*.toml")
    add_jobs(parser)
    add_workers(parser)
    add_store(parser, default=None, otherwise="[tracking] store of the file")
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="also write the primary model to this new folder, for krp serve --bundle",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show people, features, folds, models, what could leak, and the expected time; fit one fold of each "
        "model to tell, log nothing",
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
        from training.workers import open_workers

    if arguments.bundle and (arguments.bundle.exists() or not arguments.bundle.parent.is_dir()):
        raise UsageError("expected a new folder for the bundle, in a folder that exists.", where="--bundle")
    workers = workers_of(arguments)
    config = read_experiment(arguments.experiment, overrides=arguments.overrides)
    if arguments.bundle and config.model.is_competition:
        raise UsageError("models compete, so there is no bundle to write.", where="--bundle")
    if arguments.store:
        config = replace(config, tracking=replace(config.tracking, store=arguments.store))
    if arguments.dry_run:
        return _show_plan(config, n_jobs=None if arguments.jobs == -1 else arguments.jobs)
    with open_workers(workers) as n_jobs:
        result = run_experiment(config, n_jobs=None if n_jobs == -1 else n_jobs)
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
    return DONE


def _show_plan(config: ExperimentConfig, *, n_jobs: int | None) -> int:
    from training.training_plan import plan_training

    for line in plan_training(config, n_jobs=n_jobs).lines():
        emit(line)
    say("dry run: nothing was logged or registered")
    return DONE
