"""One run as the log book holds it, whoever reads it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from predictor.errors import ModelUnavailableError


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One run as the log book holds it."""

    run_id: str
    experiment: str
    name: str
    status: str  # RUNNING, FINISHED, FAILED or KILLED
    started_at_s: float  # Unix time
    parent: str | None  # run id of the experiment that a model's run belongs to; None: a whole experiment
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


class RunSource(Protocol):
    """Where runs can be looked up."""

    def find_runs(
        self, *, experiments: Sequence[str] = (), status: str = "FINISHED", kind: str = ""
    ) -> tuple[LoggedRun, ...]:
        """Return the runs of some experiments, newest first; see `training.log_book.tracking.find_runs`."""

    def find_versions(self) -> dict[str, dict[str, str]]:
        """Return what the registry holds; see `training.log_book.tracking.find_versions`."""


def check_known(experiments: Sequence[str], known: Iterable[str]) -> None:
    """Refuse names of experiments that the log book does not have.

    Raises
    ------
    ModelUnavailableError
        If there is one.
    """
    names = sorted(known)
    unknown = sorted(set(experiments) - set(names))
    if unknown:
        raise ModelUnavailableError(
            f"the store has no experiment {unknown[0]!r}; it has {', '.join(names) or 'none'}.",
            where="experiment",
            remedy="Name an experiment as its file does (`name = ...`), or train it first.",
        )
