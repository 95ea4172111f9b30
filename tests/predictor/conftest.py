"""Small synthetic cohorts and bundles for the tests of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from sklearn.base import clone
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.pipeline import Pipeline

from predictor.features.extraction import extract_features
from predictor.features.feature_vector import FeatureDefinition, FeatureVector
from predictor.features.recipe import Recipe, default_recipe
from predictor.model.bundle import ModelBundle
from predictor.model.deviation import ReferenceDeviation
from predictor.model.learned_features import LearnedDeviations, learned_definitions, summary_parts
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.reference_model import reference_covariate
from predictor.model.response_design import ResponseDesign, linear_model_of
from predictor.model.training_range import describe_training
from predictor.model.tree_arrays import TreeArrays
from predictor.model.tree_model import TreeEnsemble, TreeResponseModel
from predictor.scan.region_signals import MeanImage, RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import RunKind

ARM = Covariate("arm", "category", ("ketamine", "midazolam"), role="arm")
SEVERITY = Covariate("caps5_total_baseline", "number", role="clinical", unit="points")
SITE = Covariate("site", "category", ("A", "B", "C"), role="site")
IMPROVEMENT = OutcomeDefinition("caps5_percent_improvement", "percent", "higher", 30.0, "at least 30 percent")
N_FOLDS, N_BOOTSTRAP = 5, 20
Array = NDArray[np.float64]
TRAINED_BY = "sha256:" + "1" * 64
REGIONS = ("amygdala_L", "amygdala_R", "dACC", "amPFC", "dmPFC")


def _definition(number: int) -> FeatureDefinition:
    region = REGIONS[number % len(REGIONS)]
    name = f"rest_fisher_z__{region}__vmPFC{number // len(REGIONS) or ''}"
    circuit = f"{region.split('_')[0]}-vmPFC"
    return FeatureDefinition(
        name, "fisher_z", "rest_fisher_z", "rest", circuit, f"resting connectivity between {region} and vmPFC"
    )


@dataclass(frozen=True, eq=False)
class Cohort:
    """Features and covariates of a cohort, and its outcome: the first feature matters, in the first arm only."""

    table: pd.DataFrame
    outcome: np.ndarray[Any, np.dtype[np.float64]]
    definitions: tuple[FeatureDefinition, ...]
    covariates: tuple[Covariate, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(definition.name for definition in self.definitions)


def _make_cohort(
    *,
    n_people: int = 80,
    n_features: int = 5,
    covariates: tuple[Covariate, ...] = (ARM, SEVERITY, SITE),
    effect: float = 8.0,
    noise: float = 12.0,
    missing_share: float = 0.05,
    seed: int = 0,
) -> Cohort:
    rng = np.random.default_rng(seed)
    definitions = tuple(_definition(number) for number in range(n_features))
    features = rng.standard_normal((n_people, n_features))
    is_ketamine = rng.permutation(n_people) % 2 == 0
    severity = rng.normal(42, 8, n_people)
    outcome = 20 + 15 * is_ketamine + effect * features[:, 0] * is_ketamine + 0.3 * (severity - 42)
    outcome = outcome + rng.normal(0, noise, n_people)
    features[rng.random(features.shape) < missing_share] = np.nan
    table = pd.DataFrame(features, columns=[definition.name for definition in definitions])
    known = {"arm": np.where(is_ketamine, "ketamine", "midazolam"), "caps5_total_baseline": severity}
    known["site"] = rng.choice(["A", "B", "C"], n_people)
    for covariate in covariates:
        table[covariate.name] = known[covariate.name]
    return Cohort(table, outcome, definitions, covariates)


def _fit(cohort: Cohort, rows: Any, regressor: Any, *, arm_interactions: bool = True) -> Pipeline:
    design = ResponseDesign(
        covariates=cohort.covariates, features=cohort.feature_names, arm_interactions=arm_interactions
    )
    pipeline = Pipeline([("design", design), ("model", regressor)])
    return pipeline.fit(cohort.table.iloc[rows], cohort.outcome[rows])


def _make_controls(cohort: Cohort, *, n_controls: int = 45, seed: int = 3) -> pd.DataFrame:
    """Healthy people whose connectivity depends on age and sex, by names of the cohort's features."""
    rng = np.random.default_rng(seed)
    age, sex = rng.normal(40, 10, n_controls), rng.choice(["F", "M"], n_controls)
    values = rng.standard_normal((n_controls, len(cohort.feature_names))) + 0.02 * (age - 40)[:, np.newaxis]
    return pd.DataFrame(values, columns=list(cohort.feature_names)).assign(age=age, sex=sex)


def _deviating(cohort: Cohort) -> tuple[Cohort, ReferenceDeviation]:
    """Give the cohort age and sex, and an outcome that also depends on how many connections are too strong."""
    rng = np.random.default_rng(8)
    n_people = len(cohort.outcome)
    asked = (Covariate("age", "number", role="reference"), Covariate("sex", "category", ("F", "M"), role="reference"))
    table = cohort.table.assign(age=rng.normal(40, 10, n_people), sex=rng.choice(["F", "M"], n_people))
    step = ReferenceDeviation(
        _make_controls(cohort),
        sources=cohort.feature_names[:4],
        covariates=(reference_covariate("age"), reference_covariate("sex", ["F", "M"])),
        threshold=1.0,
    )
    learned = step.fit(table).transform(table)
    outcome = cohort.outcome + 6 * learned["hyperconnected_edges"].to_numpy()
    return Cohort(table, outcome, cohort.definitions, (*cohort.covariates, *asked)), step


def _make_deviation_bundle(cohort: Cohort | None = None, **changed: Any) -> ModelBundle:
    """Train on the features and on everything that four of them become in comparison with controls."""
    cohort, step = _deviating(cohort or _make_cohort())
    learned = learned_definitions(cohort.definitions[:4])
    names = (*cohort.feature_names, *(definition.name for definition in learned))
    design = ResponseDesign(covariates=cohort.covariates, features=names, unweighted=cohort.feature_names[3:4])
    unfitted = Pipeline([("deviation", step), ("design", design), ("model", Ridge(5.0))])
    everyone = np.arange(len(cohort.outcome))
    fold_index = everyone % N_FOLDS
    rows = [everyone, *(everyone[fold_index != fold] for fold in range(N_FOLDS))]
    whole, *folds = (clone(unfitted).fit(cohort.table.iloc[chosen], cohort.outcome[chosen]) for chosen in rows)
    fitted = whole.named_steps["design"]
    raw = fitted.raw_inputs(whole[:-2].transform(cohort.table))
    z = whole.named_steps["deviation"].judge(cohort.table).z
    fields: dict[str, Any] = {
        "definitions": cohort.definitions,
        "covariates": cohort.covariates,
        "model": linear_model_of(whole),
        "fold_models": LinearEnsemble.of([linear_model_of(fold) for fold in folds]),
        "bootstrap_models": LinearEnsemble.of([linear_model_of(fold) for fold in folds]),
        "training_range": describe_training(raw, n_features=len(cohort.definitions), background_mean=fitted.centre_),
        "deviations": LearnedDeviations(
            reference=whole.named_steps["deviation"].reference_model_,
            definitions=learned,
            threshold=step.threshold,
            background=summary_parts(z, threshold=step.threshold).mean(axis=0),
        ),
    }
    return replace(_make_bundle(), **(fields | changed))


def _make_bundle(
    cohort: Cohort | None = None,
    *,
    make_regressor: Callable[[], Any] = lambda: Lasso(alpha=1.0),
    **changed: Any,
) -> ModelBundle:
    cohort = cohort or _make_cohort()
    n_people = len(cohort.outcome)
    rng = np.random.default_rng(1)
    everyone = np.arange(n_people)
    pipeline = _fit(cohort, everyone, make_regressor())
    fold_index = rng.permutation(n_people) % N_FOLDS
    folds = [_fit(cohort, everyone[fold_index != fold], make_regressor()) for fold in range(N_FOLDS)]
    resamples = [_fit(cohort, rng.integers(0, n_people, n_people), make_regressor()) for _ in range(N_BOOTSTRAP)]
    predicted = np.empty(n_people)
    for fold, fitted in enumerate(folds):
        predicted[fold_index == fold] = fitted.predict(cohort.table.iloc[everyone[fold_index == fold]])
    design, model = pipeline.named_steps["design"], linear_model_of(pipeline)
    arms = cohort.table["arm"] if "arm" in cohort.table else pd.Series(["all"] * n_people)
    fields: dict[str, Any] = {
        "name": "synthetic",
        "outcome": IMPROVEMENT,
        "definitions": cohort.definitions,
        "covariates": cohort.covariates,
        "recipe": None,
        "recipe_hashes": (TRAINED_BY,),
        "model": model,
        "fold_models": LinearEnsemble.of([linear_model_of(fitted) for fitted in folds]),
        "out_of_fold": OutOfFoldResiduals(
            fold_index=fold_index.astype(np.int64),
            arm_index=np.array([model.arms.index(arm) for arm in arms], dtype=np.int64),
            prediction=predicted,
            residual=cohort.outcome - predicted,
        ),
        "bootstrap_models": LinearEnsemble.of([linear_model_of(fitted) for fitted in resamples]),
        "training_range": describe_training(
            design.raw_inputs(cohort.table),
            n_features=len(cohort.definitions),
            background_mean=design.centre_,
            motion_mm={"rest": rng.uniform(0.05, 0.35, n_people)},
        ),
        "trained_on": n_people,
        "card": {"intended_use": "tests", "r2": 0.1},
        "versions": {"numpy": np.__version__},
    }
    return ModelBundle(**(fields | changed))


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """Return a function that draws a cohort; arguments change its size, covariates or effect."""
    return _make_cohort


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., ModelBundle]:
    """Return a function that trains a bundle on a cohort; arguments replace fields of the bundle."""
    return _make_bundle


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return _make_cohort()


@pytest.fixture(scope="session")
def bundle(cohort: Cohort) -> ModelBundle:
    """Return a lasso with two arms, a site and a clinical covariate."""
    return _make_bundle(cohort)


@pytest.fixture(scope="session")
def deviating(cohort: Cohort) -> tuple[Cohort, ReferenceDeviation]:
    """Return the cohort with age and sex, and the unfitted step that compares it with controls."""
    return _deviating(cohort)


@pytest.fixture(scope="session")
def make_deviation_bundle() -> Callable[..., ModelBundle]:
    """Return a function that trains a bundle with deviations from controls; arguments replace fields of it."""
    return _make_deviation_bundle


@pytest.fixture(scope="session")
def deviation_bundle(cohort: Cohort) -> ModelBundle:
    """Return a ridge on features, deviations, counts and mean; the fourth feature acts through these only."""
    return _make_deviation_bundle(cohort)


@pytest.fixture(scope="session")
def least_squares() -> Callable[[], Any]:
    """Return a regressor that uses every feature."""
    return LinearRegression


@pytest.fixture
def person(cohort: Cohort) -> dict[str, Any]:
    """Return arguments of score_features for someone who resembles the cohort."""
    features = {name: 0.1 * number for number, name in enumerate(cohort.feature_names)}
    covariates = {"caps5_total_baseline": 44.0, "site": "A"}
    return {"features": features, "covariates": covariates, "recipe_hash": TRAINED_BY, "input_digest": None}


def _confounds_tsv(rng: np.random.Generator, n_volumes: int) -> bytes:
    """Six motion parameters, tissue signals and a displacement with one jump, in volume 30."""
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "csf", "white_matter"]
    moved = rng.uniform(0.05, 0.2, n_volumes)
    moved[30] = 1.4
    columns = np.column_stack([rng.standard_normal((n_volumes, len(names))), moved])
    lines = ["\t".join(f"{cell:.5f}" for cell in row) for row in columns]
    return "\n".join(["\t".join([*names, "framewise_displacement"]), *lines, ""]).encode()


def _events_tsv(kind: str, n_volumes: int) -> bytes:
    """Blocks of faces and control, or conflict trials of which every eighth is an error."""
    if kind == "faces":
        lines = [f"{onset}\t12\t{('face', 'shape')[number % 2]}\tn/a" for number, onset in enumerate(range(8, 210, 20))]
    else:
        names = ("congruent", "incongruent", "incongruent", "congruent")
        lines = [
            f"{4 + 3 * number}\t1\t{names[(number + number // 9) % 4]}\t{'incorrect' if number % 8 == 5 else 'correct'}"
            for number in range(2 * n_volumes // 3 - 4)
        ]
    return "\n".join(["onset\tduration\ttrial_type\tresponse_accuracy", *lines, ""]).encode()


def _visit_run(kind: RunKind, recipe: Recipe, *, seed: int, n_volumes: int = 120) -> Run:
    """One run of the recipe's circuit: noise with memory around 1000, every region covered but the last."""
    rng = np.random.default_rng(seed)
    names = recipe.circuit.region_names
    shared = lfilter([1], [1, -0.6], rng.standard_normal((n_volumes, 1 + len(names))), axis=0)
    coverage = np.ones(len(names))
    coverage[-1] = 0.75
    image = np.full((9, 11, 9), np.nan, dtype=np.float32)
    image[1:8, 1:10, 1:8] = rng.uniform(500, 1000, (7, 9, 7))
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    affine[:3, 3] = (-80, -110, -70)
    recording = RegionRecording(
        region_names=names,
        bold=1000 + 5 * (shared[:, :1] + shared[:, 1:]),
        coverage=coverage,
        temporal_snr=np.linspace(40, 90, len(names)),
        carpet=(1000 + 10 * rng.standard_normal((n_volumes, 40))).astype(np.float32),
        repetition_time_s=2.0,
        space="MNI152NLin2009cAsym",
        input_digest=f"sha256:{seed:064x}",
        mean_image=MeanImage(image, affine),
    )
    return build_run(
        kind,
        recording,
        confounds_tsv=_confounds_tsv(rng, n_volumes),
        confounds_sidecar=None,
        sidecar=None,
        events_tsv=None if kind == "rest" else _events_tsv(kind, n_volumes),
        tasks=recipe.tasks,
    )


@pytest.fixture(scope="session")
def report_recipe() -> Recipe:
    """Return the default recipe with a bootstrap that takes no time."""
    return replace(default_recipe(), bootstrap_samples=20)


@pytest.fixture(scope="session")
def report_session(report_recipe: Recipe) -> BaselineSession:
    """Return a visit with all three runs, mean images, and confounds that lack derivatives."""
    kinds: tuple[RunKind, ...] = ("rest", "faces", "conflict")
    return BaselineSession(tuple(_visit_run(kind, report_recipe, seed=seed) for seed, kind in enumerate(kinds)))


@pytest.fixture(scope="session")
def report_vector(report_session: BaselineSession, report_recipe: Recipe) -> FeatureVector:
    """Return the features of that visit."""
    return extract_features(report_session, report_recipe)


@pytest.fixture
def grow_trees() -> Callable[..., TreeArrays]:
    """Return trees that split at random, with people from a normal distribution counted at their nodes."""
    return _grow_trees


@pytest.fixture
def tree_bundle(bundle: ModelBundle) -> ModelBundle:
    """The bundle's models with a few trees each, of all inputs and the arm."""
    rng = np.random.default_rng(5)
    n_inputs, folds, resamples = len(bundle.model.input_names), bundle.fold_models, bundle.bootstrap_models
    assert isinstance(bundle.model, LinearResponseModel)
    assert isinstance(folds, LinearEnsemble)
    assert isinstance(resamples, LinearEnsemble)

    def ensemble(linear: LinearEnsemble) -> TreeEnsemble:
        trees = _grow_trees(rng, n_inputs=n_inputs, n_models=linear.n_models)
        return TreeEnsemble(linear=linear, trees=trees, impute_values=rng.standard_normal((linear.n_models, n_inputs)))

    return replace(
        bundle,
        model=TreeResponseModel(linear=bundle.model, trees=_grow_trees(rng, n_inputs=n_inputs)),
        fold_models=ensemble(folds),
        bootstrap_models=ensemble(resamples),
    )


def _grow_trees(
    rng: np.random.Generator,
    *,
    n_inputs: int = 5,
    n_arms: int = 2,
    n_models: int = 1,
    n_trees: int = 4,
    n_leaves: int = 6,
    n_people: int = 300,
) -> TreeArrays:
    arm_values = np.eye(n_arms)[:, :1] - 0.5 if n_arms == 2 else np.zeros((n_arms, 0))
    people = rng.standard_normal((n_people, n_inputs))
    grown = [_grow_tree(rng, people, arm_values, n_leaves) for _ in range(n_models * n_trees)]
    start = np.cumsum([0, *(len(tree["column"]) for tree in grown)], dtype=np.int64)
    for tree, shift in zip(grown, start[:-1], strict=True):
        for side in ("left", "right"):
            tree[side] = np.where(tree["column"] >= 0, tree[side] + shift, 0)
    return TreeArrays(
        n_inputs=n_inputs,
        arm_values=arm_values,
        model_start=np.arange(n_models + 1) * n_trees,
        tree_start=start,
        **{name: np.concatenate([tree[name] for tree in grown], axis=-1) for name in grown[0]},
    )


def _grow_tree(rng: np.random.Generator, people: Array, arm_values: Array, n_leaves: int) -> dict[str, NDArray[Any]]:
    """Split a leaf at the value of one of its people until there are enough leaves; one in six asks for the arm."""
    n_arms, n_inputs, everyone = len(arm_values), people.shape[1], np.ones(len(people), dtype=bool)
    nodes: list[dict[str, Any]] = [{"column": -1, "in": [everyone.copy() for _ in range(n_arms)]}]
    for _ in range(1000):
        if (len(nodes) + 1) // 2 >= n_leaves:
            break
        leaf = int(rng.choice([number for number, node in enumerate(nodes) if node["column"] < 0]))
        asks_arm = arm_values.shape[1] > 0 and rng.random() < 1 / 6 and all(own.any() for own in nodes[leaf]["in"])
        inside = nodes[leaf]["in"]
        column = n_inputs if asks_arm else int(rng.integers(n_inputs))
        found = people[np.logical_or.reduce(inside), column] if not asks_arm else np.zeros(2)
        threshold = float(np.median(found)) if len(found) else 0.0
        if asks_arm:
            sides = [[own & (value <= 0) for own, value in zip(inside, arm_values[:, 0], strict=True)]]
        else:
            sides = [[own & (people[:, column] <= threshold) for own in inside]]
        sides.append([own & ~left for own, left in zip(inside, sides[0], strict=True)])
        # In every arm that gets here at all, someone must pass on each side; at the arm, one arm on each side.
        if not asks_arm and any(
            own.any() and not side.any() for half in sides for own, side in zip(inside, half, strict=True)
        ):
            continue
        nodes[leaf] |= {"column": column, "threshold": threshold, "left": len(nodes), "right": len(nodes) + 1}
        nodes += [{"column": -1, "in": half} for half in sides]
    return {
        "column": np.array([node["column"] for node in nodes]),
        "threshold": np.array([node.get("threshold", 0.0) for node in nodes]),
        "left": np.array([node.get("left", 0) for node in nodes]),
        "right": np.array([node.get("right", 0) for node in nodes]),
        "value": np.array([rng.standard_normal() if node["column"] < 0 else 0.0 for node in nodes]),
        "n_passing": np.array([[int(own.sum()) for own in node["in"]] for node in nodes]).T,
    }
