"""`krp change`: the difference of two visits as a feature table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.exit_codes import DONE


def add_change(subparsers: Subparsers[Any]) -> None:
    """Add `krp change` to the command line."""
    parser = add_command(
        subparsers,
        "change",
        help="subtract the features of a baseline visit from those of a follow-up visit, for analyses",
        description=(
            "Reads two folders that `krp extract` wrote, one per session, and writes follow-up minus baseline of "
            "everyone who has both. Models of changes need the scan after treatment: they are analyses, never "
            "predictors, and the promotion gate refuses them."
        ),
        examples=(
            "krp change features-baseline features-followup changes",
            "krp change features-baseline features-followup changes --scale madrs_total --participants people.tsv",
        ),
    )
    parser.add_argument("baseline", type=Path, metavar="BASELINE", help="features of the baseline session")
    parser.add_argument("followup", type=Path, metavar="FOLLOWUP", help="features of the follow-up session")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the change scores")
    parser.add_argument("--participants", type=Path, metavar="TSV", help="participants.tsv, for --scale")
    parser.add_argument(
        "--scale", action="append", default=[], metavar="NAME",
        help="also the change of a clinical scale with columns NAME_baseline and NAME_followup, e.g. madrs_total; "
        "may be given several times",
    )  # fmt: skip
    parser.set_defaults(run=_change)


def _change(arguments: argparse.Namespace) -> int:
    from predictor.errors import UsageError
    from training.cohort.change_scores import change_scores, with_scale_change, write_change_scores
    from training.cohort.participants import read_participants
    from training.extraction.feature_table import TABLE_FILE, read_feature_table

    if arguments.scale and arguments.participants is None:
        raise UsageError("a scale stands in participants.tsv; name it with --participants.", where="--scale")
    tables = (read_feature_table(folder / TABLE_FILE) for folder in (arguments.baseline, arguments.followup))
    changes = change_scores(*tables)
    if arguments.scale:
        participants = read_participants(arguments.participants)
        for scale in arguments.scale:
            changes = with_scale_change(changes, participants, scale, unit="points")
    write_change_scores(changes, arguments.out)
    for person, reason in changes.left_out.items():
        say(f"left out: {person}, {reason}")
    emit(f"{len(changes.values)} participants with both visits, {len(changes.definitions)} changes")
    return DONE
