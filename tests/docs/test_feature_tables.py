from __future__ import annotations

from pathlib import Path

from feature_tables import families_table, family_table, feature_list, outcomes_table, recipe_table, regions_table

from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import FAMILIES, default_recipe
from training.cohort.outcome import OUTCOMES


def test_every_family_has_a_row_and_a_section_with_equation_sign_and_standard_error(project: Path) -> None:
    page = (project / "docs" / "reference" / "features.md").read_text(encoding="utf-8")
    for family in FAMILIES:
        anchor = f"family-{family.replace('_', '-')}"
        assert f"(#{anchor})" in families_table()
        assert f"({anchor})=" in page
        assert f"feature_tables:family_table {family}\n" in page
        assert f"feature_tables:feature_list {family}\n" in page


def test_the_counts_add_up_to_all_features() -> None:
    n_features = len(feature_definitions(default_recipe()))
    assert f"**{n_features}**" in families_table()
    rows = [line for family in FAMILIES for line in feature_list(family).splitlines()[2:]]
    assert len(rows) == n_features


def test_a_family_says_its_unit_and_how_its_standard_error_is_made() -> None:
    text = family_table("gppi_faces")
    assert "| unit | beta |" in text
    assert "AR(1)" in text


def test_regions_recipe_and_outcomes_are_those_of_the_code() -> None:
    assert "| `vmPFC` | 0, 26, -18 | 8 |" in regions_table()
    assert "| `bootstrap_samples` | `200` |" in recipe_table()
    assert [name for name in OUTCOMES if f"| `{name}` |" not in outcomes_table()] == []
