from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    PredictorError,
    TableError,
    TrainingError,
    ValueOutOfRangeError,
)
from predictor.model.bundle import load_bundle, save_bundle
from predictor.model.deviation import ReferenceDeviation
from predictor.model.mlflow_loader import BundleModel
from predictor.model.person_inputs import person_inputs
from predictor.pipeline import score_features
from training.config import (
    CohortConfig,
    CovariatesConfig,
    ExperimentConfig,
    FeaturesConfig,
    ModelConfig,
    OutcomeConfig,
    ReferenceConfig,
    TrackingConfig,
    ValidationConfig,
)
from training.evaluation.fold_isolation import estimator_steps, prove_fold_isolation
from training.evaluation.nested_cv import cross_validate
from training.experiment import make_estimators
from training.final_model import build_bundle, bundle_partition
from training.training_table import TrainingTable, read_training_table

Change = Callable[[pd.DataFrame], pd.DataFrame]
EDGES = [f"rest_fisher_z__a__r{number}" for number in range(4)]
MOTION = "quality_mean_framewise_displacement_mm__rest"
N_PATIENTS, N_CONTROLS = 50, 30


def write_cohort(folder: Path, *, people: Change = lambda table: table, features: Change = lambda table: table) -> None:
    """Patients and controls at two sites; age moves connectivity, and improvement follows what deviates from that."""
    rng = np.random.default_rng(4)
    n_people = N_PATIENTS + N_CONTROLS
    is_patient = np.arange(n_people) < N_PATIENTS
    names = [f"sub-{number:02d}" for number in range(n_people)]
    known = pd.DataFrame(
        {
            "participant_id": names,
            "group": np.where(is_patient, "patient", "control"),
            "arm": np.where(is_patient, np.tile(["ketamine", "midazolam"], n_people // 2), "n/a"),
            "site": rng.choice(["1", "2"], n_people),
            "age": rng.integers(20, 60, n_people),
            "sex": rng.choice(["F", "M"], n_people),
        }
    )
    own = rng.standard_normal((n_people, 4))
    values = pd.DataFrame(0.2 * own + 0.02 * (known[["age"]].to_numpy() - 40), columns=EDGES)
    values["gppi_faces__a__b"] = rng.standard_normal(n_people)
    values[MOTION] = rng.gamma(3, 0.05, n_people)
    known["improvement"] = 20 + 12 * own[:, 0] + 4 * rng.standard_normal(n_people)
    values.insert(0, "participant_id", names)
    people(known).to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    features(values).to_csv(folder / "features.tsv", sep="\t", index=False, na_rep="n/a")


def config_of(folder: Path, **changed: Any) -> ExperimentConfig:
    config = ExperimentConfig(
        name="test",
        cohort=CohortConfig(str(folder / "features.tsv"), str(folder / "participants.tsv")),
        outcome=OutcomeConfig(column="improvement", unit="percent"),
        covariates=CovariatesConfig(arm="arm", site="site"),
        reference=ReferenceConfig(covariates=("age", "sex", "site", MOTION), threshold=1.0),
        features=FeaturesConfig(families=("deviation_rest", "deviation_summary", "gppi_faces")),
        model=ModelConfig(l1_ratios=(0.5,), n_alphas=6),
        validation=ValidationConfig(n_folds=4, n_repeats=1, inner_folds=3, n_bootstrap_models=3),
        tracking=TrackingConfig("model"),
    )
    return replace(config, **changed)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TrainingTable:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder)
    return read_training_table(config_of(folder))


def test_controls_are_apart_from_the_rows_that_folds_are_made_of(table: TrainingTable) -> None:
    assert table.reference is not None
    controls = table.reference.step.controls
    assert (len(table.outcome), table.reference.n_people) == (N_PATIENTS, N_CONTROLS)
    assert not set(controls.index) & set(table.inputs.index)
    assert list(controls.columns) == [*EDGES, MOTION, "age", "sex", "site"]


def test_connections_that_only_the_reference_needs_are_no_features_of_the_models(table: TrainingTable) -> None:
    assert [d.name for d in table.definitions] == [*EDGES, "gppi_faces__a__b", MOTION]
    assert table.unweighted == (*EDGES, MOTION)
    assert [d.name for d in table.weighted_definitions][:2] == ["gppi_faces__a__b", "deviation_rest__a__r0"]
    assert [d.name for d in table.learned][-3:] == [
        "hypoconnected_edges",
        "hyperconnected_edges",
        "deviation_rest_mean",
    ]
    assert [(c.name, c.role) for c in table.covariates][2:] == [("age", "reference"), ("sex", "reference")]


@pytest.mark.parametrize(
    ("families", "weighted"),
    [
        ((), {"rest_fisher_z", "gppi_faces", "deviation_rest", "deviation_summary"}),
        (("deviation_summary",), {"deviation_summary"}),
        (("gppi_faces",), {"gppi_faces"}),
    ],
)
def test_families_choose_among_measured_and_learned_features(
    tmp_path: Path, families: tuple[str, ...], weighted: set[str]
) -> None:
    write_cohort(tmp_path)
    table = read_training_table(config_of(tmp_path, features=FeaturesConfig(families=families)))
    assert {definition.family for definition in table.weighted_definitions} == weighted


def test_the_planted_deviation_is_found_and_age_does_not_hide_it(table: TrainingTable, tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path)
    folds = bundle_partition(table, config)[np.newaxis]
    by_deviation = cross_validate(
        make_estimators(table, config)["elastic_net"], table.model_inputs, table.outcome, folds
    )
    raw = config_of(tmp_path, features=FeaturesConfig(families=("rest_fisher_z",)), reference=None)
    raw_table = read_training_table(raw)
    by_value = cross_validate(
        make_estimators(raw_table, raw)["elastic_net"], raw_table.model_inputs, table.outcome, folds
    )
    errors = [float(((one.prediction - one.outcome) ** 2).mean()) for one in (by_deviation, by_value)]
    assert errors[0] < 0.4 * table.outcome.var()
    assert errors[0] < errors[1]


class FittedOnPatients(ReferenceDeviation):
    """What must not happen: whoever passes through is learned from."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> FittedOnPatients:
        return self._fit_on(X)


class FittedOnEveryone(ReferenceDeviation):
    """What must not happen either: a table of all people was put in its hands before the split."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> FittedOnEveryone:
        return self._fit_on(pd.concat([self.controls, X]))


def test_the_step_passes_the_proof_of_fold_isolation(table: TrainingTable, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    estimator = make_estimators(table, config)["elastic_net"]
    proof = prove_fold_isolation(
        estimator_steps(estimator), table.model_inputs, table.outcome, bundle_partition(table, config)
    )
    assert proof.passed
    fitted = estimator.fit(table.model_inputs, table.outcome).pipeline_
    assert [name for name, _ in fitted.steps] == ["deviation", "design", "model"]


@pytest.mark.parametrize("wrong", [FittedOnPatients, FittedOnEveryone])
def test_a_step_that_learns_from_patients_before_the_split_is_caught_by_name(
    table: TrainingTable, tmp_path: Path, wrong: type[ReferenceDeviation]
) -> None:
    config = config_of(tmp_path)
    estimator = make_estimators(table, config)["elastic_net"]
    assert table.reference is not None
    own = table.reference.step

    def fit_steps(inputs: pd.DataFrame, outcome: Any, train: Any) -> Any:
        step = wrong(own.controls, sources=own.sources, covariates=own.covariates).fit(inputs)
        frozen = ReferenceDeviation(inputs, sources=own.sources, covariates=own.covariates)
        steps = estimator_steps(estimator.set_params(deviation=frozen))(inputs, outcome, train)
        return {
            "deviation": {"coefficients_": step.coefficients_},
            **{n: s for n, s in steps.items() if n != "deviation"},
        }

    proof = prove_fold_isolation(fit_steps, table.model_inputs, table.outcome, bundle_partition(table, config))
    assert not proof.passed
    assert proof.leaking_step == "deviation"


def test_inside_the_fold_learning_from_training_patients_changes_the_step_but_not_the_proof(
    table: TrainingTable, tmp_path: Path
) -> None:
    assert table.reference is not None
    own = table.reference.step
    in_fold = FittedOnPatients(own.controls, sources=own.sources, covariates=own.covariates)
    one, other = (in_fold.fit(table.model_inputs.iloc[rows]).coefficients_ for rows in (slice(0, 30), slice(20, 50)))
    assert not np.array_equal(one, other)
    sound = (own.fit(table.model_inputs.iloc[rows]).coefficients_ for rows in (slice(0, 30), slice(20, 50)))
    assert np.array_equal(*sound)


def test_the_bundle_answers_as_the_pipeline_and_lists_the_persons_deviations(
    table: TrainingTable, tmp_path: Path
) -> None:
    config = config_of(tmp_path)
    estimator = make_estimators(table, config)["elastic_net"]
    save_bundle(build_bundle(estimator, table, config, card={}), tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    fitted = estimator.fit(table.model_inputs, table.outcome)
    by_table = BundleModel(bundle).predict(table.model_inputs)
    for number, (_, row) in enumerate(table.model_inputs.head(8).iterrows()):
        features = {name: float(row[name]) for name in bundle.feature_names}
        covariates = {name: row[name] for name in ("site", "age", "sex")}
        person = person_inputs(features, covariates, bundle)
        expected = fitted.predict(table.model_inputs.iloc[[number]])[0]
        in_arms = bundle.model.predict(person.values[np.newaxis])[0]
        assert in_arms[bundle.arms.index(row["arm"])] == pytest.approx(expected, abs=1e-9)
        assert by_table.iloc[number].to_numpy() == pytest.approx(in_arms, abs=1e-9)
    answer = score_features(features, covariates, bundle, recipe_hash=None, input_digest=None)
    assert answer["deviations"]["reference"]["n_people"] == N_CONTROLS
    assert [edge["feature"] for edge in answer["deviations"]["edges"]] == EDGES
    assert {c["feature"] for c in answer["explanation"]["contributions"]} <= {*EDGES, "gppi_faces__a__b", "site"}


@pytest.mark.parametrize(
    ("people", "features", "error", "named"),
    [
        (lambda t: t.assign(group="patient"), None, TrainingError, "no participant with usable features is a control"),
        (lambda t: t.drop(columns="sex"), None, MissingColumnError, "lacks sex"),
        (
            lambda t: t.assign(sex=["F"] * N_PATIENTS + ["n/a"] * N_CONTROLS),
            None,
            TableError,
            "missing for all controls",
        ),
        (
            None,
            lambda t: t.assign(recipe_hash=["a"] * N_PATIENTS + ["b"] * N_CONTROLS),
            TableError,
            "another recipe than the patients'",
        ),
        (
            lambda t: t.assign(sex=[*t["sex"][:N_PATIENTS].map({"F": "female", "M": "male"}), *t["sex"][N_PATIENTS:]]),
            None,
            TableError,
            "sex of patients is female, male, of controls F, M",
        ),
        (
            lambda t: t.assign(sex=["f", *t["sex"][1:]]),
            None,
            TableError,
            "sex of patients is f, of controls F, M",
        ),
        (
            lambda t: t.assign(age=["65+", *t["age"][1:]]),
            None,
            ValueOutOfRangeError,
            "age holds numbers, but none that can be used for sub-00",
        ),
        (
            None,
            lambda t: pd.concat([t.iloc[:-1], t.iloc[[0]].assign(participant_id=t["participant_id"].iloc[-1])]),
            TableError,
            "sub-79, sub-00 have the same values to the last digit",
        ),
    ],
)
def test_controls_with_whom_nobody_can_be_compared_are_a_named_error(
    tmp_path: Path, people: Change | None, features: Change | None, error: type[PredictorError], named: str
) -> None:
    write_cohort(tmp_path, people=people or (lambda table: table), features=features or (lambda table: table))
    with pytest.raises(error, match=named):
        read_training_table(config_of(tmp_path))


def test_nobody_is_patient_and_control(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    with pytest.raises(ConfigError, match="expected controls who are no patients, found sub-"):
        read_training_table(config_of(tmp_path, reference=ReferenceConfig(include={"site": "1"})))


def test_patients_without_an_outcome_do_not_turn_into_controls(tmp_path: Path) -> None:
    def dropped_out(people: pd.DataFrame) -> pd.DataFrame:
        left = people["participant_id"].isin(["sub-03", "sub-04"])
        phase = np.where(left | (people["group"] == "control"), 2, 1)
        return people.assign(improvement=people["improvement"].mask(left), phase=phase)

    write_cohort(tmp_path, people=dropped_out)
    config = config_of(tmp_path, reference=ReferenceConfig(include={"phase": 2}))
    config = replace(config, cohort=replace(config.cohort, exclude_missing_outcome=True))
    with pytest.raises(ConfigError, match="expected controls who are no patients, found sub-03, sub-04"):
        read_training_table(config)


def test_a_patient_among_the_controls_is_refused_for_no_poison_would_reach_them(table: TrainingTable) -> None:
    assert table.reference is not None
    own = table.reference.step
    row = table.inputs[list(own.controls.columns)].iloc[[0]]
    mixed = ReferenceDeviation(pd.concat([own.controls, row]), sources=own.sources, covariates=own.covariates)
    with pytest.raises(TrainingError, match="found patients among them"):
        replace(table, reference=replace(table.reference, step=mixed))


@pytest.mark.parametrize(
    "changed",
    [
        {"reference": ReferenceConfig(covariates=("age", "caps5_total_followup"))},
        {"covariates": CovariatesConfig(arm="arm", clinical=("caps5_total_followup",))},
        {"covariates": CovariatesConfig(arm="arm", demographic=("pcl5_total_followup",))},
    ],
)
def test_a_score_from_after_the_treatment_is_told_to_nobody(tmp_path: Path, changed: dict[str, Any]) -> None:
    def followed_up(people: pd.DataFrame) -> pd.DataFrame:
        after = 40 - 0.4 * people["improvement"].clip(-50, 90)
        return people.assign(caps5_total_baseline=40.0, caps5_total_followup=after, pcl5_total_followup=after)

    write_cohort(tmp_path, people=followed_up)
    config = config_of(tmp_path, outcome=OutcomeConfig(name="caps5_percent_improvement"))
    read_training_table(config)
    with pytest.raises(ConfigError, match="5_total_followup is the outcome, or known only after the treatment"):
        read_training_table(replace(config, **changed))


def test_a_family_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    with pytest.raises(ConfigError, match=r"no family rest_partial; it has gppi_faces, quality_.*, rest_fisher_z"):
        read_training_table(config_of(tmp_path, reference=ReferenceConfig(family="rest_partial")))
    with pytest.raises(ConfigError, match="no family deviation_rest") as caught:
        read_training_table(config_of(tmp_path, reference=None))
    assert "[reference]" in caught.value.remedy


def test_patients_of_a_site_without_controls_are_compared_with_all_sites(tmp_path: Path) -> None:
    only_one = ["2"] * N_PATIENTS + ["1", "3"] * (N_CONTROLS // 2)
    write_cohort(tmp_path, people=lambda table: table.assign(site=only_one))
    table = read_training_table(config_of(tmp_path))
    assert table.reference is not None
    z = table.reference.step.fit(table.model_inputs).judge(table.model_inputs).z
    assert np.isfinite(z).all()
    site = next(c for c in table.reference.step.covariates if c.name == "site")
    assert site.levels == ("1", "3")


def test_numbered_sites_are_no_quantity_although_the_models_know_no_site(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    config = config_of(tmp_path, covariates=CovariatesConfig(arm="arm"))
    table = read_training_table(config)
    assert table.reference is not None
    site = next(c for c in table.reference.step.covariates if c.name == "site")
    assert site.levels == ("1", "2")


def test_a_floor_of_reliability_needs_standard_errors_and_sets_aside_what_is_noise(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    floor = FeaturesConfig(families=("rest_fisher_z", "deviation_rest"), minimum_reliability=0.3)
    with pytest.raises(TrainingError, match="needs standard errors"):
        read_training_table(config_of(tmp_path, features=floor))
    errors = pd.read_csv(tmp_path / "features.tsv", sep="\t")
    errors[EDGES] = [0.05, 0.05, 5.0, np.nan]
    errors[["gppi_faces__a__b", MOTION]] = np.nan
    errors.to_csv(tmp_path / "standard_errors.tsv", sep="\t", index=False, na_rep="n/a")
    config = config_of(tmp_path, features=floor)
    table = read_training_table(config)
    fitted = make_estimators(table, config)["elastic_net"].fit(table.model_inputs, table.outcome)
    design = fitted.pipeline_.named_steps["design"]
    kept = dict(zip(design.input_names_, ~design.is_set_aside_, strict=False))
    assert [kept[name] for name in EDGES] == [True, True, False, True]
    assert not kept["deviation_rest__a__r2"]
    assert kept["deviation_rest__a__r0"]
    assert fitted.choice_["n_unreliable"] == 2
    assert (design.reliability_[: len(EDGES)] > 0.3).sum() == 2
