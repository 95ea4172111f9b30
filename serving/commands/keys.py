"""`krp keys`: make, list and revoke access keys."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from predictor.command_parser import Subparsers, add_command
from predictor.console import emit, say
from predictor.errors import UsageError
from predictor.exit_codes import DONE
from serving.access.principal import Scope
from serving.commands.opened_database import add_database_url, opened_database

if TYPE_CHECKING:
    from serving.access.api_keys import ApiKey, ApiKeys
    from serving.store.audit_chain import AuditChain
    from serving.store.database import Database

DEFAULT_DAYS = 365
MAX_DAYS = 3_650
MAX_NAME_CHARACTERS = 100


def add_keys(subparsers: Subparsers[Any]) -> None:
    """Add `keys` to the command line."""
    parser = add_command(
        subparsers,
        "keys",
        help="make, list and revoke access keys",
        description=(
            "Access keys of the service. As soon as the first one is made, it answers nobody without a key, and that "
            "stays so when keys expire. A running service notices within 5 seconds, also that a key was revoked."
        ),
        examples=("krp keys create imaging-group", "krp keys list", "krp keys revoke ID"),
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True, help="what to do with keys"
    )
    for action in (_add_create(actions), _add_list(actions), _add_revoke(actions)):
        add_database_url(action)
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_create(actions: Subparsers[Any]) -> argparse.ArgumentParser:
    create = add_command(
        actions,
        "create",
        help="make a key; it is shown once and kept as a hash only",
        description="Makes a key and prints it to standard output, this once; only its hash is kept.",
        examples=(
            "krp keys create imaging-group",
            "krp keys create auditor --scopes admin --days 30",
            "krp keys create pipeline --scopes score --never-expires --json",
        ),
    )
    create.add_argument("name", metavar="NAME", help="a note for you, such as the program or the group that gets it")
    create.add_argument(
        "--scopes",
        default="score,read",
        metavar="LIST",
        help="of score (send visits), read (see kept results), admin (read the audit log)",
    )
    create.add_argument("--days", type=int, metavar="N", help=f"how long it is valid (default: {DEFAULT_DAYS})")
    create.add_argument("--never-expires", action="store_true", help="valid until it is revoked")
    create.set_defaults(run=create_key)
    return create


def _add_list(actions: Subparsers[Any]) -> argparse.ArgumentParser:
    listing = add_command(
        actions,
        "list",
        help="show every key that was ever made; never the keys themselves",
        description="Shows id, state, scopes, dates and note of every key that was ever made; never a key itself.",
        examples=("krp keys list", "krp keys list --json"),
    )
    listing.set_defaults(run=list_keys)
    return listing


def _add_revoke(actions: Subparsers[Any]) -> argparse.ArgumentParser:
    revoke = add_command(
        actions,
        "revoke",
        help="let nobody in with a key any more",
        description="Revokes a key; a running service turns it away within 5 seconds.",
        examples=("krp keys revoke ID",),
    )
    revoke.add_argument("id", metavar="ID", help="the key's id, from `krp keys list`")
    revoke.set_defaults(run=revoke_key)
    return revoke


def create_key(arguments: argparse.Namespace) -> int:
    """Make a key and show it, this once."""
    scopes, valid_for = _scopes_of(arguments.scopes), _duration_of(arguments)
    name = arguments.name.strip()
    if not name.isprintable() or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise UsageError(f"expected a note of 1 to {MAX_NAME_CHARACTERS} printable characters.", where="NAME")
    with opened_database(arguments, must_exist=False) as (database, audit):
        key, secret = _keys_of(database).create(name, scopes=scopes, valid_for=valid_for)
        _note(audit, key, "key-created")  # before it is shown: a key without its entry is of use to nobody
    if arguments.json:
        emit(json.dumps({**_document(key), "key": secret}))
        return DONE
    say(f"Made     {key.id} for {', '.join(sorted(scopes))}, {_end_of(key)}.")
    say("Copy it now: it is shown this once. Send it as the header Authorization: Bearer KEY.")
    emit(secret)
    return DONE


def list_keys(arguments: argparse.Namespace) -> int:
    """Show what is kept of every key."""
    with opened_database(arguments, must_exist=True) as (database, _):
        found = _keys_of(database).listed()
    if arguments.json:
        emit(json.dumps([_document(key) for key in found]))
        return DONE
    lines: list[tuple[str, ...]] = [("id", "state", "scopes", "made", "ends", "last used", "note")]
    lines += [_line(key) for key in found]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        emit("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return DONE


def revoke_key(arguments: argparse.Namespace) -> int:
    """Let nobody in with a key any more."""
    with opened_database(arguments, must_exist=True) as (database, audit):
        key = _keys_of(database).revoke(arguments.id)
        _note(audit, key, "key-revoked")
    if arguments.json:
        emit(json.dumps(_document(key)))
    else:
        say(f"Revoked  {key.id}; a running service turns it away within 5 seconds.")
    return DONE


def _keys_of(database: Database) -> ApiKeys:
    from serving.access.api_keys import ApiKeys

    return ApiKeys(database)


def _note(audit: AuditChain, key: ApiKey, action: str) -> None:
    from serving.store.audit_chain import AuditEvent

    audit.append([AuditEvent(owner=f"key:{key.id}", action=action)])


def _scopes_of(text: str) -> list[Scope]:
    known: Sequence[Scope] = get_args(Scope)
    words = {word.strip() for word in text.split(",") if word.strip()}
    if not words or not words <= set(known):
        raise UsageError(f"expected some of {', '.join(known)}, with commas between.", where="--scopes")
    return [scope for scope in known if scope in words]


def _duration_of(arguments: argparse.Namespace) -> timedelta | None:
    if arguments.never_expires:
        if arguments.days is not None:
            raise UsageError("expected one of --days and --never-expires, found both.", where="--days")
        return None
    days = DEFAULT_DAYS if arguments.days is None else arguments.days
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"expected 1 to {MAX_DAYS} days.", where="--days")
    return timedelta(days=days)


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "state": key.state(datetime.now(UTC)),
        "scopes": sorted(key.scopes),
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "revoked": key.revoked.isoformat() if key.revoked else None,
        "last_used": key.last_used,
        "name": key.name,
    }


def _line(key: ApiKey) -> tuple[str, ...]:
    made, ends = key.created.date().isoformat(), key.expires.date().isoformat() if key.expires else "never"
    scopes = ",".join(sorted(key.scopes))
    return key.id, key.state(datetime.now(UTC)), scopes, made, ends, key.last_used or "never", key.name


def _end_of(key: ApiKey) -> str:
    return f"valid until {key.expires:%Y-%m-%d}" if key.expires else "valid until it is revoked"
