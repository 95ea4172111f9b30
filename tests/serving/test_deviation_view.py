"""How a visit compares with controls, in words."""

from __future__ import annotations

from typing import Any

from serving.schemas import Deviations
from serving.web.deviation_view import N_SHOWN, deviation_view


def block(**changed: Any) -> dict[str, Any]:
    """Return a block of an answer with one strong, one weak and one missing connection among ten."""
    z = [0.1, -2.4, 0.3, 3.1, None, 0.2, -0.4, 0.5, -0.6, 0.7]
    edges = [
        {"feature": f"rest_fisher_z__amygdala_L__r{number}", "z": value, "standard_error": None if number else 0.4}
        for number, value in enumerate(z)
    ]
    edges[3]["standard_error"] = 0.512
    reference = {"n_people": 40, "expected_given": ["age", "sex", "site"], "pooled_over": ["site"]}
    document = {
        "edges": edges,
        "hypoconnected_edges": 1,
        "hyperconnected_edges": 1,
        "mean": 0.2,
        "n_edges": 9,
        "threshold": 1.96,
        "reference": reference,
    }
    return document | changed


def test_the_strongest_deviations_come_first_with_their_standard_errors() -> None:
    view = deviation_view(block())
    assert view is not None
    assert len(view.rows) == N_SHOWN
    first, second, third = view.rows[:3]
    assert (first.name, first.z, first.standard_error, first.verdict) == (
        "left amygdala – r3",
        "+3.10",
        "0.51",
        "stronger",
    )
    assert (second.z, second.standard_error, second.verdict) == ("−2.40", "not known", "weaker")
    assert third.verdict == "as expected"


def test_counts_are_said_beside_what_chance_gives() -> None:
    view = deviation_view(block())
    assert view is not None
    assert view.counts.startswith("Of 9 measured connections, 1 is weaker than expected of controls (hypoconnected)")
    assert "about 5 % lie that far out by chance" in view.by_chance
    assert view.compared_with == (
        "Expected is what the 40 controls of the model show in people of the same age and sex. "
        "For site all controls are taken together."
    )
    none = deviation_view(block(hypoconnected_edges=0, hyperconnected_edges=3))
    assert none is not None
    assert "none is weaker" in none.counts
    assert "3 are stronger" in none.counts


def test_nothing_is_said_without_controls_or_without_a_connection() -> None:
    assert deviation_view(None) is None
    assert deviation_view(block(n_edges=0)) is None


def test_the_schema_describes_the_block() -> None:
    assert Deviations(**block()).model_dump() == block()
