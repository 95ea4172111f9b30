from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.classification import ResponseForecast
from training.evaluation.decision_curve import DecisionCurve, draw_decision_curve
from training.evaluation.metrics import NotReported
from training.evaluation.splits import leave_one_out


def forecast(probability: np.ndarray, is_responder: np.ndarray, folds: np.ndarray | None = None) -> ResponseForecast:
    folds = (np.arange(len(is_responder)) % 4)[np.newaxis] if folds is None else folds
    return ResponseForecast(is_responder, probability, np.full(probability.shape, 0.5), folds)


def drawn(of: ResponseForecast, **options: object) -> DecisionCurve:
    found = draw_decision_curve(of, seed=0, **options)  # type: ignore[arg-type]
    assert isinstance(found, DecisionCurve)
    return found


def test_net_benefit_is_vickers_and_elkins(rng: np.random.Generator) -> None:
    is_responder = rng.random(40) < 0.4
    probability = rng.random((2, 40))
    curve = drawn(forecast(probability, is_responder, rng.permutation(np.arange(80) % 4).reshape(2, 40)))
    assert curve.thresholds[3] == 0.2
    treated = probability >= 0.2
    n_true, n_false = (treated & is_responder).sum() / 2, (treated & ~is_responder).sum() / 2
    assert curve.model[3] == pytest.approx(n_true / 40 - n_false / 40 * 0.2 / 0.8)
    assert curve.treat_all[3] == pytest.approx(is_responder.mean() - (1 - is_responder.mean()) * 0.2 / 0.8)
    assert curve.gain[3] == pytest.approx(curve.model[3] - max(curve.treat_all[3], 0))


def test_knowing_who_responds_beats_both_and_knowing_nothing_beats_neither(rng: np.random.Generator) -> None:
    is_responder = rng.random(200) < 0.5
    oracle = drawn(forecast(is_responder[np.newaxis].astype(float), is_responder))
    assert oracle.model == pytest.approx(is_responder.mean())
    assert (oracle.gain_lower > 0).all()
    ignorant = drawn(forecast(rng.random((1, 200)), is_responder))
    assert ignorant.gain.mean() < 0
    assert (ignorant.gain_lower < 0).all()
    assert "19 of 19 thresholds, from 0.05 to 0.95" in oracle.line()
    assert "at no threshold" in ignorant.line()


def test_a_base_rate_for_everyone_is_treating_all_or_no_one() -> None:
    is_responder = np.arange(20) < 8
    curve = drawn(forecast(np.full((1, 20), 0.4), is_responder), thresholds=(0.3, 0.5))
    assert curve.model.tolist() == [curve.treat_all[0], 0.0]
    assert curve.table()["thresholds"].tolist() == [0.3, 0.5]


def test_leave_one_out_has_no_decision_curve(rng: np.random.Generator) -> None:
    alone = forecast(rng.random((1, 20)), np.arange(20) < 8, leave_one_out(20)[np.newaxis])
    assert isinstance(draw_decision_curve(alone, seed=0), NotReported)
