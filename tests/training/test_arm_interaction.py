from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from predictor.errors import TrainingError
from training.evaluation.arm_interaction import interaction_test

N_PEOPLE = 40
N_COHORTS, N_PERMUTATIONS = 300, 99
NAMES = ("one", "two", "three")


def design(rng: np.random.Generator, n_treated: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three correlated features, who is treated, and two covariates."""
    features = rng.standard_normal((N_PEOPLE, 1)) + rng.standard_normal((N_PEOPLE, 3))
    is_treated = rng.permutation(np.arange(N_PEOPLE) < n_treated)
    return features, is_treated, rng.standard_normal((N_PEOPLE, 2))


def test_effects_and_standard_errors_are_those_of_statsmodels(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    outcome = 3 * is_treated + features[:, 0] + rng.standard_normal(N_PEOPLE) * (1 + is_treated)
    found = interaction_test(features, is_treated, covariates, outcome, names=NAMES, n_permutations=9, seed=0)
    arm = np.where(is_treated, 0.5, -0.5)
    for number in range(3):
        one = (features[:, number] - features[:, number].mean()) / features[:, number].std()
        columns = np.column_stack([np.ones(N_PEOPLE), covariates, arm, one, arm * one])
        peer = sm.OLS(outcome, columns).fit(cov_type="HC3")
        assert found.slope_difference[number] == pytest.approx(peer.params[-1], rel=1e-9)
        assert found.standard_error[number] == pytest.approx(peer.bse[-1], rel=1e-9)


def test_a_main_effect_of_arm_and_feature_changes_nothing(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    noise = rng.standard_normal(N_PEOPLE)
    kwargs = {"names": NAMES, "n_permutations": 49, "seed": 3}
    plain = interaction_test(features, is_treated, covariates, noise, **kwargs)
    moved = noise + 50 * is_treated + covariates @ [7.0, -4.0]
    shifted = interaction_test(features, is_treated, covariates, moved, **kwargs)
    assert shifted.p_value == pytest.approx(plain.p_value)
    assert shifted.p_family == pytest.approx(plain.p_family)
    tilted = interaction_test(features, is_treated, covariates, moved + 9 * features[:, 1], **kwargs)
    assert tilted.p_value[1] == pytest.approx(plain.p_value[1])


def test_a_planted_interaction_is_found_with_its_sign_and_its_feature(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    outcome = 10 * is_treated - 4 * features[:, 2] * is_treated + rng.standard_normal(N_PEOPLE)
    found = interaction_test(features, is_treated, covariates, outcome, names=NAMES, n_permutations=199, seed=0)
    assert found.strongest == 2
    assert found.slope_difference[2] < 0
    assert found.p_any == found.p_family[2] == pytest.approx(1 / 200)
    assert found.document()["features"][0]["feature"] == "three"


def test_p_over_all_features_is_never_below_that_of_one(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    found = interaction_test(
        features, is_treated, covariates, rng.standard_normal(N_PEOPLE), names=NAMES, n_permutations=99, seed=0
    )
    assert (found.p_family >= found.p_value).all()


def test_a_feature_that_varies_in_one_arm_only_is_left_out_and_spoils_nothing(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    outcome = rng.standard_normal(N_PEOPLE)
    kwargs = {"names": NAMES, "n_permutations": 49, "seed": 3}
    features[:, 1] = np.where(is_treated, 0.3, features[:, 1])  # x and arm x feature are one column beside the arm
    features[:, 2] = 4.0
    found = interaction_test(features, is_treated, covariates, outcome, **kwargs)
    assert np.isfinite(found.p_family).tolist() == [True, False, False]
    alone = interaction_test(features[:, :1], is_treated, covariates, outcome, **(kwargs | {"names": NAMES[:1]}))
    assert found.p_family[0] == alone.p_family[0]
    assert found.document()["features"][-1]["p_family"] is None


def test_more_terms_than_people_is_an_error(rng: np.random.Generator) -> None:
    with pytest.raises(TrainingError, match="needs more than 12 people"):
        interaction_test(
            rng.standard_normal((12, 1)), np.arange(12) < 6, rng.standard_normal((12, 9)), rng.standard_normal(12),
            names=("one",), n_permutations=9, seed=0,
        )  # fmt: skip


def plain_arm_permutation_p(
    feature: np.ndarray, is_treated: np.ndarray, outcome: np.ndarray, rng: np.random.Generator
) -> float:
    """P-value that permuting the arms gives the interaction's coefficient: what is *not* done."""
    arms = np.concatenate([is_treated[None], rng.permuted(np.tile(is_treated, (N_PERMUTATIONS, 1)), axis=1)]) - 0.5
    ones = np.ones_like(arms)
    columns = np.stack([ones, ones * feature, arms, arms * feature], axis=2)
    slopes = np.linalg.solve(columns.transpose(0, 2, 1) @ columns, (columns.transpose(0, 2, 1) @ outcome)[..., None])
    size = np.abs(slopes[:, 3, 0])
    return float((size >= size[0] * (1 - 1e-9)).mean())


@pytest.mark.parametrize(
    ("n_treated", "arm_effect", "spread_of_treated", "plain"),
    [(20, 4.0, 1.0, "too rarely"), (10, 0.0, 3.0, "too often")],
    ids=["main effect of the arm", "small arm of larger spread"],
)
def test_permuting_arms_misses_the_level_where_this_test_holds_it(
    n_treated: int, arm_effect: float, spread_of_treated: float, plain: str
) -> None:
    rng = np.random.default_rng(11)
    p_plain, p_ours = [], []
    for seed in range(N_COHORTS):
        is_treated = rng.permutation(np.arange(N_PEOPLE) < n_treated)
        feature = rng.standard_normal(N_PEOPLE)
        noise = rng.standard_normal(N_PEOPLE) * np.where(is_treated, spread_of_treated, 1.0)
        outcome = arm_effect * is_treated + 1.0 * feature + noise  # prognostic; no interaction
        p_plain.append(plain_arm_permutation_p(feature, is_treated, outcome, rng))
        found = interaction_test(
            feature[:, None], is_treated, np.empty((N_PEOPLE, 0)), outcome,
            names=("one",), n_permutations=N_PERMUTATIONS, seed=seed,
        )  # fmt: skip
        p_ours.append(found.p_any)
    low, high = stats.binom.interval(0.99, N_COHORTS, 0.05)
    n_plain, n_ours = (int((np.array(p) <= 0.05).sum()) for p in (p_plain, p_ours))
    assert low <= n_ours <= high, n_ours
    assert n_plain < low if plain == "too rarely" else n_plain > high, n_plain


def test_groups_too_unlike_to_change_places_are_refused_with_a_reason(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    groups = np.repeat(np.arange(8), range(1, 9))  # 36 people, no two families of the same size
    with pytest.raises(TrainingError, match="hardly any groups have as many members in the same arms"):
        interaction_test(
            features[:36], is_treated[:36], covariates[:36, :0], rng.standard_normal(36), names=NAMES,
            n_permutations=9, seed=0, groups=groups.tolist(),
        )  # fmt: skip


def test_a_group_of_its_own_kind_keeps_its_residuals_and_is_counted(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    groups = np.r_[np.zeros(4, dtype=int), np.arange(1, 37)]
    found = interaction_test(
        features, is_treated, covariates, rng.standard_normal(40), names=NAMES, n_permutations=9, seed=0,
        groups=groups.tolist(),
    )  # fmt: skip
    assert found.n_fixed == 4
    assert found.document()["n_not_exchanged"] == 4


def test_standard_errors_of_people_entered_twice_are_those_of_people_entered_once(rng: np.random.Generator) -> None:
    features, is_treated, covariates = design(rng)
    outcome = rng.standard_normal(N_PEOPLE)
    kwargs = {"names": NAMES, "n_permutations": 9, "seed": 0}
    once = interaction_test(features, is_treated, covariates, outcome, **kwargs)  # type: ignore[arg-type]
    twice = [np.repeat(part, 2, axis=0) for part in (features, is_treated, covariates, outcome)]
    blind = interaction_test(*twice, **kwargs)  # type: ignore[arg-type]
    seeing = interaction_test(*twice, groups=np.repeat(np.arange(N_PEOPLE), 2).tolist(), **kwargs)  # type: ignore[arg-type]
    assert seeing.slope_difference == pytest.approx(once.slope_difference)
    assert seeing.standard_error == pytest.approx(once.standard_error, rel=1e-9)
    assert (blind.standard_error < 0.8 * once.standard_error).all()
