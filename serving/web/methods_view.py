"""How an answer came about, as a methods section says it, from the recipe, the card and the answer themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from predictor.features.recipe import Recipe
from predictor.report.methods_text import STRATEGY_IN_WORDS, Methods
from predictor.report.references import Citations
from predictor.report.wording import KIND_IN_WORDS, feature_in_words, in_percent
from serving.model_facts import ModelFacts
from serving.web.quality_view import quality_view

MODELS_IN_WORDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "elastic_net": ("an elastic net", ("zou2005",)),
    "ridge": ("ridge regression", ("hoerl1970",)),
    "random_forest": ("a random forest", ()),
    "hist_gradient_boosting": ("gradient-boosted trees", ()),
}
TREES: Final = ("random_forest", "hist_gradient_boosting")
KINDS_AT_REST: Final = ("rest_fisher_z", "rest_partial")


@dataclass(frozen=True, slots=True, eq=False)
class _Answered:
    answer: Mapping[str, Any]
    facts: ModelFacts
    cite: Citations

    @property
    def families(self) -> frozenset[str]:
        """Families whose features the model may use, as far as its card tells."""
        return frozenset(map(str, self.facts.card.get("feature_families") or ()))


def methods_of(answer: Mapping[str, Any], facts: ModelFacts) -> Methods:
    """Describe how an answer came about; what the model does not use is not described as done."""
    answered = _Answered(answer, facts, Citations())
    described = ((heading, " ".join(describe(answered))) for heading, describe in _PARAGRAPHS)
    return Methods(tuple((heading, said) for heading, said in described if said), answered.cite.references)


def _data(it: _Answered) -> Iterator[str]:
    runs = it.answer["quality"]
    if not runs:
        yield "Ready features were sent; no scan was read here. How the model’s own features were made:"
        return
    for run in quality_view(runs):
        facts = dict(run.facts)
        if "Volumes kept" in facts:
            yield f"{run.title}: {facts['Volumes kept']} volumes were used."
    for strategy in dict.fromkeys(run.get("confound_strategy") for run in runs.values()):
        if strategy and strategy != "none":
            yield f"Confounds taken out: {STRATEGY_IN_WORDS.get(strategy, strategy)} {it.cite('parkes2018')}."
    for because in dict.fromkeys(run.get("fallback_reason") for run in runs.values()):
        if because:
            yield f"Where this departs from the model’s recipe: {because}."


def _regions(it: _Answered) -> Iterator[str]:
    recipe = it.facts.recipe
    if recipe is None:
        return
    circuit = recipe.circuit
    radii = sorted({region.radius_mm for region in circuit.regions if region.radius_mm is not None})
    if not radii:
        yield f"The circuit {circuit.name} has {len(circuit.regions)} regions that are known by name."
        return
    span = f"{radii[0]:g}" if len(radii) == 1 else f"{radii[0]:g} to {radii[-1]:g}"
    cited = f" {it.cite('norbury2021')}" if circuit.name.startswith("fronto_limbic") else ""
    yield (
        f"Signals were averaged over {len(circuit.regions)} spherical regions of {span} mm radius in {circuit.space} "
        f"(circuit {circuit.name.replace('_', ' ')}){cited}; a region counts when "
        f"{in_percent(recipe.minimum_coverage)} of its voxels hold signal."
    )
    sources = list(dict.fromkeys(region.source for region in circuit.regions if region.source))
    if sources:
        yield f"Sources of the centres: {'; '.join(sources)}."


def _features(it: _Answered) -> Iterator[str]:
    recipe, families = it.facts.recipe, it.families
    if families:
        kinds = [KIND_IN_WORDS.get(family) or feature_in_words(family) for family in sorted(families)]
        yield f"Inputs from the scan: {'; '.join(_in_sentence(kind) for kind in kinds)}."
    if recipe is None:
        return
    if families & set(KINDS_AT_REST):
        yield _rest(it, recipe)
    if any(family.startswith(("activation_", "gppi_")) for family in families):
        yield from _task(it, recipe)
    if any(family.startswith("rdcm_") for family in families):
        yield (
            "Effective connectivity was estimated by regression dynamic causal modelling "
            f"{it.cite('frassle2017', 'frassle2021')}."
        )


def _rest(it: _Answered, recipe: Recipe) -> str:
    ends = [f"{end:g} Hz" for end in (recipe.high_pass_hz, recipe.low_pass_hz) if end is not None]
    band = f", filtered at {' to '.join(ends)}" if ends else ", without a filter"
    limit = recipe.censor_framewise_displacement_mm
    censored = f"; volumes that moved more than {limit:g} mm were censored {it.cite('power2012')}" if limit else ""
    is_partial = "rest_partial" in it.families
    partial = f", partial ones from a shrunken covariance {it.cite('ledoit2004')}" if is_partial else ""
    return f"Resting connectivity is the Fisher z of correlations{partial}{band}{censored}."


def _task(it: _Answered, recipe: Recipe) -> Iterator[str]:
    shape = ("Glover’s", "glover1999") if recipe.hrf == "glover" else ("the canonical", "friston1998")
    yield f"Task runs were modelled with {shape[0]} haemodynamic response {it.cite(shape[1])}."
    if any(family.startswith("gppi_") for family in it.families):
        seed = f"the deconvolved seed {it.cite('gitelman2003')}" if recipe.deconvolve_seed else "the measured seed"
        yield (
            "Task connectivity is the generalised psychophysiological interaction "
            f"{it.cite('mclaren2012')} of {seed}, contrasted as faces minus control."
        )


def _model(it: _Answered) -> Iterator[str]:
    facts, card = it.facts, it.facts.card
    words, works = MODELS_IN_WORDS.get(str(card.get("model")), (str(card.get("model") or "the model"), ()))
    cited = f" {it.cite(*works)}" if works else ""
    cohort = f" ({facts.cohort})" if facts.cohort else ""
    yield f"The expected outcome is that of {words}{cited}, learned from {facts.trained_on} people{cohort}."
    covariates = [feature_in_words(str(name)) for name in card.get("covariates") or ()]
    if covariates:
        yield f"Besides the scan it takes: {'; '.join(_in_sentence(name) for name in covariates)}."
    if card.get("validation"):
        yield f"It was judged by {card['validation']}."
    permutation = card.get("permutation") or {}
    if permutation.get("p_value") is not None:
        how_many = f"{permutation['n_permutations']} permutations" if "n_permutations" in permutation else "Permutation"
        yield f"{how_many} of the whole pipeline gave p = {permutation['p_value']:.2g}."


def _doubt(it: _Answered) -> Iterator[str]:
    if not it.answer.get("arms"):
        return
    yield (
        "The interval rests on how far the model was off for training people that it had not seen "
        f"{it.cite('barber2021')}."
    )
    if it.answer.get("explanation"):
        yield f"{_shapley(it)} They say what the model used, not what causes improvement."


def _shapley(it: _Answered) -> str:
    if it.facts.card.get("model") in TREES:
        return (
            f"Contributions are exact Shapley values of the trees {it.cite('lundberg2020')}: an input that is not told "
            "is averaged over by how the training people pass the nodes."
        )
    return f"Contributions are exact Shapley values of the model against the training people {it.cite('lundberg2017')}."


def _in_sentence(words: str) -> str:
    """Return a name for the middle of a sentence; abbreviations such as CAPS-5 and gPPI keep their letters."""
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


_PARAGRAPHS: Final[tuple[tuple[str, Callable[[_Answered], Iterator[str]]], ...]] = (
    ("Data", _data),
    ("Regions", _regions),
    ("Features", _features),
    ("Model", _model),
    ("Uncertainty and explanation", _doubt),
)
