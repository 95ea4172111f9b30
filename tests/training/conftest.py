"""A small cohort in memory, and one experiment run on it that several modules' tests look at."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predictor.features.feature_vector import FeatureDefinition
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from training.config import (
    CohortConfig,
    CovariatesConfig,
    ExperimentConfig,
    ModelConfig,
    OutcomeConfig,
    TrackingConfig,
    ValidationConfig,
)
from training.experiment import ExperimentResult, run_on_table
from training.extraction.feature_table import FeatureTable
from training.final_model import build_bundle
from training.judged_models import make_estimators
from training.log_book.tracking import Store, open_store, start_run
from training.report.experiment_figures import drawn_figures
from training.report.experiment_report import report_page
from training.report.figure_frame import DrawnFigure
from training.report.model_card import REQUIRED_ENTRIES
from training.report.tripod_questions import QUESTIONS
from training.shelf.registry import RegisteredVersion, register_bundle
from training.training_table import TrainingTable

N_PEOPLE, N_FEATURES = 60, 6
Answering = Callable[[Sequence[str], str, Mapping[str, str]], AbstractContextManager[str]]


def make_table(*, effect: float = 14.0, seed: int = 7) -> TrainingTable:
    """Trial with two arms in which the first feature matters under ketamine only."""
    rng = np.random.default_rng(seed)
    people = pd.Index([f"sub-{number:02d}" for number in range(N_PEOPLE)], name="participant_id")
    definitions = tuple(
        FeatureDefinition(f"gppi_faces__r{number}__s", "beta", "gppi_faces", "gppi", "r-s", "a number")
        for number in range(N_FEATURES)
    )
    motion = FeatureDefinition(
        "quality_mean_framewise_displacement_mm__rest", "mm", "quality", "quality", "", "mean head motion"
    )
    values = pd.DataFrame(rng.standard_normal((N_PEOPLE, N_FEATURES)), people, [d.name for d in definitions])
    values[motion.name] = rng.gamma(3, 0.05, N_PEOPLE)
    known = pd.DataFrame(
        {
            "arm": np.tile(["ketamine", "midazolam"], N_PEOPLE // 2),
            "caps5_total_baseline": rng.normal(43, 8, N_PEOPLE),
            "site": rng.choice(["a", "b"], N_PEOPLE),
            "age": rng.normal(38, 9, N_PEOPLE),
        },
        index=people,
    ).astype({"arm": object, "site": object})
    is_ketamine = (known["arm"] == "ketamine").to_numpy()
    outcome = 20.0 + 15 * is_ketamine - effect * is_ketamine * values.iloc[:, 0].to_numpy()
    features = FeatureTable(
        values=values,
        definitions=(*definitions, motion),
        recipe=None,
        recipe_hashes=pd.Series("sha256:" + "a" * 64, index=people),
        quality=pd.DataFrame(index=people),
        digest="sha256:" + "b" * 64,
        standard_errors=pd.DataFrame(np.nan, index=values.index, columns=values.columns),
    )
    return TrainingTable(
        inputs=pd.concat([values, known], axis=1),
        outcome=outcome + 6 * rng.standard_normal(N_PEOPLE),
        outcome_definition=OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent"),
        definitions=definitions,
        covariates=(
            Covariate("arm", "category", ("ketamine", "midazolam"), "arm"),
            Covariate("caps5_total_baseline", "number", role="clinical"),
            Covariate("site", "category", ("a", "b"), "site"),
        ),
        demographic=(Covariate("age", "number", role="demographic"),),
        motion_columns=(motion.name,),
        features=features,
        left_out=(),
    )


def make_config(store: Path, *, n_permutations: int = 0) -> ExperimentConfig:
    """Quick experiment on that trial."""
    return ExperimentConfig(
        name="small-trial",
        cohort=CohortConfig(features="features.tsv", participants="participants.tsv", name="small trial"),
        outcome=OutcomeConfig(column="improvement", unit="percent"),
        covariates=CovariatesConfig(
            arm="arm", clinical=("caps5_total_baseline",), site="site", demographic=("age",), interactions=True
        ),
        model=ModelConfig(candidates=("ridge",), l1_ratios=(0.5,), n_alphas=6),
        validation=ValidationConfig(
            n_folds=5, n_repeats=2, inner_folds=3, n_permutations=n_permutations, n_bootstrap_models=8
        ),
        tracking=TrackingConfig(registered_model="small-model", store=str(store)),
        source='name = "small-trial"\n',
    )


@pytest.fixture(scope="session")
def training_table() -> TrainingTable:
    """Return the small trial."""
    return make_table()


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an MLflow store; making one takes seconds, so that all tests share it."""
    return tmp_path_factory.mktemp("mlruns")


@pytest.fixture(scope="session")
def config(store_folder: Path) -> ExperimentConfig:
    """Return the experiment that `result` is of."""
    return make_config(store_folder, n_permutations=24)


@pytest.fixture(scope="session")
def result(training_table: TrainingTable, config: ExperimentConfig) -> ExperimentResult:
    """Return a whole experiment: judged, logged, registered as version 1 of `small-model`."""
    return run_on_table(training_table, config, n_jobs=1)


@pytest.fixture(scope="session")
def drawn(result: ExperimentResult) -> dict[str, DrawnFigure]:
    """Return the experiment's figures, people included; drawing them takes seconds."""
    return drawn_figures(result.record.document, result.record.predictions)


@pytest.fixture(scope="session")
def drawn_without_people(result: ExperimentResult) -> dict[str, DrawnFigure]:
    """Return the experiment's figures as drawn from aggregates."""
    return drawn_figures(result.record.document, None)


@pytest.fixture(scope="session")
def page_without_people(result: ExperimentResult) -> str:
    """Return the experiment's report as drawn and written from aggregates."""
    return report_page(result.record, aggregates_only=True)


@pytest.fixture(scope="session")
def small_trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic trial on disk: two patients and a control, three runs each."""
    from training.simulation.dataset import simulate_dataset
    from training.simulation.trial import TrialPlan

    folder = tmp_path_factory.mktemp("trial") / "small"
    simulate_dataset(folder, TrialPlan(n_patients=2, n_controls=1, seed=5), n_jobs=1)
    return folder


@pytest.fixture(scope="session")
def tracking_server(tmp_path_factory: pytest.TempPathFactory, answering: Answering) -> Iterator[str]:
    """Lend the address of an MLflow tracking server on loopback that keeps database and files to itself."""
    place = tmp_path_factory.mktemp("tracking-server")
    database, files = f"sqlite:///{place}/server.db", str(place / "files")
    command = ["server", "--backend-store-uri", database, "--artifacts-destination", files]
    with answering(command, "/health", {}) as address:
        yield address


@pytest.fixture(scope="session")
def answering(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Answering:
    """Return what runs a serving command of MLflow on loopback, and gives its address once a path answers."""

    @contextmanager
    def run(command: Sequence[str], path: str, variables: Mapping[str, str]) -> Iterator[str]:
        place, port = tmp_path_factory.mktemp("serving"), free_port()
        whole = [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        known = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        # MLflow calls uvicorn by name; the environment need not be activated.
        known["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        with (
            (place / "log").open("w") as log,
            subprocess.Popen(
                whole, cwd=place, env=known | dict(variables), stdout=log, stderr=log, start_new_session=True
            ) as server,
        ):
            try:
                wait_for(f"http://127.0.0.1:{port}{path}", server)
                yield f"http://127.0.0.1:{port}"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGTERM)  # its workers, too

    return run


def wait_for(address: str, process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    """Wait until a process of ours answers on an address."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{address} does not answer; the process ended with {process.poll()}")


def _metrics(r2: float, lower: float, upper: float) -> dict[str, Any]:
    return {
        "r2": r2, "r2_interval": {"lower": lower, "upper": upper, "level": 0.95},
        "mae": 8.0, "mae_interval": {"lower": 7.0, "upper": 9.0, "level": 0.95},
        "rmse": 10.0, "rmse_interval": {"lower": 9.0, "upper": 11.0, "level": 0.95},
        "pearson_r": 0.5, "pearson_r_interval": {"lower": 0.3, "upper": 0.7, "level": 0.95},
    }  # fmt: skip


def _baseline(name: str, r2: float, lower: float) -> dict[str, Any]:
    interval = {"lower": lower, "upper": 40.0, "level": 0.95}
    return {
        "name": name, "role": "baseline", "n_inputs": 1,
        "assessment": {"metrics": _metrics(r2, r2 - 0.1, r2 + 0.1)},
        "gain_of_primary": {"difference": 20.0, "corrected_interval": interval, "bootstrap_interval": interval},
    }  # fmt: skip


@pytest.fixture
def record_document() -> dict[str, Any]:
    """Return the document of an experiment record, written by hand: real people, two sites, nothing in [report]."""
    calibration = {
        "scale": "outcome", "slope": 0.9, "slope_interval": {"lower": 0.6, "upper": 1.2, "level": 0.95},
        "in_the_large": 0.1, "in_the_large_interval": {"lower": -2.0, "upper": 2.2, "level": 0.95},
    }  # fmt: skip
    primary = {
        "name": "elastic_net", "role": "primary", "n_inputs": None, "gain_of_primary": None,
        "assessment": {
            "metrics": _metrics(0.31, 0.12, 0.47), "calibration": calibration,
            "responders": {"not_reported": "the outcome has no rule for a response."},
            "response_calibration": {"not_reported": "the outcome has no rule for a response."},
        },
    }  # fmt: skip
    return {
        "schema": 1, "research_use_only": True, "name": "ward-study", "is_synthetic": False,
        "config": {
            "cohort": {"include": {"group": "patient"}, "exclude_missing_outcome": False},
            "covariates": {"arm": "arm", "clinical": ["caps5_total_baseline"], "interactions": True},
            "features": {"families": ["rest_fisher_z"], "names": [], "minimum_reliability": 0.0},
            "model": {"primary": "elastic_net", "n_alphas": 20},
            "validation": {"scheme": "repeated_kfold", "inner_folds": 5},
            "tracking": {"registered_model": "ward-model", "store": "mlruns"},
            "report": {"authors": [], "funding": "", "notes": ""},
        },
        "config_digest": "sha256:" + "c" * 64, "code_version": "0.1.0",
        "data_flow": [
            {"stage": "listed in participants.tsv", "n": 90, "detail": "", "kind": "people"},
            {"stage": "with an outcome", "n": 80, "detail": "improvement", "kind": "people"},
            {"stage": "in the feature table", "n": 40, "detail": "", "kind": "features"},
        ],
        "cohort": {
            "name": "ward study", "n_participants": 80, "n_left_out": 2,
            "n_per_arm": {"ketamine": 41, "midazolam": 39}, "n_per_site": {"north": 62, "south": 18},
            "age": {"mean": 38.2, "sd": 9.1, "min_decade": 20}, "sex": {"female": 45, "male": 35},
            "outcome": {"mean": 30.0, "sd": 14.0, "quartiles": [20.0, 30.0, 40.0]},
            "missing": {"rest_fisher_z": 0.012}, "reference": None,
        },
        "features": {
            "n": 40, "families": {"rest_fisher_z": {"n": 40, "unit": "fisher_z"}}, "recipe": {"version": 1},
            "recipe_hashes": ["sha256:" + "a" * 64], "covariates": [{"name": "arm", "role": "arm", "kind": "category"}],
            "harmonization": None,
        },
        "outcome": {"name": "improvement", "unit": "percent", "better": "higher", "response_rule": "at least 30"},
        "folds": {"n_folds": [10, 10], "n_groups": None, "digest": "sha256:" + "f" * 64},
        "validation": "nested 2x10-fold, penalties tuned by inner 5-fold",
        "models": [primary, _baseline("constant", 0.0, 5.0), _baseline("arm only", 0.28, -2.0)],
        "permutation": {"p_value": 0.01, "n_permutations": 99, "null_r2": [-0.1, 0.0]},
        "audit": {"passed": True},
        "benefit": {
            "status": "benefit not shown", "reason": "arm x feature p = 0.4", "about": "people like this one",
            "treated": "ketamine", "control": "midazolam", "n_per_arm": {"ketamine": 41, "midazolam": 39},
            "unit": "percent", "interaction": {"p": 0.4, "null_hypothesis": "none", "features": []},
        },
        "power": {
            "n_participants": 80, "detectable_r2": 0.08, "detectable_gain": 0.06, "baseline_r2": 0.28,
            "wanted_power": 0.8, "holds": "for a prediction fixed beforehand",
        },
        "coverage": {
            "promised": 0.9, "realised": 0.88, "interval": {"lower": 0.78, "upper": 0.94, "level": 0.95},
            "n_people": 80, "is_kept": True, "by_arm": {
                arm: {"realised": realised, "interval": {"lower": 0.7, "upper": 0.96, "level": 0.95}, "n_people": 40}
                for arm, realised in (("ketamine", 0.85), ("midazolam", 0.91))
            },
        },
        "calibration_bins": [{"predicted_mean": 21.0, "observed_mean": 19.5, "observed_sd": 9.0, "n": 20}],
        "subgroups": [
            {"column": "site", "level": "north", "n": 62, "too_few": False, "r2": 0.3, "mae": 8.1, "bias": 0.2},
            {"column": "site", "level": "south", "n": 18, "too_few": True, "r2": None, "mae": None, "bias": None},
        ],
        "limits": ["Judged by cross-validation within 80 people; not validated in another cohort."],
        "environment": {"python": "3.11.7"}, "seconds": 12.5,
    }  # fmt: skip


@pytest.fixture(scope="session")
def complete_bundle(training_table: TrainingTable, config: ExperimentConfig) -> ModelBundle:
    """Return a model of the small trial whose card and TRIPOD+AI table are complete, with words in place of facts."""
    estimator = make_estimators(training_table, config)["elastic_net"]
    bundle = build_bundle(estimator, training_table, config, card=dict.fromkeys(REQUIRED_ENTRIES, "said"))
    rows = tuple({"item": one.item, "status": "answered", "source": "run", "answer": "said"} for one in QUESTIONS)
    return replace(bundle, card_text="the card", tripod_ai=rows, tripod_ai_text="the table")


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store for tests of the shelf; each uses a registered name of its own."""
    return open_store(tmp_path_factory.mktemp("shelf") / "mlruns")


@pytest.fixture
def put_on_shelf(complete_bundle: ModelBundle) -> Callable[..., RegisteredVersion]:
    """Return what logs and registers a version as `krp train` does, without training: every check can pass."""
    return partial(register_version, complete_bundle)


def register_version(
    bundle: ModelBundle, store: Store, name: str, *, source: str = 'name = "small-trial"\n', **changes: Any
) -> RegisteredVersion:
    """Log an experiment whose primary is an elastic net, and register the bundle under a name; see `put_on_shelf`."""
    digest = "sha256:" + hashlib.sha256(source.encode()).hexdigest()
    with start_run(store, "small-trial", name="small-trial") as run:
        run.tags({"primary": "elastic_net", "config_digest": digest})
        run.text(source, "experiment.toml")
        now = time.time()
        with start_run(store, "small-trial", name="elastic_net", parent=run) as model:
            model.tags({"role": "primary"})
        with start_run(store, "small-trial", name="constant", parent=run) as model:
            model.tags({"role": "baseline"})
        tags = {"cohort_digest": "sha256:" + "c" * 64, "config_digest": digest, "code_version": "1"}
        measured = passing_measurements(now) | changes
        return register_bundle(replace(bundle, name=name), measured, store=store, run=run, tags=tags)


def passing_measurements(logged_at_s: float) -> dict[str, Any]:
    """What training measured about a model that passes the gate."""
    names = ("constant", "arm only", "clinical only", "arm + clinical", "motion only", "age/sex only")
    return {
        "primary": {
            "named_in_config": "elastic_net", "model": "elastic_net", "config_logged_at_s": logged_at_s,
            "fitting_started_at_s": logged_at_s,
        },
        "comparisons": {name: {"difference": 5.0, "lower": 0.1, "upper": 8.0} for name in names},
        "baselines": {
            "impossible": dict.fromkeys(("site only", "covariates only"), "no column has the role site"),
        },
        "permutation": {"p_value": 0.01, "n_permutations": 99},
        "fold_isolation": {"passed": True, "n_folds": 10, "n_values_compared": 500},
        "measured": {},
    }  # fmt: skip


@pytest.fixture
def write_people(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a cohort like the small trial as features and participants.tsv, by ready features."""

    def write(*, seed: int = 8, prefix: str = "new-", table: TrainingTable | None = None) -> Path:
        """Write new people, or a given table's under other names; returns the folder."""
        return write_people_to(tmp_path / f"people-{prefix}{seed}", table or make_table(seed=seed), prefix=prefix)

    return write


def write_people_to(folder: Path, people: TrainingTable, *, prefix: str = "new-") -> Path:
    """Write a table as ready features and participants.tsv, under other names; returns the folder."""
    folder.mkdir()
    index = pd.Index([f"{prefix}{number:02d}" for number in range(len(people.outcome))], name="participant_id")
    people.features.values.set_axis(index).to_csv(folder / "people.tsv", sep="\t")
    known = people.inputs[["arm", "caps5_total_baseline", "site", "age"]].set_axis(index)
    known.assign(improvement=people.outcome).to_csv(folder / "participants.tsv", sep="\t")
    return folder


def _measured_cohort() -> Callable[..., FeatureTable]:
    """Tests have no packages, so a module beside them is loaded by its path."""
    spec = importlib.util.spec_from_file_location("measured_cohort", Path(__file__).with_name("measured_cohort.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    writer: Callable[..., FeatureTable] = module.write_measured_cohort
    return writer


@pytest.fixture(scope="session")
def write_measured_cohort() -> Callable[..., FeatureTable]:
    """Return what writes the results of a cohort: write_measured_cohort(folder) -> its feature table."""
    return _measured_cohort()
