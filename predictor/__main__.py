"""The command `krp`: one root, to which every package adds its own commands."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points, version

from predictor import console
from predictor.errors import PredictorError, RefusedError, UsageError

# Matrix products differ in their last digits with the number of threads. With one thread, the command and the service
# give the same bytes for the same visit, whatever the machine or the environment; our matrices are too small to gain.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

DISTRIBUTION = "ketamine-response-predictor"
COMMAND_GROUP = "krp.commands"

DONE, SOME_FAILED, WRONG_USE, INVALID_INPUT, REFUSED, OUR_BUG = 0, 1, 2, 3, 4, 70
INTERRUPTED = 130
MEANING = {
    DONE: "done",
    SOME_FAILED: "some participants failed, see above",
    WRONG_USE: "wrong use",
    INVALID_INPUT: "input invalid",
    REFUSED: "refused",
    OUR_BUG: "a bug of ours, please report it",
    INTERRUPTED: "interrupted",
}


def build_parser() -> argparse.ArgumentParser:
    """Put the command line together from what each installed package offers."""
    parser = argparse.ArgumentParser(
        prog="krp",
        description="Predict improvement under ketamine in PTSD from baseline fMRI. Research use only.",
        epilog="Exit codes: 0 done, 1 some participants failed, 2 wrong use, 3 input invalid, 4 refused, 70 our bug.",
    )
    parser.add_argument("--version", action="version", version=f"krp {version(DISTRIBUTION)}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for entry_point in sorted(entry_points(group=COMMAND_GROUP), key=lambda found: found.name):
        entry_point.load().add_commands(subparsers)
    for subparser in subparsers.choices.values():
        _add_common_options(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the last line on screen says the same."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before any command imports numpy
    arguments = build_parser().parse_args(argv)
    console.be_quiet(arguments.quiet)
    logging.basicConfig(level=logging.DEBUG if arguments.debug else logging.WARNING)
    code = _run(arguments)
    with _despite_closed_pipes():
        if code != DONE:
            sys.stderr.write(f"krp {arguments.command}: {MEANING.get(code, 'failed')} (exit {code})\n")
            sys.stderr.flush()
        else:
            console.say(f"krp {arguments.command}: done")
    return code


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="print nothing but results and errors")
    parser.add_argument("--debug", action="store_true", help="log details, and show the traceback of an error")


def _run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.run(arguments))
    except PredictorError as error:
        if arguments.debug:
            traceback.print_exc()
        with _despite_closed_pipes():
            console.show_error(error)
        return _exit_code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`krp ... | head`): nothing is wrong with the result.
        _silence_closed_pipes()
        return DONE
    except Exception:  # the one place where a bug becomes an exit code
        traceback.print_exc()
        return OUR_BUG


@contextmanager
def _despite_closed_pipes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence_closed_pipes()


def _silence_closed_pipes() -> None:
    """Send what is still to come nowhere, or Python would fail once more when it flushes the closed pipe at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _exit_code_of(error: PredictorError) -> int:
    if isinstance(error, UsageError):
        return WRONG_USE
    return REFUSED if isinstance(error, RefusedError) else INVALID_INPUT


if __name__ == "__main__":
    sys.exit(main())
