from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from training.cohort_quality.motion_correlation import (
    MotionCorrelation,
    critical_r,
    distances_mm,
    motion_correlations,
)
from training.cohort_quality.person_quality import read_people
from training.extraction.feature_table import FeatureTable

Write = Callable[..., FeatureTable]


def _found(write: Write, out: Path, **options: float) -> dict[str, MotionCorrelation]:
    table = write(out, **options)
    people = read_people([str(name) for name in table.values.index], out)
    return {one.family: one for one in motion_correlations(table, people)}


def test_features_that_follow_motion_are_found_and_others_are_not(write_measured_cohort: Write, tmp_path: Path) -> None:
    found = _found(write_measured_cohort, tmp_path, n_people=40, follows_motion=3.0)
    assert set(found) == {"rest_fisher_z", "gppi_faces"}  # quality measures are motion themselves
    rest, faces = found["rest_fisher_z"], found["gppi_faces"]
    assert rest.p_value < 0.01
    assert rest.median_abs_r > rest.null_95
    assert rest.share_beyond > 0.9
    assert faces.p_value > 0.05
    assert faces.share_beyond < 0.2
    assert (rest.n_people, faces.n_people) == (40, 39)  # one has no faces run


def test_the_correlation_is_scipys(write_measured_cohort: Write, tmp_path: Path) -> None:
    table = write_measured_cohort(tmp_path)
    people = {one.participant_id: one for one in read_people([str(name) for name in table.values.index], tmp_path)}
    rest = motion_correlations(table, list(people.values()))[0]
    moved = [people[str(name)].motion_mm("rest_fisher_z") for name in table.values.index]
    expected = [stats.pearsonr(table.values[name], moved).statistic for name in rest.features]
    np.testing.assert_allclose(rest.r, expected, atol=1e-12)
    lengths = distances_mm(table.recipe.circuit)  # type: ignore[union-attr]
    apart = [lengths[frozenset(name.split("__")[1:])] for name in rest.features]
    assert rest.distance_r == pytest.approx(stats.pearsonr(rest.r, apart).statistic)


def test_a_lone_correlation_of_the_critical_size_has_p_of_five_percent(rng: np.random.Generator) -> None:
    n_people = 30
    x = rng.standard_normal(n_people)
    noise = rng.standard_normal(n_people)
    x, noise = x - x.mean(), noise - noise.mean()
    noise -= x * (noise @ x) / (x @ x)
    r = critical_r(n_people)
    y = r * x / np.linalg.norm(x) + np.sqrt(1 - r**2) * noise / np.linalg.norm(noise)
    assert stats.pearsonr(x, y).pvalue == pytest.approx(0.05)


def test_chance_gives_few_small_p_values(rng: np.random.Generator) -> None:
    from training.cohort_quality.motion_correlation import _of_family

    names = [f"rest_fisher_z__a__b{number}" for number in range(20)]
    shared = rng.standard_normal((40, 30, 1))  # features of a person hang together
    p_values = []
    for draw in shared:
        found = _of_family("f", names, draw + 0.5 * rng.standard_normal((30, 20)), rng.standard_normal(30), {}, 0)
        assert found is not None
        p_values.append(found.p_value)
    assert sum(p < 0.05 for p in p_values) <= 6  # of 40, 2 are expected; the chance of more is 1 in 300
    assert sum(p < 0.5 for p in p_values) >= 8


def test_a_small_cohort_has_none(write_measured_cohort: Write, tmp_path: Path) -> None:
    assert _found(write_measured_cohort, tmp_path, n_people=9) == {}
