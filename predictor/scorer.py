"""Who answers: a bundle in this process, or (see `service_client`) a service elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from predictor.errors import PredictorError, UsageError
from predictor.feature_rows import FeatureRow
from predictor.model.bundle import ModelBundle, load_bundle
from predictor.model.outcome_definition import Covariate, CovariateValue
from predictor.pipeline import recipe_of, score_features, score_session
from predictor.scan.session import BaselineSession, VisitFiles, read_visit
from predictor.scan.task_description import TaskDescription

# Other packages fetch bundles from registries: an entry point of this group is a function from a URI to a bundle folder
# and whether that version is the promoted one (an alias may fall back to a candidate).
MODEL_GROUP = "krp.models"


class Scorer(Protocol):
    """Answers for visits and for rows of features."""

    @property
    def covariates(self) -> Sequence[Covariate]:
        """What the model wants to know besides features."""

    @property
    def tasks(self) -> TaskDescription:
        """Which runs it can use."""

    def score_visit(self, files: VisitFiles, covariates: Mapping[str, CovariateValue]) -> dict[str, Any]:
        """Answer for the scans of one visit."""

    def score_rows(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        """Answer for rows of features, in their order; none is answered unless all can be."""


class BundleScorer:
    """A bundle in this process.

    Parameters
    ----------
    bundle
        The verified bundle.
    promoted
        Whether it was asked for as the promoted one.
    """

    def __init__(self, bundle: ModelBundle, *, promoted: bool = False) -> None:
        self.bundle = bundle
        self.promoted = promoted

    @classmethod
    def from_folder(cls, folder: Path) -> BundleScorer:
        """Verify and load a bundle folder."""
        return cls(load_bundle(folder))

    @classmethod
    def from_registry(cls, uri: str) -> BundleScorer:
        """Fetch, verify and load the model behind a registry address.

        Raises
        ------
        UsageError
            If nothing that is installed knows registries.
        """
        resolvers = list(entry_points(group=MODEL_GROUP))
        if not resolvers:
            raise UsageError(
                "no installed package fetches models from a registry.", remedy="Name a bundle folder with --bundle."
            )
        folder, is_promoted = resolvers[0].load()(uri)
        return cls(load_bundle(folder), promoted=is_promoted)

    @property
    def covariates(self) -> Sequence[Covariate]:
        """What the model wants to know besides features."""
        return self.bundle.covariates

    @property
    def tasks(self) -> TaskDescription:
        """Which runs the bundle's recipe uses."""
        return recipe_of(self.bundle).tasks

    def score_visit(self, files: VisitFiles, covariates: Mapping[str, CovariateValue]) -> dict[str, Any]:
        """Answer for the scans of one visit."""
        return self.score_session(self.read_visit(files), covariates)

    def read_visit(self, files: VisitFiles, *, keep_mean_image: bool = False) -> BaselineSession:
        """Read one visit as the bundle's recipe has it; with mean images for a report."""
        recipe = recipe_of(self.bundle)
        return read_visit(files, recipe.circuit, recipe.tasks, keep_mean_image=keep_mean_image)

    def score_session(self, session: BaselineSession, covariates: Mapping[str, CovariateValue]) -> dict[str, Any]:
        """Answer for a visit that was read before."""
        return score_session(session, covariates, self.bundle, promoted=self.promoted)

    def score_rows(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        """Answer for rows of features, in their order."""
        return [self._score_row(row) for row in rows]

    def _score_row(self, row: FeatureRow) -> dict[str, Any]:
        try:
            return score_features(
                row.features,
                row.covariates,
                self.bundle,
                recipe_hash=row.recipe_hash,
                input_digest=row.input_digest,
                promoted=self.promoted,
            )
        except PredictorError as error:
            if row.place not in error.where:
                error.where = f"{row.place}, {error.where}" if error.where else row.place
            raise
