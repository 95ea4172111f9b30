from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ModelBundleError
from training.evaluation.row_fingerprints import RowFingerprints, fingerprints_of, make_fingerprints

N_PEOPLE, N_FEATURES = 40, 120


def cohort(rng: np.random.Generator, *, n_features: int = N_FEATURES) -> pd.DataFrame:
    names = [f"edge_{number}" for number in range(n_features)]
    return pd.DataFrame(rng.standard_normal((N_PEOPLE, n_features)), [f"p{n}" for n in range(N_PEOPLE)], names)


def marks_of(values: pd.DataFrame) -> RowFingerprints:
    return make_fingerprints(values, families=["rest"] * values.shape[1])


def test_copies_are_found_and_strangers_are_not(rng: np.random.Generator) -> None:
    values = cohort(rng)
    marks = marks_of(values)
    assert marks.n_shared(values.to_numpy()) == (N_PEOPLE, 0)
    assert marks.n_shared(rng.standard_normal((300, N_FEATURES))) == (0, 0)


@pytest.mark.parametrize("noise", [1e-6, 0.001, 0.01])
def test_rows_that_were_computed_again_are_found(rng: np.random.Generator, noise: float) -> None:
    values = cohort(rng)
    again = values.to_numpy() + noise * rng.standard_normal(values.shape)
    assert marks_of(values).n_shared(again) == (0, N_PEOPLE)


def test_rows_rounded_to_three_digits_are_found(rng: np.random.Generator) -> None:
    values = cohort(rng)
    assert marks_of(values).n_shared(values.round(3).to_numpy()) == (0, N_PEOPLE)


def test_another_visit_of_the_same_people_is_no_copy(rng: np.random.Generator) -> None:
    values = cohort(rng)
    visit = 0.8 * values.to_numpy() + 0.6 * rng.standard_normal(values.shape)  # correlation .8
    assert marks_of(values).n_shared(visit) == (0, 0)


def test_features_that_follow_one_global_signal_do_not_make_strangers_alike(rng: np.random.Generator) -> None:
    signal, others = rng.standard_normal((N_PEOPLE, 1)), rng.standard_normal((300, 1))
    values = cohort(rng) * 0.01 + signal
    noise = 0.01 * rng.standard_normal((300, N_FEATURES))
    assert marks_of(values).n_shared(others + noise) == (0, 0)


def test_families_that_are_missing_together_leave_bands_of_the_others(rng: np.random.Generator) -> None:
    values = cohort(rng)
    values.iloc[rng.random(N_PEOPLE) < 0.3, 60:] = np.nan
    marks = make_fingerprints(values, families=["rest"] * 60 + ["faces"] * 60)
    again = values.to_numpy() + 0.001 * rng.standard_normal(values.shape)
    assert marks.n_shared(again) == (0, N_PEOPLE)


def test_few_features_are_read_on_a_finer_grid_and_too_few_not_at_all(rng: np.random.Generator) -> None:
    few = cohort(rng, n_features=6)
    cells = [width for band in marks_of(few).bands for width in band.widths]
    assert max(cells) < 0.001  # 80 bits over six features
    assert marks_of(few).n_shared(few.to_numpy() + 1e-8) == (0, N_PEOPLE)
    two = marks_of(cohort(rng, n_features=2))
    assert (two.bands, two.row_marks, two.band_marks) == ((), (), ())


def test_counts_and_labels_are_no_continuous_features(rng: np.random.Generator) -> None:
    counts = pd.DataFrame(rng.integers(0, 5, (N_PEOPLE, 30)).astype(float))
    assert marks_of(counts).row_marks == ()


def test_what_is_kept_holds_marks_and_no_value(rng: np.random.Generator) -> None:
    values = cohort(rng)
    text = json.dumps(marks_of(values).document())
    assert fingerprints_of(json.loads(text)) == marks_of(values)
    assert not any(f"{abs(value):.8g}" in text for value in values.to_numpy().ravel()[:500])
    assert all(re.fullmatch("[0-9a-f]{32}", mark) for mark in marks_of(values).row_marks)


def test_the_order_of_people_is_not_kept(rng: np.random.Generator) -> None:
    values = cohort(rng)
    assert marks_of(values.iloc[::-1]).row_marks == marks_of(values).row_marks
    assert marks_of(values.iloc[::-1]).band_marks == marks_of(values).band_marks


def test_a_damaged_document_is_named() -> None:
    with pytest.raises(ModelBundleError, match="damaged"):
        fingerprints_of({"salt": "x"})
