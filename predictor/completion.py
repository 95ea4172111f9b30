"""`krp completion`: what lets a shell complete commands, options, files and folders."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from predictor.command_parser import Subparsers, add_command, commands_of
from predictor.console import emit
from predictor.exit_codes import DONE

SHELLS: Final = ("bash", "zsh", "fish", "tcsh")
# What an argument takes is told by how the help calls it.
_FOLDERS: Final = frozenset({"DIR", "OUT", "RAW", "BASELINE", "FOLLOWUP", "BUNDLE", "STORE"})
_EXPERIMENTS: Final = frozenset({"EXPERIMENT.toml", "EXPERIMENT", "MODEL COHORT"})
_PATHS: Final = frozenset({"INPUT"})
_TABLES: Final = frozenset({"TSV"})


def add_completion(subparsers: Subparsers[Any], root: Callable[[], argparse.ArgumentParser]) -> None:
    """Add `completion`; `root` lends the whole command line once it is put together."""
    parser = add_command(
        subparsers,
        "completion",
        help="print what lets your shell complete krp's commands and options",
        description=(
            "Print a script for bash, zsh, fish or tcsh. With it, the tabulator key completes commands, options, "
            "choices, folders, experiment files and tables. Load it once per shell, or from the file that your shell "
            "reads."
        ),
        examples=(
            'eval "$(krp completion bash)"',
            "krp completion bash > ~/.local/share/bash-completion/completions/krp",
            "krp completion zsh > ~/.zfunc/_krp",
        ),
    )
    parser.add_argument("shell", choices=SHELLS, help="your shell")
    parser.set_defaults(run=lambda arguments: print_completion(root(), arguments.shell))


def print_completion(root: argparse.ArgumentParser, shell: str) -> int:
    """Print the script for a shell to standard output."""
    import shtab

    _mark_arguments(root)
    emit(shtab.complete(root, shell=shell))
    return DONE


def _mark_arguments(parser: argparse.ArgumentParser) -> None:
    """Say of every argument of every command what may stand there."""
    for action in parser._actions:
        found = _kind_of(action)
        if found is not None:
            action.complete = found  # type: ignore[attr-defined]  # where shtab looks
    for below in commands_of(parser).values():
        _mark_arguments(below)


def _kind_of(action: argparse.Action) -> Any:
    import shtab

    name = action.metavar
    if name in _FOLDERS:
        return shtab.DIRECTORY
    if name in _EXPERIMENTS:
        return shtab.glob("*.toml")
    if name in _TABLES:
        return shtab.glob("*.tsv")
    return shtab.FILE if name in _PATHS or action.type is Path else None
