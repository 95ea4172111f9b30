"""`krp evaluate`: a locked model on people whom no step of its training has seen, once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.exit_codes import DONE, REFUSED
from predictor.store_address import DEFAULT_STORE, add_store

if TYPE_CHECKING:
    from predictor.model.bundle import ModelBundle
    from training.config import CohortConfig
    from training.locked.openings import OpeningLog
    from training.log_book.tracking import Store


def add_evaluate(subparsers: Subparsers[Any]) -> None:
    """Add `evaluate`."""
    parser = add_command(
        subparsers,
        "evaluate",
        help="test a locked model once on a new cohort",
        description=(
            "Scores a locked model on a new cohort with the function that the service uses, and holds the answers "
            "against the outcomes: once. The opening is written down before any number is seen; another look needs "
            "--again and is counted. MODEL is MODEL/VERSION or MODEL/alias of a store; or name a bundle folder with "
            "--bundle. COHORT is an experiment file, whose [cohort] and [outcome] are read; or name --features and "
            "--participants. Only aggregates are shown and written."
        ),
        examples=(
            "krp evaluate pain-sensitivity/1 experiments/rpn_bochum.toml --include site=essen --report essen.html",
            "krp evaluate ketamine-response/champion --features new/features.tsv --participants new/participants.tsv",
            "krp evaluate --bundle demo/bundle experiments/new_cohort.toml --json",
        ),
        exit_codes={
            REFUSED: "people of the training are among the new ones, the model was opened before, or too few answers"
        },
    )
    parser.add_argument(
        "model", nargs="*", metavar="MODEL COHORT", help="model (unless --bundle), then experiment file"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder, in place of MODEL")
    parser.add_argument("--features", type=Path, metavar="TSV", help="features.tsv of the new people")
    parser.add_argument("--participants", type=Path, metavar="TSV", help="participants.tsv of the new people")
    parser.add_argument(
        "--include", action="append", default=[], metavar="COLUMN=VALUE",
        help="only these people; replaces [cohort] include of the file; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--exclude-missing-outcome", action="store_true", help="leave people without an outcome out, on purpose"
    )
    parser.add_argument("--name", metavar="TEXT", help="what to call the cohort")
    add_store(parser, default=None)
    parser.add_argument("--again", action="store_true", help="open a model that was opened before; this is counted")
    parser.add_argument(
        "--other-study",
        action="store_true",
        help="participant ids were given apart from those of the training: equal ids are not equal people",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page: FILE.html, or FILE.md")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the result as JSON")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from training.locked.locked_cohort import read_locked_cohort
    from training.locked.locked_test import run_locked_test
    from training.log_book.tracking import document_text
    from training.output_files import write_atomically
    from training.report.locked_test_page import locked_test_markdown, locked_test_page

    model, experiment = _named(arguments)
    _check_outputs(arguments)
    bundle, openings, label, trained_on = _model(arguments, model)
    cohort_config, name = _cohort(arguments, experiment, bundle)
    cohort = read_locked_cohort(cohort_config, bundle, name=name)
    document = run_locked_test(
        bundle,
        cohort,
        openings,
        label=label,
        trained_on=trained_on,
        is_other_study=arguments.other_study,
        again=arguments.again,
        is_synthetic=is_synthetic_cohort(cohort_config, name),
    )
    if arguments.out:
        write_atomically(arguments.out, document_text(document))
    if arguments.report:
        write = locked_test_markdown if arguments.report.suffix == ".md" else locked_test_page
        write_atomically(arguments.report, write(document))
    if arguments.json:
        emit(document_text(document))
    else:
        emit("\n".join(result_lines(document)))
    say(f"opening {document['opening']['number']} of {label} is written down")
    return DONE


def result_lines(document: dict[str, Any]) -> list[str]:
    """Lines for the screen."""
    cohort, coverage = document["cohort"], document["coverage"]
    lines = ["Research use only." + (" Synthetic data." if document["is_synthetic"] else ""), document["headline"]]
    for one in document["models"]:
        metrics, text = one["metrics"], ""
        for label, name in (("R2", "r2"), ("MAE", "mae"), ("r", "pearson_r")):
            interval = metrics[f"{name}_interval"]
            if metrics[name] is not None and interval:
                text += f"  {label} {metrics[name]:.3f} [{interval['lower']:.2f}, {interval['upper']:.2f}]"
        lines.append(f"  {one['name']:<16}{text}")
    lines += [f"  {one['name']:<16}  not possible: {one['reason']}" for one in document["baselines_left_out"]]
    lines.append(
        f"  {coverage['promised']:.0%} intervals hold {coverage['overall']['share']:.0%} of the outcomes; "
        f"{cohort['n_flagged']} people flagged, {cohort['n_refused']} refused, {cohort['n_unusable']} without features"
    )
    features = document["drift"]["features"]
    lines.append(f"  drift: {features['n_shifted']} of {features['n_tested']} inputs tested are distributed otherwise")
    for name, one in document["drift"]["performance"].items():
        interval = one["difference_interval"]
        lines.append(
            f"  {name}: {one['in_training']:.3f} cross-validated, {one['here']:.3f} here, difference "
            f"{one['difference']:+.3f} [{interval['lower']:+.2f}, {interval['upper']:+.2f}]"
        )
    return lines + [f"  {line}" for line in document["limits"]]


def is_synthetic_cohort(config: CohortConfig, name: str) -> bool:
    """Whether the cohort says that it was simulated."""
    return "synthetic" in name.lower() or (Path(config.participants).parent / "planted_truth.json").is_file()


def _named(arguments: argparse.Namespace) -> tuple[str | None, Path | None]:
    """Tell model and experiment file apart by what else was named."""
    given = list(arguments.model)
    model = None if arguments.bundle else given.pop(0) if given else None
    experiment = Path(given.pop(0)) if given else None
    if given or (model is None and arguments.bundle is None):
        raise UsageError("expected MODEL COHORT, or --bundle DIR COHORT.", where="krp evaluate")
    has_tables = arguments.features is not None and arguments.participants is not None
    if experiment is None and not has_tables:
        raise UsageError(
            "expected an experiment file, or --features and --participants.",
            where="krp evaluate",
            remedy="For example: krp evaluate pain-sensitivity/1 experiments/rpn_bochum.toml --include site=essen",
        )
    return model, experiment


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse what could not be written now, not after the model was opened."""
    for option, path in (("--report", arguments.report), ("--out", arguments.out)):
        if path and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError("expected a file in a folder that exists.", where=option)
    if arguments.report and arguments.report.suffix not in (".html", ".md"):
        raise UsageError("expected FILE.html or FILE.md.", where="--report")


def _model(
    arguments: argparse.Namespace, model: str | None
) -> tuple[ModelBundle, OpeningLog, str, frozenset[str] | None]:
    """Return the bundle, where its openings stand, what to call it, and who trained it."""
    from predictor.model.bundle import load_bundle
    from training.locked.openings import FileOpenings, RegistryOpenings
    from training.log_book.tracking import open_store
    from training.shelf.registry import fetch_verified, resolve

    if arguments.bundle is None:
        store = open_store(arguments.store or DEFAULT_STORE, must_exist=True)
        name, version = resolve(str(model), store=store)
    else:
        bundle = load_bundle(arguments.bundle)
        known = _version_of(bundle, arguments.store)
        if known is None:
            say("the bundle is in no store named here: training ids are not known, openings stand beside the folder")
            return bundle, FileOpenings.beside(arguments.bundle), bundle.name, None
        store, name, version = known
    found = fetch_verified(name, version, store=store)
    log = RegistryOpenings(store, found.name, found.version)
    return found.bundle, log, f"{found.name}/{found.version}", _training_people(store, found.run_id)


def _version_of(bundle: ModelBundle, address: str | None) -> tuple[Store, str, str] | None:
    """Return the store that was named and the version under which it holds this bundle, None if there is none."""
    from training.log_book.tracking import open_store

    if address is None:
        return None
    store = open_store(address, must_exist=True)
    found = store.client.search_model_versions(f"tags.bundle_digest = '{bundle.digest}'")
    return (store, found[0].name, str(found[0].version)) if found else None


def _training_people(store: Store, run_id: str) -> frozenset[str] | None:
    """Return the ids of the split manifest, None if the store has lost it."""
    from training.log_book.tracking import read_text

    text = read_text(store, run_id, "splits.tsv") if run_id else None
    lines = (text or "").splitlines()
    if not lines or lines[0].split("\t")[0] != "participant_id":
        return None
    return frozenset(line.split("\t")[0] for line in lines[1:])


def _cohort(arguments: argparse.Namespace, experiment: Path | None, bundle: ModelBundle) -> tuple[CohortConfig, str]:
    """Return where the new people stand, with what the command line changes, and what to call them."""
    from dataclasses import replace

    from training.config import CohortConfig, read_experiment
    from training.locked.locked_cohort import check_outcome

    if experiment is None:
        config, name = CohortConfig(str(arguments.features), str(arguments.participants)), ""
    else:
        read = read_experiment(experiment)
        check_outcome(read.outcome, bundle.outcome)
        config = read.cohort
        name = config.name or read.name
    changes: dict[str, Any] = {
        key: str(path)
        for key, path in (("features", arguments.features), ("participants", arguments.participants))
        if path
    }
    include = _filters(arguments.include)
    if include:
        changes["include"] = include
    if arguments.exclude_missing_outcome:
        changes["exclude_missing_outcome"] = True
    # The file's name is of the people whom it includes, not of others.
    is_other = bool(include or arguments.participants)
    chosen = ", ".join(arguments.include) if is_other else name
    return replace(config, **changes), arguments.name or chosen or "new cohort"


def _filters(pairs: list[str]) -> dict[str, object]:
    found: dict[str, list[str]] = {}
    for pair in pairs:
        column, separator, value = pair.partition("=")
        if not (separator and column and value):
            raise UsageError(f"expected --include COLUMN=VALUE, found {pair[:80]}.", where="--include")
        found.setdefault(column, []).append(value)
    return dict(found)
