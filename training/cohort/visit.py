"""What every cohort reader hands out: a visit that can be read when its turn comes, in another process if need be."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from predictor.errors import PredictorError
from predictor.features.recipe import Recipe
from predictor.scan.session import BaselineSession


class CohortVisit(Protocol):
    """One person's baseline visit, not read yet."""

    @property
    def participant_id(self) -> str:
        """The person, "sub-01"."""

    @property
    def session_id(self) -> str | None:
        """The visit, "ses-baseline"; None where the tree has no sessions."""

    @property
    def run_names(self) -> tuple[str, ...]:
        """Runs that were found: "rest", "faces", ..."""

    @property
    def problem(self) -> PredictorError | None:
        """What `read` would raise before it opens a file; None: nothing is wrong so far."""

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Files that `read` opens; a result older than one of them is out of date."""

    def read(self, recipe: Recipe, *, keep_mean_image: bool = False) -> BaselineSession:
        """Read the signals that the recipe needs; raises PredictorError if they cannot be used.

        Mean images are kept for reports, where there are images at all.
        """
