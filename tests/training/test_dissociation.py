from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.timecourse.dissociation import SCOPES, associate

IS_TREATED = np.arange(26) < 12


def test_rho_is_spearmans_with_ties_and_missing_people(rng: np.random.Generator) -> None:
    change = rng.standard_normal((26, 3))
    change[2, 1] = np.nan
    scores = rng.integers(0, 6, 26).astype(float)
    scores[7] = np.nan
    treated, everyone, _ = associate(change, scores, IS_TREATED, n_permutations=19, seed=0)
    assert [one.scope for one in associate(change, scores, IS_TREATED, n_permutations=19, seed=0)] == list(SCOPES)
    for edge in range(3):
        for association, members in ((treated, IS_TREATED), (everyone, np.ones(26, dtype=bool))):
            known = members & np.isfinite(scores) & np.isfinite(change[:, edge])
            expected = stats.spearmanr(change[known, edge], scores[known]).statistic
            assert association.rho[edge] == pytest.approx(expected, abs=1e-12)
            assert association.n_people[edge] == known.sum()


def test_permutation_p_agrees_with_the_exact_one(rng: np.random.Generator) -> None:
    change = rng.standard_normal((26, 1))
    scores = rng.standard_normal(26) - 0.9 * change[:, 0]
    association = associate(change, scores, IS_TREATED, n_permutations=4999, seed=0)[0]
    exact = stats.permutation_test(
        (change[IS_TREATED, 0],),
        lambda x: stats.spearmanr(x, scores[IS_TREATED]).statistic,
        permutation_type="pairings", n_resamples=999, rng=np.random.default_rng(3),
    ).pvalue  # fmt: skip
    assert association.p_uncorrected[0] == pytest.approx(exact, abs=0.03)
    assert association.p_family == pytest.approx(association.p_uncorrected)  # one pair, nothing to correct


def test_a_difference_between_arms_alone_shows_over_all_people_only(rng: np.random.Generator) -> None:
    change = rng.standard_normal((26, 2))
    scores = rng.standard_normal(26)
    change[IS_TREATED, 0] -= 8
    scores[IS_TREATED] += 8
    treated, everyone, within = associate(change, scores, IS_TREATED, n_permutations=999, seed=0)
    assert everyone.rho[0] < -0.6
    assert everyone.p_family[0] < 0.01
    assert treated.p_family[0] > 0.05
    assert within.p_family[0] > 0.05


def test_an_association_in_both_arms_is_found_within_arms(rng: np.random.Generator) -> None:
    change = rng.standard_normal((26, 4))
    scores = -2 * change[:, 3] + 0.5 * rng.standard_normal(26) + 6 * IS_TREATED
    within = associate(change, scores, IS_TREATED, n_permutations=999, seed=0)[2]
    assert within.rho[3] < -0.7
    assert within.p_family[3] < 0.01
    assert (within.p_family >= within.p_uncorrected).all()
    assert (within.p_family[:3] > 0.05).all()


def test_too_few_people_or_no_variation_is_missing(rng: np.random.Generator) -> None:
    change = rng.standard_normal((26, 2))
    change[4:, 1] = np.nan
    treated, everyone, _ = associate(change, np.full(26, 3.0), IS_TREATED, n_permutations=19, seed=0)
    assert np.isnan(treated.rho).all()
    assert np.isnan(everyone.p_family).all()
    known = associate(change, rng.standard_normal(26), IS_TREATED, n_permutations=19, seed=0)[1]
    assert np.isfinite(known.p_family[0])
    assert np.isnan(known.p_family[1])


def test_null_associations_are_rejected_at_their_level() -> None:
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(150):
        scores = rng.standard_normal(12)
        result = associate(rng.standard_normal((12, 6)), scores, np.ones(12, dtype=bool), n_permutations=39, seed=0)
        rejected += bool((result[0].p_family <= 0.05).any())
    low, high = stats.binom.interval(0.999, 150, 0.05)
    assert low <= rejected <= high
