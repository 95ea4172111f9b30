"""Arguments of the functions that people call from a notebook, where no type checker looks."""

from __future__ import annotations

from predictor.errors import UsageError


def check_kind(value: object, kind: type, *, what: str, remedy: str = "") -> None:
    """Refuse an argument that was mixed up with another one.

    Parameters
    ----------
    value
        What was given.
    kind
        What it must be an instance of.
    what
        The argument in words, with its place: "a recipe as second argument".
    remedy
        The call as it should be.

    Raises
    ------
    UsageError
        If it is something else.

    Examples
    --------
    >>> check_kind("sub-01", int, what="a number as first argument")
    Traceback (most recent call last):
    predictor.errors.UsageError: expected a number as first argument, found str.
    """
    if not isinstance(value, kind):
        raise UsageError(f"expected {what}, found {type(value).__name__}.", remedy=remedy)
