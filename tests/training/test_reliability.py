"""Agreement of halves and share of scan noise."""

from __future__ import annotations

import numpy as np
import pytest

from training.extraction.reliability import RELIABILITY_COLUMNS, reliability_table, split_half_correlation


def simulated(rng: np.random.Generator, *, n_people: int, noise: float) -> tuple[np.ndarray, ...]:
    """One feature whose true spread is 1; each half is twice as noisy in variance as the whole."""
    truth = rng.standard_normal(n_people)
    halves = truth + noise * np.sqrt(2) * rng.standard_normal((2, n_people))
    values = halves.mean(axis=0)
    return values[:, None], np.full((n_people, 1), noise), halves[0][:, None], halves[1][:, None]


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_both_ways_find_the_reliability_that_was_simulated(noise: float, rng: np.random.Generator) -> None:
    values, errors, first, second = simulated(rng, n_people=20_000, noise=noise)
    row = reliability_table(["x"], values, errors, first, second).iloc[0]
    expected = 1 / (1 + noise**2)
    assert row["reliability"] == pytest.approx(expected, abs=0.02)
    assert row["spearman_brown"] == pytest.approx(expected, abs=0.02)
    assert row["share_scan_noise"] == pytest.approx(1 - expected, abs=0.02)
    assert row["mean_standard_error"] == pytest.approx(noise)


def test_only_those_who_have_it_count(rng: np.random.Generator) -> None:
    values, errors, first, second = simulated(rng, n_people=10, noise=0.5)
    values[0], errors[:3], second[4] = np.nan, np.nan, np.nan
    row = reliability_table(["x"], values, errors, first, second).iloc[0]
    assert (row["n_people"], row["n_halves"], row["n_standard_errors"]) == (9, 9, 7)
    kept = np.arange(10) != 4
    assert row["split_half_r"] == pytest.approx(np.corrcoef(first[kept, 0], second[kept, 0])[0, 1])


def test_what_two_people_or_equal_people_say_is_nothing() -> None:
    two = np.array([[1.0], [2.0]])
    row = reliability_table(["x"], two, two, two, two).iloc[0]
    assert np.isnan([row["split_half_r"], row["spearman_brown"], row["reliability"], row["share_scan_noise"]]).all()
    same = np.full((5, 1), 3.0)
    row = reliability_table(["x"], same, same, same, same).iloc[0]
    assert np.isnan([row["split_half_r"], row["reliability"]]).all()


def test_halves_that_contradict_one_another_stay_negative() -> None:
    halves = np.column_stack([np.arange(6.0), -np.arange(6.0)])
    assert split_half_correlation(halves) == pytest.approx(-1)
    values = np.arange(6.0)[:, None]
    row = reliability_table(["x"], values, values, halves[:, [0]], halves[:, [1]]).iloc[0]
    assert row["spearman_brown"] == pytest.approx(-1)


def test_every_column_is_described() -> None:
    table = reliability_table([], *[np.empty((0, 0))] * 4)
    assert list(table) == list(RELIABILITY_COLUMNS)
