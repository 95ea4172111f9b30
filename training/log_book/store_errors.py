"""What MLflow and its databases say when something fails, in our words and without credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from predictor.errors import RunDeletedError, StoreReadOnlyError, StoreUnreachableError, TrackingError
from predictor.store_address import without_credentials

logger = logging.getLogger(__name__)

_READ_ONLY = ("readonly", "read-only", "read only", "permission denied", "permission_denied", "insufficient privilege")
_DELETED = ("'active' state", "'active' lifecycle", "no run with id", "run with id", "resource_does_not_exist")
_LOCKED_OUT = ("error code 401", "error code 403", "unauthenticated", "unauthorized", "password authentication failed",
               "no password supplied")  # fmt: skip
_NO_ANSWER = ("connection", "timed out", "timeout", "max retries", "could not translate host", "name or service not")


@contextmanager
def in_our_words(doing: str, *, where: str = "") -> Iterator[None]:
    """Turn MLflow's, the database's and the system's errors into ours.

    Parameters
    ----------
    doing
        What is being done, in the infinitive: "log numbers".
    where
        The store's name for people.

    Raises
    ------
    StoreUnreachableError, StoreReadOnlyError, RunDeletedError, TrackingError
        In place of theirs; their text is written to the debug log only, for it may hold addresses and paths.
    """
    try:
        yield
    except Exception as error:
        if not _is_foreign(error):
            raise
        text = without_credentials(f"{type(error).__name__}: {error}")
        logger.debug("MLflow could not %s: %s", doing, text)
        raise _named(error, text.lower(), doing).located(where) from None


def _is_foreign(error: Exception) -> bool:
    """Whether it comes from the store; a bug of ours stays one."""
    # The errors of MLflow's HTTP client are OSErrors.
    return isinstance(error, (SQLAlchemyError, OSError)) or type(error).__module__.startswith("mlflow.")


def _named(error: Exception, text: str, doing: str) -> TrackingError:
    if any(word in text for word in _READ_ONLY):
        return StoreReadOnlyError(f"the store cannot be written: it refused to {doing}.")
    if any(word in text for word in _DELETED):
        return RunDeletedError(f"the run is no longer there: it was not possible to {doing}.")
    if any(word in text for word in _LOCKED_OUT):
        return StoreUnreachableError(f"the store refused user or password when asked to {doing}.")
    if isinstance(error, (ConnectionError, TimeoutError, OperationalError)) or any(w in text for w in _NO_ANSWER):
        return StoreUnreachableError(f"the store did not answer when asked to {doing}.")
    reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
    return TrackingError(f"it was not possible to {doing}: {reason}.")
