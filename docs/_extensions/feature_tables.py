"""What the feature catalogue and the outcomes say about themselves, as tables of the reference pages."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from markdown_text import escaped, table

from predictor.features.feature_catalogue import (
    RUN_KIND_OF_FAMILY,
    STANDARD_ERROR_METHODS,
    feature_definitions,
)
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import FAMILIES, Recipe, default_recipe
from training.report.training_references import ALL_REFERENCES


@lru_cache(maxsize=1)
def _recipe() -> Recipe:
    return default_recipe()


def families_table() -> str:
    """Return one row per family of the default recipe: run, unit, number of features, standard error."""
    counts = Counter(definition.family for definition in feature_definitions(_recipe()))
    rows = [
        [
            f"[`{family}`](#family-{family.replace('_', '-')})",
            RUN_KIND_OF_FAMILY.get(family, "all"),
            _units(family),
            str(counts[family]),
            escaped(STANDARD_ERROR_METHODS[family]),
        ]
        for family in FAMILIES
    ]
    total = ["**all**", "", "", f"**{sum(counts.values())}**", ""]
    return table(["family", "run", "unit", "features", "standard error"], [*rows, total])


def family_table(family: str) -> str:
    """Return facts of one family: run, unit, number, standard error, an example with its description."""
    definitions = _of_family(family)
    example = definitions[0]
    facts = [
        ["run", RUN_KIND_OF_FAMILY.get(family, "every run")],
        ["unit", _units(family)],
        ["features in the default circuit", str(len(definitions))],
        ["standard error", escaped(STANDARD_ERROR_METHODS[family])],
        ["for example", f"`{example.name}`: {escaped(example.description)}"],
    ]
    return table(["of this family", ""], facts)


def feature_list(family: str) -> str:
    """Return every feature of one family with unit and description, for those who look one up."""
    rows = [[f"`{d.name}`", escaped(d.unit), escaped(d.description)] for d in _of_family(family)]
    return table(["feature", "unit", "meaning"], rows)


def regions_table() -> str:
    """Return the regions of the default circuit: centre, radius and source."""
    rows = [
        [
            f"`{region.name}`",
            _place(region.centre_mni_mm),
            "" if region.radius_mm is None else f"{region.radius_mm:g}",
            escaped(region.source),
        ]
        for region in _recipe().circuit.regions
    ]
    return table(["region", "centre, MNI mm", "radius, mm", "source"], rows)


def recipe_table() -> str:
    """Return every number and choice of the default recipe, as `features.json` writes it down."""
    document = {name: value for name, value in _recipe().document().items() if name not in ("circuit", "tasks")}
    return table(["entry", "default"], [[f"`{name}`", f"`{_plain(value)}`"] for name, value in document.items()])


def outcomes_table() -> str:
    """Return every registered outcome: columns, unit, scale, and what counts as a response."""
    from training.cohort.outcome import OUTCOMES

    rows = []
    for name, outcome in OUTCOMES.items():
        definition = outcome.definition(name)
        rule = definition.response_rule or (f"at least {outcome.threshold:g} {outcome.threshold_unit}")
        columns = ", ".join(f"`{column}`" for column in outcome.columns)
        rows.append([f"`{name}`", columns, f"0 to {outcome.highest:g}", definition.unit, escaped(rule)])
    return table(["outcome", "columns of `participants.tsv`", "scale", "unit", "response"], rows)


def cited(*keys: str) -> str:
    """Return the works of these keys as a list with links."""
    found = [ALL_REFERENCES[key] for key in keys]
    return "\n".join(
        f"- {escaped(work.full)}" + (f" [doi {escaped(work.doi)}](https://doi.org/{work.doi})" if work.doi else "")
        for work in found
    )


def _of_family(family: str) -> list[FeatureDefinition]:
    return [definition for definition in feature_definitions(_recipe()) if definition.family == family]


def _units(family: str) -> str:
    return ", ".join(dict.fromkeys(escaped(definition.unit) for definition in _of_family(family)))


def _place(centre: tuple[float, float, float] | None) -> str:
    return "" if centre is None else ", ".join(f"{value:g}" for value in centre)


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "none" if value is None else str(value)
