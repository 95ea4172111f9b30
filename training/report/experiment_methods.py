"""How an experiment was done, in sentences for a methods section, from the configuration that was really run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from predictor.report.methods_text import Methods
from predictor.report.references import Citations
from predictor.report.wording import outcome_in_words
from training.report.figure_frame import in_words
from training.report.record_parts import first_model
from training.report.record_reading import baselines, is_reported, listed, model_in_words
from training.report.training_references import ALL_REFERENCES

Document = Mapping[str, Any]

_MODEL_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "elastic_net": ("zou2005",),
    "lasso": ("tibshirani1996",),
    "ridge": ("hoerl1970",),
    "cpm": ("shen2017",),
}
_FAMILIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "rest_fisher_z": ("Fisher z of the correlation of region signals at rest", ()),
    "rest_partial": ("Fisher z of the partial correlation at rest, from a shrunken covariance", ("ledoit2004",)),
    "activation_faces": ("activation by faces", ("friston1998",)),
    "activation_conflict": ("activation by conflict", ("friston1998",)),
    "activation_conflict_regulation": ("activation in the regulation of conflict", ("etkin2006",)),
    "gppi_faces": ("psychophysiological interactions while viewing faces", ("mclaren2012",)),
    "rdcm_rest": ("effective connectivity at rest by regression dynamic causal modelling", ("frassle2021",)),
    "rdcm_faces": ("effective connectivity while viewing faces by regression DCM", ("frassle2017",)),
}


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    document: Document
    cite: Citations

    def section(self, name: str) -> Document:
        """Return a section of the configuration, empty where there is none."""
        return self.document["config"].get(name) or {}


def describe_experiment(document: Document) -> Methods:
    """Describe how the models were made and judged; what was not done is not described as done.

    Parameters
    ----------
    document
        Of an experiment record.
    """
    run = _Run(document, Citations(ALL_REFERENCES))
    paragraphs = [(heading, " ".join(describe(run))) for heading, describe in _PARAGRAPHS]
    return Methods(tuple((heading, said) for heading, said in paragraphs if said), run.cite.references)


def _people(run: _Run) -> Iterator[str]:
    cohort = run.document["cohort"]
    simulated = " The data are synthetic: no real person took part." if run.document["is_synthetic"] else ""
    arms = cohort["n_per_arm"]
    by_arm = f" ({listed([f'{n} {arm}' for arm, n in arms.items()])})" if len(arms) > 1 else ""
    yield f"{cohort['n_participants']} people of the cohort {cohort['name']} were analysed{by_arm}.{simulated}"
    if cohort["n_left_out"]:
        yield f"{cohort['n_left_out']} more had no usable features and were left out."
    outcome = run.document["outcome"]
    better = "higher" if outcome["better"] == "higher" else "lower"
    unit = f" in {outcome['unit']}" if outcome["unit"] else ""
    yield f"The outcome was {outcome_in_words(outcome['name'])}{unit}; {better} is better."
    if outcome["response_rule"]:
        yield f"A response was {outcome['response_rule']}."


def _features(run: _Run) -> Iterator[str]:
    features = run.document["features"]
    described = []
    for family, facts in features["families"].items():
        words, sources = _FAMILIES.get(family, (family.replace("_", " "), ()))
        cited = f" {run.cite(*sources)}" if sources else ""
        described.append(f"{words} ({facts['n']}){cited}")
    yield f"Models could weigh {features['n']} features: {listed(described)}."
    yield from _recipe(run, features["recipe"])
    names = run.section("features").get("names") or []
    if names:
        yield f"{len(names)} of the measures were named before any model was fitted."
    minimum = run.section("features").get("minimum_reliability") or 0
    if minimum:
        yield (
            f"In every fold, features were set aside whose reliability (one minus the share of scan noise in their "
            f"variance over the training people) was below {minimum:g}."
        )
    yield "Missing values were filled in, and inputs scaled, from the training people of each fold."


def _recipe(run: _Run, recipe: Document | None) -> Iterator[str]:
    if recipe is None:
        yield "They came as a table of ready features; how they were made is not recorded there."
        return
    circuit = recipe["circuit"]
    yield f"Regions: circuit {circuit['name']}, {len(circuit['regions'])} regions."
    limit = recipe["censor_framewise_displacement_mm"]
    if limit is not None:
        yield f"Volumes with a framewise displacement above {limit:g} mm were censored {run.cite('power2014')}."
    yield f"Nuisance regressors followed the strategy {recipe['confound_strategy']} {run.cite('parkes2018')}."
    if any(family.startswith("rest") for family in run.document["features"]["families"]):
        band = [f"{recipe[key]:g} Hz" for key in ("high_pass_hz", "low_pass_hz") if recipe[key] is not None]
        yield f"Resting signals were filtered ({' to '.join(band)})." if band else "Resting signals were not filtered."
    if any(family.startswith("gppi") for family in run.document["features"]["families"]):
        seed = (
            f"the deconvolved seed {run.cite('gitelman2003')}"
            if recipe["deconvolve_seed"]
            else "the measured seed signal"
        )
        yield f"Interactions were built from {seed}."


def _cohort_steps(run: _Run) -> Iterator[str]:
    reference = run.document["cohort"]["reference"]
    if reference:
        given = f" given {listed(reference['expected_given'])}" if reference["expected_given"] else ""
        yield (
            f"Deviations were taken from what {reference['n_controls']} controls, who were in no fold, let expect"
            f"{given} {run.cite('crawford1998')}; connections beyond {reference['threshold']:g} standard deviations "
            "count as hypo- or hyperconnected."
        )
    harmonization = run.document["features"]["harmonization"]
    if harmonization:
        kept = f", keeping effects of {listed(harmonization['preserved'])}" if harmonization["preserved"] else ""
        yield (
            f"Site effects were taken out of {harmonization['n_features']} features by ComBat "
            f"{run.cite('johnson2007')}, learned from the training people of each fold{kept}."
        )


def _models(run: _Run) -> Iterator[str]:
    first, config = first_model(run.document), run.section("model")
    cited = run.cite(*_MODEL_SOURCES[first["name"]]) if first["name"] in _MODEL_SOURCES else ""
    if first["role"] == "winner":
        yield f"Models competed; {model_in_words(first['name'])} had the highest R2 {cited}".strip() + "."
    else:
        yield f"The primary model, named before fitting, was {model_in_words(first['name'])} {cited}".strip() + "."
    if first["name"] == "elastic_net":
        ratios = listed([f"{ratio:g}" for ratio in config["l1_ratios"]])
        yield f"Penalties were chosen from {config['n_alphas']} strengths and mixing ratios {ratios}."
    unpenalised = [one["name"] for one in run.document["features"]["covariates"] if one["role"] != "reference"]
    if unpenalised:
        arms = (
            "; features could act differently in each arm (arm x feature)"
            if run.section("covariates").get("interactions")
            else ""
        )
        yield f"Entered without a penalty: {listed([in_words(name) for name in unpenalised])}{arms}."
    others = [one["name"] for one in run.document["models"][1:] if one["role"] == "candidate"]
    if others:
        yield f"Reported beside it: {listed([model_in_words(name) for name in others])}."
    simple = [one["name"] for one in baselines(run.document)]
    if simple:
        yield f"Baselines by least squares, on the same folds: {listed(simple)}."


def _validation(run: _Run) -> Iterator[str]:
    yield (
        f"Models were judged by {run.document['validation']}; every learned step, tuning included, saw the training "
        f"people only {run.cite('poldrack2020')}."
    )
    if run.section("cohort").get("groups"):
        yield "People who belong together were never split over folds."
    yield (
        "R2 compares squared errors with those of the mean of the training people. Its intervals are percentiles of a "
        f"bootstrap over people and do not contain the variation from training anew {run.cite('varoquaux2018')}; "
        f"differences between models have intervals that allow for shared training people {run.cite('nadeau2003')}."
    )
    assessment = first_model(run.document)["assessment"]
    if is_reported(assessment["calibration"]):
        yield f"Calibration is the slope of found on predicted {run.cite('vancalster2016')}."
    if is_reported(assessment["decision_curve"]):
        yield f"Net benefit of acting on predicted responses was drawn as a decision curve {run.cite('vickers2006')}."


def _chance(run: _Run) -> Iterator[str]:
    test = run.document["permutation"]
    if not test["n_permutations"]:
        yield "Chance level was not tested by permutation."
        return
    yield (
        f"The whole cross-validation was repeated with {test['n_permutations']} permutations of the "
        f"outcome {run.cite('winkler2015')}, on folds drawn anew for each. Null hypothesis: {test['null_hypothesis']}."
    )
    if test["stopped_early"]:
        yield f"Drawing ended early, once enough permutations had done as well {run.cite('besag1991')}."
    if test["competitors"]:
        yield "The statistic was the highest R2 among the competing models, in every permutation anew."


def _benefit(run: _Run) -> Iterator[str]:
    benefit = run.document["benefit"]
    if "interaction" not in benefit:
        yield f"Benefit of the treatment could not be told from prognosis: {benefit['reason']}."
        return
    yield (
        f"Whether features tell who gains from {benefit['treated']} beyond {benefit['control']} was decided by one "
        f"test: arm x feature, {benefit['interaction']['n_permutations']} Freedman-Lane permutations "
        f"{run.cite('freedman1983', 'winkler2014')}, family-wise over the features."
    )
    if benefit["learners"]:
        yield (
            f"Cross-fitted {listed(list(benefit['learners']))} {run.cite('kunzel2019')} say how large benefit is "
            f"predicted to be; it is judged by the slope of found on predicted benefit {run.cite('chernozhukov2018')} "
            f"and by the C-for-benefit {run.cite('vanklaveren2018')}, and decides nothing."
        )


def _uncertainty(run: _Run) -> Iterator[str]:
    coverage = run.document["coverage"]
    if coverage:
        yield (
            f"{100 * coverage['promised']:.0f} % prediction intervals are CV+ {run.cite('barber2021')}; their coverage "
            "was counted on people left out of everything."
        )
    if is_reported(run.document["shap"]) and run.document["shap"].get("method") == "trees":
        yield (
            f"Contributions are SHAP values of trees {run.cite('lundberg2020')}, path-dependent: an input that is not "
            "told is averaged over by how the training people pass the nodes."
        )
    elif is_reported(run.document["shap"]):
        yield f"Contributions are SHAP values of a linear model in closed form {run.cite('lundberg2017')}."
    yield f"Power is that of a prediction fixed beforehand {run.cite('cohen1988')}."


def _audit(run: _Run) -> Iterator[str]:
    proof = next(iter(run.document["audit"]["models"].values()), None)
    if proof:
        isolation = proof["fold_isolation"]
        yield (
            f"Fold isolation was proven by poisoning held-out people and comparing {isolation['n_values_compared']:,} "
            f"fitted values in {isolation['n_folds']} folds: {'passed' if proof['passed'] else 'not passed'}."
        )


def _software(run: _Run) -> Iterator[str]:
    shown = ", ".join(f"{name} {number}" for name, number in run.document["environment"].items())
    yield f"Software: {shown} {run.cite('pedregosa2011', 'abraham2014')}."
    yield f"Reporting follows TRIPOD+AI {run.cite('collins2024')}."


_PARAGRAPHS: Final[tuple[tuple[str, Callable[[_Run], Iterator[str]]], ...]] = (
    ("People and outcome", _people),
    ("Features", _features),
    ("Learned from the cohort", _cohort_steps),
    ("Models", _models),
    ("Validation", _validation),
    ("Chance level", _chance),
    ("Benefit of the treatment", _benefit),
    ("Intervals, contributions and power", _uncertainty),
    ("Isolation of the folds", _audit),
    ("Software and reporting", _software),
)
