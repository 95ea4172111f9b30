"""The Balloon model's response."""

from __future__ import annotations

import pytest

from predictor.features.balloon_response import balloon_response


def test_response_rises_peaks_after_some_seconds_and_undershoots() -> None:
    response = balloon_response(800, 0.05)
    assert response[0] == 0
    assert 3 < response.argmax() * 0.05 < 7
    assert response.min() < 0
    assert response.argmin() > response.argmax()
    assert abs(response[-1]) < 0.01 * response.max()


def test_response_hardly_depends_on_the_step_per_second_of_input() -> None:
    coarse, fine = balloon_response(400, 0.1), balloon_response(4000, 0.01)
    assert coarse.max() / 0.1 == pytest.approx(fine.max() / 0.01, rel=0.15)


def test_the_shared_response_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        balloon_response(100, 0.1)[0] = 1.0
