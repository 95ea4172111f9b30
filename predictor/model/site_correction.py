"""Site effects as plain arrays: what harmonisation learned, applied to one person or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.linear_model import check_arrays
from predictor.model.outcome_definition import Covariate

Array = NDArray[np.float64]
# What happens to people of a site that was not in training; see `SiteHarmonization`.
UnseenSitePolicy = Literal["flag", "reference", "refuse"]


class Harmonised(NamedTuple):
    """Features without site effects."""

    values: Array  # (n_people, n_features), NaN where missing
    gain: Array  # (n_people, n_features), change of the harmonised value per unit of the measured one


@dataclass(frozen=True, slots=True, eq=False)
class SiteCorrection:
    """What a site adds to the standardised features, and how much wider or narrower it makes them.

    A feature of someone from site s becomes ((x - e) / scale - shift[s]) / sqrt(spread[s]) * scale + e, where
    e = mean + preserved columns @ coefficients is what is expected of them at an average site (or the reference site).
    """

    features: tuple[str, ...]
    site: str  # the covariate
    sites: tuple[str, ...]
    preserved: tuple[Covariate, ...]  # covariates whose effect on the features is kept
    reference_site: str | None  # to which the others are moved; None: the mean over sites
    centre: Array  # (n_columns,) of the preserved covariates, which stand where one is missing
    coefficients: Array  # (n_columns, n_features)
    mean: Array  # (n_features,)
    scale: Array  # (n_features,), above 0
    shift: Array  # (n_sites, n_features), in `scale`
    spread: Array  # (n_sites, n_features), ratio of variances, above 0

    def __post_init__(self) -> None:
        n_sites, n_features, n_columns = len(self.sites), len(self.features), len(self.centre)
        if n_columns != sum(len(covariate.input_names) for covariate in self.preserved):
            raise ModelBundleError("the columns of the site correction are not those of its covariates.")
        shapes: dict[str, tuple[int, ...]] = {"centre": (n_columns,), "coefficients": (n_columns, n_features)}
        shapes |= {"mean": (n_features,), "scale": (n_features,)}
        check_arrays(self, shapes | {"shift": (n_sites, n_features), "spread": (n_sites, n_features)})
        if not n_sites or len(set(self.sites)) != n_sites or len(set(self.features)) != n_features:
            raise ModelBundleError("a site correction needs sites and features with distinct names.")
        if (self.scale <= 0).any() or (self.spread <= 0).any():
            raise ModelBundleError("expected scales and ratios of variances above 0.")

    def apply(self, values: Array, columns: Array, sites: list[str | None]) -> Harmonised:
        """Take the sites' effects out; people from other sites, or from none, keep their values.

        Parameters
        ----------
        values
            Features, shape (n_people, n_features), NaN where missing, which they stay.
        columns
            Preserved covariates, encoded, shape (n_people, n_columns); NaN takes the training mean.
        sites
            Site of every person, None if unknown.
        """
        rows = np.array([self.sites.index(site) if site in self.sites else -1 for site in sites], dtype=np.intp)
        is_known = (rows >= 0)[:, np.newaxis]
        expected = self.mean + np.where(np.isnan(columns), self.centre, columns) @ self.coefficients
        gain = np.where(is_known, 1.0 / np.sqrt(self.spread[rows]), 1.0)
        moved = (values - expected - self.shift[rows] * self.scale) * gain + expected
        return Harmonised(np.where(is_known, moved, values), gain)
