"""The command `krp`: one root, to which every package adds its own commands."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from predictor import console
from predictor.command_parser import CommandHelp, CommandParser, commands_of
from predictor.completion import add_completion
from predictor.errors import PredictorError, UsageError
from predictor.exit_codes import DONE, INTERRUPTED, MEANING, OUR_BUG, exit_code_lines, exit_code_of
from predictor.versions import version_lines

# Matrix products differ in their last digits with the number of threads. With one thread, the command and the service
# give the same bytes for the same visit, whatever the machine or the environment; our matrices are too small to gain.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# What a disk or the owner of a folder refuses is no bug of ours, wherever it comes to light.
REFUSED_BY_SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

COMMAND_GROUP = "krp.commands"
EPILOG = """\
start here:
  krp simulate trial --participants 24 --controls 8
  krp extract trial features group
  krp check derivatives/fmriprep --bids-dir raw

`krp COMMAND --help` shows options, examples and exit codes of a command.

{exit_codes}"""


def build_parser() -> argparse.ArgumentParser:
    """Put the command line together from what each installed package offers."""
    parser = CommandParser(
        prog="krp",
        description="Predict improvement under ketamine in PTSD from baseline fMRI. Research use only.",
        epilog=EPILOG.format(
            exit_codes=exit_code_lines({1: MEANING[1].partition(",")[0] + " (named)", 4: "refused: the answer is no"})
        ),
        formatter_class=CommandHelp,
    )
    parser.add_argument(
        "--version", action=_ShowVersions, nargs=0, help="show the versions of krp and of what its numbers hang on"
    )
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for entry_point in sorted(entry_points(group=COMMAND_GROUP), key=lambda found: found.name):
        entry_point.load().add_commands(subparsers)
    add_completion(subparsers, partial(_itself, parser))
    for subparser in subparsers.choices.values():
        _add_common_options(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the last line on screen says the same."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before any command imports numpy
    # Known before they are read: what parsing prints, such as help, can fail as well.
    arguments = argparse.Namespace(command=None, debug=False, if_interrupted="")
    code = _run(argv, arguments)
    if code != DONE:
        name = " ".join(filter(None, ["krp", arguments.command]))
        console.tell(f"{name}: {MEANING.get(code, 'failed')} (exit {code})\n")
    elif arguments.command != "completion":  # its output goes into a shell, each time one is opened
        console.say(f"krp {arguments.command}: done")
    return code


class _ShowVersions(argparse.Action):
    """Print the versions and stop; they are looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        with suppress(console.ReaderGoneError):
            console.emit("\n".join(version_lines()))
        parser.exit()


def _itself(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    return parser


def _add_common_options(parser: argparse.ArgumentParser, *, is_nested: bool = False) -> None:
    """Add what every command takes, before or after the name of an action below it."""
    # A nested parser's own default would overrule what was given before its name.
    default: Any = {"default": argparse.SUPPRESS} if is_nested else {}
    parser.add_argument("--quiet", action="store_true", help="print nothing but results and errors", **default)
    parser.add_argument(
        "--debug", action="store_true", help="log details, and show the traceback of an error", **default
    )
    for below in commands_of(parser).values():
        _add_common_options(below, is_nested=True)


def _run(argv: Sequence[str] | None, arguments: argparse.Namespace) -> int:
    try:
        build_parser().parse_args(argv, arguments)
        console.be_quiet(arguments.quiet)
        logging.basicConfig(level=logging.DEBUG if arguments.debug else logging.WARNING)
        return int(arguments.run(arguments))
    except PredictorError as error:
        return _explain(error, is_traced=arguments.debug)
    except KeyboardInterrupt:
        if arguments.if_interrupted:
            console.say(arguments.if_interrupted)
        return INTERRUPTED
    except console.ReaderGoneError:
        return DONE
    except OSError as error:
        if error.errno in REFUSED_BY_SYSTEM:
            return _explain(_in_our_words(error), is_traced=arguments.debug)
        console.tell(traceback.format_exc())
        return OUR_BUG
    except Exception:  # the one place where a bug becomes an exit code
        console.tell(traceback.format_exc())
        return OUR_BUG


def _explain(error: PredictorError, *, is_traced: bool) -> int:
    if is_traced:
        console.tell(traceback.format_exc())
    console.show_error(error)
    return exit_code_of(error)


def _in_our_words(error: OSError) -> UsageError:
    """Say which file the system refused, where it tells."""
    name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, str | bytes) else ""
    return UsageError(
        f"the system refused a file or a folder: {error.strerror}.",
        where=name,
        remedy="Look at the rights of the folders and at the room on the disk, then call the same command again.",
    )


if __name__ == "__main__":
    sys.exit(main())
