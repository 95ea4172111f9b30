"""The command `krp check`."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, progress
from predictor.exit_codes import DONE, INVALID_INPUT, SOME_FAILED
from predictor.record_card import counted
from training.commands.cohort_commands import (
    add_cohort_options,
    derivatives_recipe,
    find_table_cohort,
    kind_of_cohort,
)

if TYPE_CHECKING:
    from predictor.scan.finding import Finding
    from predictor.scan.tree_check import TreeCheck

Visit = TypeVar("Visit")

_TITLES: Final = {
    "unusable": "Cannot be used",
    "missing": "Features will be missing",
    "flag": "Look at these",
    "note": "Good to know",
}
_SHOWN_PEOPLE, _NARROWEST, _WIDEST = 12, 80, 140


def add_check(subparsers: Subparsers[Any]) -> None:
    """Add `check`."""
    parser = add_command(
        subparsers,
        "check",
        help="everything wrong with a tree, before computing",
        description=(
            "List everything wrong with fMRIPrep outputs or region tables before anything is computed: files that are "
            "absent, damaged or do not fit each other, events and conditions, motion, spaces, sessions. Scans are read "
            "as far as their headers."
        ),
        examples=(
            "krp check derivatives/fmriprep --bids-dir raw",
            "krp check study --session baseline --json > problems.json",
            "krp check xcp_d --atlas 4S156Parcels",
        ),
        exit_codes={
            DONE: "every visit can be used",
            SOME_FAILED: "some visits cannot be used",
            INVALID_INPUT: "no visit can be used, or the input is invalid",
        },
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="fMRIPrep outputs, or region time-series tables")
    add_cohort_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """Check the folder, show what was found, and return the exit code."""
    checked = _checked(arguments)
    if arguments.json:
        emit(json.dumps(checked.document(), indent=2, ensure_ascii=False))
    else:
        width = min(max(shutil.get_terminal_size((100, 0)).columns, _NARROWEST), _WIDEST)
        emit("\n".join(check_lines(checked, width=width)))
    if not checked.usable:
        return INVALID_INPUT
    return SOME_FAILED if checked.unusable else DONE


def check_lines(checked: TreeCheck, *, width: int) -> Iterator[str]:
    """Yield the table: one block per severity, what several visits share once."""
    for severity, found in groupby(checked.findings, key=lambda finding: finding.severity):
        yield _TITLES[severity]
        by_fault: dict[tuple[str, ...], list[Finding]] = {}
        for finding in found:
            by_fault.setdefault((finding.code, finding.where, finding.message), []).append(finding)
        for same in by_fault.values():
            yield from _row(same, width)
        yield ""
    yield (
        f"{counted(len(checked.participant_ids), 'visit')}: {len(checked.usable)} can be used, "
        f"{len(checked.unusable)} cannot; {_n_people(checked, 'missing')} will lack features, "
        f"{_n_people(checked, 'flag')} need a look"
    )


def _checked(arguments: argparse.Namespace) -> TreeCheck:
    """Check scans or region tables, whichever the folder holds."""
    from predictor.features.run_trial import check_rules
    from predictor.scan.tree_check import check_tree
    from training.cohort.table_check import check_tables

    reader = kind_of_cohort(arguments)
    if reader == "timeseries":
        visits, recipe = find_table_cohort(arguments)
        is_everyone = arguments.participant_label is None
        return check_tables(visits, recipe, arguments.dir, is_everyone=is_everyone, watch=_watched)
    return check_tree(
        arguments.dir,
        check_rules(derivatives_recipe(arguments)),
        bids_dir=arguments.bids_dir,
        participant_labels=arguments.participant_label,
        session_label=arguments.session,
        watch=_watched,
    )


def _watched(visits: Sequence[Visit]) -> Iterable[Visit]:
    return progress(visits, total=len(visits), label="Check visits")


def _row(same: Sequence[Finding], width: int) -> Iterator[str]:
    """Yield one fault: who, where, what, and what to do."""
    first = same[0]
    people = list(dict.fromkeys(finding.participant_id for finding in same if finding.participant_id))
    who = "" if not people else people[0] if len(people) == 1 else f"{len(people)} visits"
    text = [first.message]
    if len(people) > 1:
        more = f" and {len(people) - _SHOWN_PEOPLE} more" if len(people) > _SHOWN_PEOPLE else ""
        text.append(f"In {', '.join(people[:_SHOWN_PEOPLE])}{more}.")
    if first.remedy:
        text.append(f"-> {first.remedy}")
    text.append(f"[{first.code}]")
    head = f"  {who:<12}  {first.where:<18}  "
    # A long place gets a line of its own.
    lines = [line for part in text for line in textwrap.wrap(part, width - 36, break_on_hyphens=False)]
    if len(head) > 36:
        yield head.rstrip()
        head = " " * 36
    yield (head + lines[0]).rstrip()
    yield from (" " * 36 + line for line in lines[1:])


def _n_people(checked: TreeCheck, severity: str) -> int:
    found = {finding.participant_id for finding in checked.findings if finding.severity == severity}
    return len(found & set(checked.usable))
