"""Arguments of every command that reads an experiment file."""

from __future__ import annotations

import argparse
from pathlib import Path

from predictor.command_parser import CommandParser


def add_experiment(parser: argparse.ArgumentParser, *, help: str, nargs: str | None = None) -> None:
    """Add the experiment file, and the option that replaces single values of it."""
    parser.add_argument("experiment", type=Path, nargs=nargs, metavar="EXPERIMENT.toml", help=help)
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="replace one value of the file, e.g. --set cohort.features=out/features.tsv; may be given several times",
    )
    if isinstance(parser, CommandParser):
        parser.hint_for = _setting_hint


def _setting_hint(option: str, value: str, *, is_near: bool) -> str:
    from training.setting_names import hint_for  # only for an error

    return hint_for(option, value, is_near=is_near)
