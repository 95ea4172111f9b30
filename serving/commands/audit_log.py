"""`krp audit-log`: show the audit log, and prove that it is as it was written."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import AuditLogBrokenError, UsageError
from predictor.exit_codes import DONE, REFUSED
from serving.commands.opened_database import add_database_url, opened_database

if TYPE_CHECKING:
    from serving.store.audit_entry import AuditEntry

N_SHOWN = 20


def add_audit_log(subparsers: Subparsers[Any]) -> None:
    """Add `audit-log` to the command line."""
    parser = add_command(
        subparsers,
        "audit-log",
        help="show the audit log, and prove that it is as it was written",
        description=(
            "The audit log of the service: who asked what and when, as digests, each entry sealed by the hash of the "
            "one before. It never holds names, values or file names."
        ),
        examples=("krp audit-log verify", "krp audit-log show --limit 5"),
        exit_codes={REFUSED: "verify: an entry is not as it was written; the first one is named"},
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True, help="what to do with the log"
    )
    verify = add_command(
        actions,
        "verify",
        help="read the whole chain and name the first entry that was changed, dropped or inserted",
        description=(
            "Reads the whole chain. Who can write to the database could also cut the chain and seal it anew: note the "
            "anchor shown at the end in a place of its own, such as another machine's log, and hand it in with "
            "--expect next time."
        ),
        examples=("krp audit-log verify", "krp audit-log verify --expect sha256:0c1f...:1042"),
        exit_codes={DONE: "intact", REFUSED: "an entry is not as it was written; the first one is named"},
    )
    verify.add_argument(
        "--expect", metavar="HASH:SEQ", help="anchor of an earlier verification; the chain must still hold that entry"
    )
    show = add_command(
        actions,
        "show",
        help="print entries, the newest ones by default",
        description="Prints who asked what and when, one entry per line, in the order in which they were written.",
        examples=("krp audit-log show", "krp audit-log show --after 1000 --limit 100 --json"),
    )
    show.add_argument("--after", type=int, metavar="SEQ", help="entries beyond this number instead, the oldest first")
    show.add_argument("--limit", type=int, default=N_SHOWN, metavar="N", help="at most N entries")
    for action, run in ((verify, verify_log), (show, show_log)):
        add_database_url(action)
        action.add_argument("--json", action="store_true", help="print JSON; `show` prints one entry per line")
        action.set_defaults(run=run)


def verify_log(arguments: argparse.Namespace) -> int:
    """Read the whole chain; the exit code says whether it is intact."""
    from serving.store.chain_report import read_anchor

    expected = read_anchor(arguments.expect) if arguments.expect else None
    with opened_database(arguments, must_exist=True) as (_, chain):
        report = chain.verify(expected=expected)
    if arguments.json:
        emit(json.dumps(report.document()))
    if not report.is_intact:
        raise AuditLogBrokenError(report.reason, where=f"entry {report.first_broken}")
    if not arguments.json:
        emit(f"intact: {report.n_entries} entries")
        emit(f"anchor: {report.anchor}")
    return DONE


def show_log(arguments: argparse.Namespace) -> int:
    """Print entries in their order."""
    if arguments.limit < 1 or (arguments.after is not None and arguments.after < 0):
        raise UsageError("expected --limit of at least 1 and --after of at least 0.", where="--limit, --after")
    with opened_database(arguments, must_exist=True) as (_, chain):
        after = arguments.after
        if after is None:
            after = max(0, chain.head().sequence - arguments.limit)
        found = chain.entries(after=after, limit=arguments.limit)
    for entry in found:
        emit(json.dumps(entry._asdict()) if arguments.json else _line(entry))
    if not found:
        say("no entries")
    return DONE


def _line(entry: AuditEntry) -> str:
    row = f" row {entry.row}" if entry.row is not None else ""
    digests = {"model": entry.model_digest, "input": entry.input_digest, "output": entry.output_digest}
    short = [f"{name} {digest.removeprefix('sha256:')[:12]}" for name, digest in digests.items() if digest]
    return "  ".join([f"{entry.sequence:>8}", entry.recorded, entry.owner, f"{entry.action}{row}", *short])
