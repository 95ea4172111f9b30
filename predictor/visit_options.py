"""Options that name visits, the same for every command: as fMRIPrep and MRIQC spell them."""

from __future__ import annotations

import argparse


def add_participant_labels(parser: argparse.ArgumentParser) -> None:
    """Add `--participant-label`, which may be given several times, with several labels each."""
    parser.add_argument(
        "--participant-label",
        action="extend",
        nargs="+",
        metavar="LABEL",
        help='participants, with or without "sub-"; may be given several times (default: all)',
    )


def add_session(parser: argparse.ArgumentParser, *, otherwise: str) -> None:
    """Add `--session`, and fMRIPrep's name for it."""
    parser.add_argument(
        "--session",
        "--session-label",
        dest="session",
        metavar="LABEL",
        help=f'session, with or without "ses-"; also --session-label (default: {otherwise})',
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many processes work at once, and its names in other BIDS-Apps."""
    parser.add_argument(
        "--jobs",
        "--n-jobs",
        "--nprocs",
        "--n-cpus",
        dest="jobs",
        type=processes,
        default=-1,
        metavar="N",
        help="processes, -1 for all processors; also --n-jobs, --nprocs, --n-cpus (default: all)",
    )


def processes(text: str) -> int:
    """Read a number of processes: 1 or more, or -1 for all processors."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1 and number != -1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, or -1 for all processors, found {text[:20]}")
    return number
