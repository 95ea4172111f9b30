"""The commands of the service: answering, access keys, and the audit log."""

from __future__ import annotations

from typing import Any

from predictor.command_parser import Subparsers
from serving.commands.audit_log import add_audit_log
from serving.commands.keys import add_keys
from serving.commands.serve import add_serve


def add_commands(subparsers: Subparsers[Any]) -> None:
    """Add the service's commands to the command line."""
    add_serve(subparsers)
    add_keys(subparsers)
    add_audit_log(subparsers)
