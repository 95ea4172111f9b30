"""A corpus of planted leaks, each of which must be caught and named, and honest experiments that must not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from predictor.features.feature_vector import FeatureDefinition
from predictor.model.deviation import ReferenceDeviation
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.response_design import ResponseDesign
from training.audit import AuditReport, audit_table, with_people
from training.config import (
    CohortConfig,
    CovariatesConfig,
    ExperimentConfig,
    ModelConfig,
    OutcomeConfig,
    TrackingConfig,
    ValidationConfig,
)
from training.evaluation.elastic_net_cv import nested_elastic_net
from training.evaluation.poison import poisoned
from training.evaluation.splits import stratified_folds, train_and_test
from training.extraction.feature_table import FeatureTable
from training.judged_models import make_estimators
from training.models.estimators import TunedElasticNet
from training.training_table import TrainingTable

Models = Callable[[TrainingTable], Mapping[str, Any]]

CONFIG = ExperimentConfig(
    name="planted",
    cohort=CohortConfig(features="features.tsv", participants="participants.tsv"),
    outcome=OutcomeConfig(column="improvement", unit="percent"),
    covariates=CovariatesConfig(arm="arm", clinical=("severity",), site="site", interactions=True),
    model=ModelConfig(l1_ratios=(0.5,), n_alphas=6),
    validation=ValidationConfig(n_folds=4, n_repeats=1, inner_folds=3),
    tracking=TrackingConfig(registered_model="planted"),
)


def make_cohort(
    seed: int = 0, *, n_people: int = 60, n_features: int = 20, share_missing: float = 0.05, effect: float = 10.0
) -> TrainingTable:
    """Two arms, three sites that shift the features, gaps; severity predicts improvement a little, as it does."""
    rng = np.random.default_rng(seed)
    people = pd.Index([f"sub-{n:03d}" for n in range(n_people)], name="participant_id")
    names = [f"gppi_faces__r{n}__s" for n in range(n_features)]
    site = rng.permutation(np.arange(n_people) % 3)
    common = rng.standard_normal((n_people, 3)) @ rng.standard_normal((3, n_features))
    values = common + rng.standard_normal((n_people, n_features)) + rng.standard_normal((3, n_features))[site]
    severity = rng.normal(43, 8, n_people).round()
    known = pd.DataFrame(
        {
            "arm": np.where(rng.permutation(n_people) % 2, "ketamine", "midazolam"),
            "severity": severity,
            "site": np.array(["a", "b", "c"])[site],
            "age": rng.normal(38, 9, n_people).round(),
        },
        index=people,
    ).astype({"arm": object, "site": object})
    outcome = 20 + effect * (known["arm"] == "ketamine") * values[:, 0] + 0.5 * (severity - 43)
    outcome = (outcome + 10 * rng.standard_normal(n_people)).to_numpy()
    frame = pd.DataFrame(values, people, names).mask(rng.random(values.shape) < share_missing)
    definitions = tuple(FeatureDefinition(name, "beta", "gppi_faces", "gppi", "r-s", "a number") for name in names)
    features = FeatureTable(
        values=frame,
        definitions=definitions,
        recipe=None,
        recipe_hashes=pd.Series("sha256:" + "a" * 64, index=people),
        quality=pd.DataFrame(index=people),
        digest="sha256:" + "b" * 64,
        standard_errors=pd.DataFrame(np.nan, index=people, columns=names),
    )
    return TrainingTable(
        inputs=pd.concat([frame, known], axis=1),
        outcome=outcome,
        outcome_definition=OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent"),
        definitions=definitions,
        covariates=(
            Covariate("arm", "category", ("ketamine", "midazolam"), "arm"),
            Covariate("severity", "number", role="clinical"),
            Covariate("site", "category", ("a", "b", "c"), "site"),
        ),
        demographic=(Covariate("age", "number", role="demographic"),),
        motion_columns=(),
        features=features,
        left_out=(),
    )


def feature_names(table: TrainingTable) -> list[str]:
    return [definition.name for definition in table.definitions]


def site_of(table: TrainingTable) -> Covariate:
    return next(covariate for covariate in table.covariates if covariate.role == "site")


# --- leaks in the code: steps that got hold of everyone before the split ---


class FeatureColumns(TransformerMixin, BaseEstimator):
    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        return X[list(self.names)].to_numpy(dtype=float)


class OnEveryone(TransformerMixin, BaseEstimator):
    """A step that is fitted on the whole cohort, whatever rows it is given."""

    def __init__(self, step: Any, everyone: Any, outcome: Any) -> None:
        self.step = step
        self.everyone = everyone
        self.outcome = outcome

    def fit(self, X: Any, y: Any = None) -> Self:
        self.step_ = clone(self.step).fit(self.everyone, self.outcome)
        return self

    def transform(self, X: Any) -> Any:
        return self.step_.transform(X)


class CentredByWhoeverComes(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Self:
        self.n_rows_ = len(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        return np.asarray(X) - np.asarray(X).mean(axis=0)


class WithoutSeverity(TransformerMixin, BaseEstimator):
    """Takes a confound out by least squares on whoever it is fitted on."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        names = [name for name in X.columns if str(name).startswith("gppi")]
        centred = X["severity"].to_numpy(dtype=float) - X["severity"].mean()
        self.centre_ = float(X["severity"].mean())
        self.slope_ = X[names].fillna(X[names].median()).to_numpy().T @ centred / (centred @ centred)
        self.names_ = tuple(names)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        names, severity = list(self.names_), X["severity"].to_numpy(dtype=float) - self.centre_
        return X.assign(**{name: X[name] - slope * severity for name, slope in zip(names, self.slope_, strict=True)})


class TunedOnEveryone(TunedElasticNet):
    """Takes the penalties that are best for everyone, then fits on the training rows: tuning on the test set."""

    everyone: Any = None

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        inputs, outcome = self.everyone
        plain = TunedElasticNet(**self.get_params(deep=False))
        chosen = clone(plain).fit(inputs, outcome)
        super().fit(X, y)
        self.choice_, self.inner_mse_ = chosen.choice_, chosen.inner_mse_
        steps, alpha = self.pipeline_[:-1], chosen.choice_["alpha"]
        model = clone(self.pipeline_[-1]).set_params(alpha=alpha).fit(steps.transform(X), y)
        self.pipeline_ = Pipeline([*steps.steps, ("model", model)])
        return self


def pipeline_with(step: str, table: TrainingTable, *, leaks: bool = True) -> Mapping[str, Any]:
    """Impute, scale, reduce, select, fit: one of the steps on everyone."""
    names = feature_names(table)
    everyone = table.inputs[names].to_numpy(dtype=float)
    if step != "imputation":
        everyone = SimpleImputer(strategy="median").fit_transform(everyone)
    steps = {
        "imputation": SimpleImputer(strategy="median"),
        "scaling": StandardScaler(),
        "selection": SelectKBest(f_regression, k=5),
        "components": PCA(3, random_state=0),
        "model": Ridge(),
    }
    if leaks:
        if step == "components":  # stands behind a selection of five
            everyone = everyone[:, :5]
        steps[step] = OnEveryone(steps[step], everyone, table.outcome)
    return {"pipeline": Pipeline([("columns", FeatureColumns(tuple(names))), *steps.items()])}


def elastic_net(table: TrainingTable, **steps: Any) -> TunedElasticNet:
    return clone(make_estimators(table, CONFIG)["elastic_net"]).set_params(**steps)


def harmonised_on_everyone(table: TrainingTable) -> Mapping[str, Any]:
    step = SiteHarmonization(features=tuple(feature_names(table)), site=site_of(table))
    return {"elastic_net": elastic_net(table, harmonization=OnEveryone(step, table.inputs, None))}


def judged_by_patients(table: TrainingTable) -> Mapping[str, Any]:
    step = ReferenceDeviation(table.inputs, sources=tuple(feature_names(table)[:4]))
    return {"elastic_net": elastic_net(table, deviation=step)}


def adjusted_on_everyone(table: TrainingTable) -> Mapping[str, Any]:
    return {"elastic_net": elastic_net(table, harmonization=OnEveryone(WithoutSeverity(), table.inputs, None))}


def tuned_on_everyone(table: TrainingTable) -> Mapping[str, Any]:
    class Tuned(TunedOnEveryone):
        everyone = (table.model_inputs, table.outcome)

    return {"elastic_net": Tuned(**elastic_net(table).get_params(deep=False))}


def penalty_set_by_everyone(table: TrainingTable) -> Mapping[str, Any]:
    chosen = elastic_net(table).fit(table.model_inputs, table.outcome).choice_["alpha"]
    design = ResponseDesign(covariates=table.covariates)
    return {"ridge": Pipeline([("design", design), ("model", Ridge(alpha=chosen))])}


def outcome_scaled_on_everyone(table: TrainingTable) -> Mapping[str, Any]:
    class Scaled(StandardScaler):
        def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
            return super().fit(table.outcome[:, np.newaxis])

    design = ResponseDesign(covariates=table.covariates)
    model = TransformedTargetRegressor(LinearRegression(), transformer=Scaled(), check_inverse=False)
    return {"linear": Pipeline([("design", design), ("model", model)])}


def harmonised_by_whoever_comes(table: TrainingTable) -> Mapping[str, Any]:
    steps = [("columns", FeatureColumns(tuple(feature_names(table)))), ("imputation", SimpleImputer())]
    steps += [("harmonization", CentredByWhoeverComes()), ("model", Ridge())]
    return {"ridge": Pipeline(steps)}


# --- leaks in the table ---


def with_values(table: TrainingTable, values: pd.DataFrame) -> TrainingTable:
    inputs = table.inputs.copy()
    inputs[values.columns] = values
    return replace(table, inputs=inputs, features=replace(table.features, values=values))


def with_covariate(table: TrainingTable, name: str, values: Any) -> TrainingTable:
    return replace(
        table,
        inputs=table.inputs.assign(**{name: values}),
        covariates=(*table.covariates, Covariate(name, "number", role="clinical")),
    )


def far_apart(table: TrainingTable, folds: np.ndarray) -> tuple[str, str]:
    """Two people in different folds."""
    other = int(np.flatnonzero(folds != folds[0])[0])
    return str(table.inputs.index[0]), str(table.inputs.index[other])


def doubled(table: TrainingTable, folds: np.ndarray, *, noise: float) -> TrainingTable:
    values, (first, second) = table.features.values.copy(), far_apart(table, folds)
    rng = np.random.default_rng(0)
    values.loc[second] = values.loc[first] + noise * values.std() * rng.standard_normal(values.shape[1])
    return with_values(table, values)


def prepared(table: TrainingTable, how: Callable[[pd.DataFrame], pd.DataFrame]) -> TrainingTable:
    return with_values(table, how(table.features.values))


def residuals(values: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    centred = by - by.mean()
    # Gaps stay gaps: filled ones would be a second leak, which the audit names as well.
    slopes = values.apply(lambda column: column.cov(centred) / centred[column.notna()].var())
    return values - np.outer(centred, slopes)


@dataclass(frozen=True)
class Planted:
    """A leak, and the step that the audit must name."""

    name: str
    step: str
    models: Models | None = None  # None: an honest, quick model
    table: Callable[[TrainingTable, np.ndarray], TrainingTable] = lambda table, folds: table
    config: ExperimentConfig = CONFIG


honest_pipeline: Models = partial(pipeline_with, "", leaks=False)

CORPUS = [
    Planted("features selected on everyone", "selection", partial(pipeline_with, "selection")),
    Planted("features scaled on everyone", "scaling", partial(pipeline_with, "scaling")),
    Planted("gaps filled on everyone", "imputation", partial(pipeline_with, "imputation")),
    Planted("sites harmonised on everyone", "harmonization", harmonised_on_everyone),
    Planted("reference z from patients, held out or not", "deviation", judged_by_patients),
    Planted("confound regressed out on everyone", "harmonization", adjusted_on_everyone),
    Planted("penalty tuned on everyone", "tuning", tuned_on_everyone),
    Planted("penalty fixed after a look at everyone", "model", penalty_set_by_everyone),
    Planted("outcome scaled on everyone", "model", outcome_scaled_on_everyone),
    Planted("sites harmonised by the test people", "harmonization", harmonised_by_whoever_comes),
    Planted("one visit under two names", "duplicates", table=partial(doubled, noise=0.0)),
    Planted("one visit processed twice", "duplicates", table=partial(doubled, noise=0.1)),
    Planted(
        "the label among the covariates",
        "covariates",
        table=lambda table, _: with_covariate(
            table, "rating", table.outcome + 4 * np.random.default_rng(1).standard_normal(len(table.outcome))
        ),
    ),
    Planted(
        "scans missing for those who did badly",
        "missing values",
        table=lambda table, _: prepared(
            table,
            lambda values: values.assign(
                **{
                    values.columns[3]: values.iloc[:, 3]
                    .interpolate()
                    .bfill()
                    .where(table.outcome > np.median(table.outcome))
                }
            ),
        ),
    ),
    Planted(
        "mean outcome of the site as a covariate",
        "target encoding",
        table=lambda table, _: with_covariate(
            table,
            "site_mean",
            pd.Series(table.outcome, table.inputs.index).groupby(table.inputs["site"]).transform("mean"),
        ),
    ),
    Planted(
        "the follow-up score among the covariates",
        "covariates",
        table=lambda table, _: with_covariate(
            table, "second_score", table.inputs["severity"] * (1 - table.outcome / 100)
        ),
    ),
    Planted(
        "a covariate from week 2 that nobody owns up to",
        "time",
        table=lambda table, _: with_covariate(
            table, "sleep_week2", np.random.default_rng(1).standard_normal(len(table.outcome))
        ),
    ),
    Planted(
        "a table scaled beforehand",
        "scaling",
        table=lambda table, _: prepared(table, lambda values: (values - values.mean()) / values.std()),
    ),
    Planted(
        "a table imputed beforehand",
        "imputation",
        table=lambda table, _: prepared(table, lambda values: values.fillna(values.median())),
    ),
    Planted(
        "a table adjusted beforehand",
        "confound removal",
        table=lambda table, _: prepared(table, lambda values: residuals(values, table.inputs["severity"])),
    ),
]


def audit_planted(leak: Planted, seed: int = 0) -> AuditReport:
    table = make_cohort(seed)
    folds = stratified_folds(table.outcome, table.arms, n_folds=3, rng=np.random.default_rng(seed))
    planted = leak.table(table, folds)
    return audit_table(planted, leak.config, partitions=folds, make_models=leak.models or honest_pipeline)


HONEST_SHAPES: list[dict[str, Any]] = [
    {},
    {"n_people": 24, "n_features": 60, "effect": 0.0},
    {"n_people": 120, "n_features": 8, "share_missing": 0.0, "effect": 30.0},
    {"n_people": 40, "n_features": 150, "share_missing": 0.2},
]


def audit_honest(seed: int) -> AuditReport:
    """Run the experiment's own models, and a forest behind honest steps, on a cohort of some shape."""
    table = make_cohort(seed, **HONEST_SHAPES[seed % len(HONEST_SHAPES)])

    def models(table: TrainingTable) -> Mapping[str, Any]:
        harmonised = SiteHarmonization(features=tuple(feature_names(table)), site=site_of(table))
        forest = Pipeline(
            [
                ("design", ResponseDesign(covariates=table.covariates)),
                ("model", RandomForestRegressor(8, random_state=0)),
            ]
        )
        few_gaps = seed % len(HONEST_SHAPES) == 2
        return {
            **make_estimators(table, CONFIG),
            **honest_pipeline(table),
            "forest": forest,
            **({"harmonised": elastic_net(table, harmonization=harmonised)} if few_gaps else {}),
        }

    return audit_table(table, CONFIG, make_models=models)


@pytest.mark.parametrize("leak", CORPUS, ids=lambda leak: leak.name)
def test_every_planted_leak_is_caught_and_its_step_is_named(leak: Planted) -> None:
    report = audit_planted(leak)
    assert not report.passed
    assert report.leaking_steps[0] == leak.step
    assert report.gate_document()["passed"] is False
    assert report.gate_document()["leaking_step"] == leak.step
    assert any("LEAK" in line or "UNDECLARED" in line for line in report.lines())


@pytest.mark.parametrize("seed", [1, 2])  # the other shapes: tests/robustness/test_leak_corpus.py
def test_honest_experiments_raise_no_alarm(seed: int) -> None:
    report = audit_honest(seed)
    assert report.passed, list(report.lines())
    assert not report.findings
    assert report.isolation.n_folds == 4


def test_a_model_that_draws_anew_each_time_is_not_accused_but_not_proven() -> None:
    def models(table: TrainingTable) -> Mapping[str, Any]:
        design = ResponseDesign(covariates=table.covariates)
        return {"forest": Pipeline([("design", design), ("model", RandomForestRegressor(4, random_state=None))])}

    report = audit_table(make_cohort(), CONFIG, make_models=models)
    assert not report.passed
    assert not report.isolation.is_reproducible
    assert "not proven" in "\n".join(report.lines())


def test_features_that_no_model_reads_are_no_way_round_the_poison() -> None:
    def models(table: TrainingTable) -> Mapping[str, Any]:
        known = table.features.values["spare"].fillna(0.0)
        design = ResponseDesign(covariates=table.covariates, features=tuple(feature_names(table)))
        return {"ridge": Pipeline([("design", design), ("model", Ridge(alpha=float(known.std())))])}

    table = make_cohort()
    spare = table.features.values.assign(spare=np.random.default_rng(0).gamma(3, 1, len(table.outcome)))
    definition = replace(table.definitions[0], name="spare")
    features = replace(
        table.features,
        values=spare,
        definitions=(*table.definitions, definition),
        standard_errors=spare * np.nan,
    )
    report = audit_table(replace(table, features=features), CONFIG, make_models=models)
    assert report.leaking_steps == ("model",)


def test_the_compiled_way_of_the_permutation_test_is_blind_to_held_out_people() -> None:
    table = make_cohort(share_missing=0.0)
    folds = stratified_folds(table.outcome, table.arms, n_folds=4, rng=np.random.default_rng(0))

    def predictions(inputs: pd.DataFrame, outcome: np.ndarray) -> np.ndarray:
        whole = with_people(table, inputs, outcome)
        problem = make_estimators(whole, CONFIG)["elastic_net"].compiled_problem(whole.model_inputs)
        assert problem is not None
        judged = nested_elastic_net(problem.columns, outcome, folds, inner_folds=problem.inner_folds, grid=problem.grid)
        return judged.prediction[0]

    sound = predictions(table.inputs, table.outcome)
    assert np.ptp(sound) > 1
    for _, test in train_and_test(folds):
        bad_inputs, _ = poisoned(table.inputs, table.outcome, test[1:])
        _, bad_outcome = poisoned(table.inputs, table.outcome, test)
        assert predictions(bad_inputs, bad_outcome)[test[0]] == pytest.approx(sound[test[0]], rel=1e-9)


def test_the_report_is_a_document_for_programs() -> None:
    report = audit_planted(CORPUS[0])
    document = report.document()
    assert document["passed"] is False
    assert document["models"]["pipeline"]["fold_isolation"]["leaking_step"] == "selection"
    assert document["leaking_steps"] == ["selection"]
