"""Duplicates in real data: the public RPN cohort holds one scan under two names."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.evaluation.duplicates import SamePair, find_same_people


@pytest.mark.shared
@pytest.mark.parametrize(
    ("site", "expected"),
    [("bochum", ()), ("essen", (SamePair("sub-essen004", "sub-essen005", "nearly the same values"),))],
)
def test_the_scan_that_two_people_of_essen_share_is_found(
    shared: Path, site: str, expected: tuple[SamePair, ...]
) -> None:
    """Their series are equal to the last digit; their motion is not, so that other volumes count and values differ."""
    profiles = {}
    for path in sorted((shared / "data" / "rpn" / f"site-{site}").glob("*_timeseries.tsv.gz")):
        motion = pd.read_csv(str(path).replace("timeseries.tsv.gz", "desc-confounds_timeseries.tsv"), sep="\t")
        with gzip.open(path) as file:
            series = pd.read_csv(file, sep="\t").to_numpy()
        kept = ~(pd.to_numeric(motion.iloc[:, 0], errors="coerce").to_numpy() > 0.15)
        with np.errstate(invalid="ignore"):  # regions without signal: their edges are missing
            correlation = np.asarray(np.corrcoef(series[kept], rowvar=False))
        edges = correlation[np.triu_indices(series.shape[1], k=1)]
        profiles[path.name.split("_")[0]] = np.arctanh(edges)
    assert find_same_people(pd.DataFrame(profiles).T) == expected
