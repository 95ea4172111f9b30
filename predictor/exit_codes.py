"""What a command's exit code means: one list for the last line on screen, every help text and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from predictor.errors import PredictorError, RefusedError, UsageError

DONE, SOME_FAILED, WRONG_USE, INVALID_INPUT, REFUSED, OUR_BUG = 0, 1, 2, 3, 4, 70
INTERRUPTED = 130
MEANING: Final[Mapping[int, str]] = {
    DONE: "done",
    SOME_FAILED: "some participants failed, see above",
    WRONG_USE: "wrong use",
    INVALID_INPUT: "input invalid",
    REFUSED: "refused",
    OUR_BUG: "a bug of ours, please report it",
    INTERRUPTED: "interrupted",
}
# What can happen to every command; 1 and 4 are named by the commands that have them.
ALWAYS_POSSIBLE: Final = (DONE, WRONG_USE, INVALID_INPUT, OUR_BUG, INTERRUPTED)


def exit_code_of(error: PredictorError) -> int:
    """Return the exit code of a command that an error stopped.

    Examples
    --------
    >>> exit_code_of(UsageError("no such reader."))
    2
    """
    if isinstance(error, UsageError):
        return WRONG_USE
    return REFUSED if isinstance(error, RefusedError) else INVALID_INPUT


def exit_code_lines(own: Mapping[int, str] | None = None) -> str:
    """Return the exit codes of a command as they stand at the end of its help.

    Parameters
    ----------
    own
        What a code means for this command where that is more than the code says by itself.

    Examples
    --------
    >>> print(exit_code_lines({4: "a leak was found"}).splitlines()[4])
      4    a leak was found
    """
    meaning = {code: MEANING[code] for code in ALWAYS_POSSIBLE} | dict(own or {})
    return "\n".join(["exit codes:", *(f"  {code:<3}  {meaning[code]}" for code in sorted(meaning))])
