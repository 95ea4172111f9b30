"""`krp card`: what a reader must know about a model before using its numbers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import BundleIncompatibleError, UsageError
from predictor.exit_codes import DONE
from predictor.store_address import add_store

if TYPE_CHECKING:
    from predictor.model.bundle import ModelBundle


def add_card(subparsers: Subparsers[Any]) -> None:
    """Add `card`."""
    parser = add_command(
        subparsers,
        "card",
        help="print a model's card, or its TRIPOD+AI table",
        description=(
            "Print the model card of a registered model or of a bundle folder, which is verified first; with --tripod "
            "its TRIPOD+AI table. Of a registered model it also says which aliases it has, what the promotion gate "
            "said, and how often its locked test was opened. What nobody said stands there as a gap; [report] of the "
            "experiment file fills it."
        ),
        examples=(
            "krp card ketamine-response/champion",
            "krp card --bundle demo/bundle --tripod > tripod_ai.md",
            "krp card pain-sensitivity/1 --json",
        ),
    )
    parser.add_argument(
        "model", nargs="?", metavar="MODEL/VERSION", help="e.g. ketamine-response/1 or ketamine-response/candidate"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder, in place of MODEL/VERSION")
    parser.add_argument("--tripod", action="store_true", help="print the TRIPOD+AI table instead of the card")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    add_store(parser)
    parser.set_defaults(run=run_card)


def run_card(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    from training.report.model_card import absent_entries

    if (arguments.model is None) == (arguments.bundle is None):
        raise UsageError("expected either MODEL/VERSION or --bundle DIR.")
    bundle, standing = _of_folder(arguments.bundle) if arguments.bundle else _of_store(arguments)
    emit(_tripod(bundle, as_json=arguments.json) if arguments.tripod else _card(bundle, standing, arguments.json))
    absent = absent_entries(bundle.card)
    if absent:
        say(f"the card lacks {', '.join(absent)}: a bundle from before these were written, or made by hand")
    return DONE


def _of_folder(folder: Path) -> tuple[ModelBundle, Mapping[str, Any]]:
    from predictor.model.bundle import load_bundle
    from training.shelf.version_standing import standing_of_folder

    bundle = load_bundle(folder)
    return bundle, standing_of_folder(bundle, folder)


def _of_store(arguments: argparse.Namespace) -> tuple[ModelBundle, Mapping[str, Any]]:
    from training.log_book.tracking import open_store
    from training.shelf.registry import fetch_verified, resolve
    from training.shelf.version_standing import standing_in_store

    store = open_store(arguments.store, must_exist=True)
    name, version = resolve(arguments.model, store=store)
    found = fetch_verified(name, version, store=store)
    return found.bundle, standing_in_store(found, store=store)


def _card(bundle: ModelBundle, standing: Mapping[str, Any], as_json: bool) -> str:
    from training.report.card_markdown import card_markdown, standing_markdown

    if as_json:
        return _json({**bundle.card, **({"standing": dict(standing)} if standing else {})})
    try:
        text = bundle.card_text or card_markdown(bundle.card)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BundleIncompatibleError("expected a model card, found other entries than a card has.") from error
    return f"{text}\n{standing_markdown(standing)}" if standing else text


def _tripod(bundle: ModelBundle, *, as_json: bool) -> str:
    if not bundle.tripod_ai:
        raise UsageError(
            "expected a bundle with a TRIPOD+AI table, found one from before there were such tables.",
            remedy="Train the model again; `krp card` without --tripod shows its card.",
        )
    return _json([dict(row) for row in bundle.tripod_ai]) if as_json else bundle.tripod_ai_text


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
