from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.evaluation.duplicates import SamePair, across_folds, find_same_people


def people_of(rng: np.random.Generator, n_people: int, n_features: int, *, n_factors: int = 12) -> pd.DataFrame:
    """Features as in a connectome: a few common factors, and something of their own."""
    factors = rng.standard_normal((n_people, n_factors)) @ rng.standard_normal((n_factors, n_features))
    values = factors / np.sqrt(n_factors) + rng.standard_normal((n_people, n_features))
    return pd.DataFrame(values, index=[f"sub-{n:03d}" for n in range(n_people)]).add_prefix("f")


def test_strangers_are_never_taken_for_each_other() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert not find_same_people(people_of(rng, 80, 40, n_factors=1 + seed % 6))


def test_a_visit_under_two_names_is_found_whatever_else_is_missing(rng: np.random.Generator) -> None:
    values = people_of(rng, 60, 40)
    values.loc["sub-007"] = values.loc["sub-031"]
    values.loc["sub-007", "f3"] = np.nan
    assert find_same_people(values) == (SamePair("sub-007", "sub-031", "same values"),)


def test_one_run_that_two_people_share_is_found(rng: np.random.Generator) -> None:
    values = people_of(rng, 60, 40)
    values.loc["sub-007", ["f0", "f1", "f2", "f3"]] = values.loc["sub-031", ["f0", "f1", "f2", "f3"]]
    assert [pair.reason for pair in find_same_people(values)] == ["same values"]


def test_a_scan_that_was_processed_twice_is_found_by_its_likeness(rng: np.random.Generator) -> None:
    values = people_of(rng, 60, 40)
    values.loc["sub-007"] = values.loc["sub-031"] + 0.1 * rng.standard_normal(40)
    assert find_same_people(values) == (SamePair("sub-007", "sub-031", "nearly the same values"),)


def test_likeness_is_seen_through_a_signal_that_all_features_follow() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = people_of(rng, 60, 20, n_factors=1)
        values.loc["sub-007"] = values.loc["sub-031"] + 0.1 * values.std() * rng.standard_normal(20)
        assert find_same_people(values) == (SamePair("sub-007", "sub-031", "nearly the same values"),)


def test_a_second_visit_of_a_reliable_measure_is_no_copy(rng: np.random.Generator) -> None:
    values = people_of(rng, 60, 40)
    values.loc["sub-007"] = 0.8 * values.loc["sub-031"] + 0.6 * people_of(rng, 1, 40).iloc[0]
    assert not find_same_people(values)


def test_equal_input_digests_are_the_same_scan_and_missing_ones_are_nothing(rng: np.random.Generator) -> None:
    values = people_of(rng, 12, 40)
    digests = pd.Series([None, np.nan, "a", "b", "c", "a", None, "", "", "e", "f", "g"], index=values.index)
    assert find_same_people(values, input_digests=digests) == (SamePair("sub-002", "sub-005", "same scan"),)


def test_counts_and_rounded_numbers_agree_by_chance_and_are_no_duplicates(rng: np.random.Generator) -> None:
    counts = pd.DataFrame(rng.integers(0, 4, (60, 5)), index=[f"sub-{n}" for n in range(60)]).add_prefix("n")
    rounded = people_of(rng, 60, 30).round(2).set_axis(counts.index)
    assert not find_same_people(counts.astype(float))
    assert not find_same_people(pd.concat([counts, rounded], axis=1))


@pytest.mark.parametrize(("folds", "severity"), [([[0, 0, 1, 1]], "look"), ([[0, 0, 1, 1], [0, 1, 0, 1]], "leak")])
def test_a_pair_leaks_when_any_partition_separates_it(folds: list[list[int]], severity: str) -> None:
    pairs = (SamePair("a", "b", "same values"),)
    (finding,) = across_folds(pairs, ["a", "b", "c", "d"], np.array(folds))
    assert (finding.step, finding.severity) == ("duplicates", severity)
    assert "a = b" in finding.message
