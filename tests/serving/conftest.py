"""A trained bundle, a visit as bytes, and a running service on loopback."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import nibabel
import numpy as np
import pandas as pd
import psycopg
import pytest
import uvicorn
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from predictor.features.extraction import feature_definitions
from predictor.features.recipe import Recipe, default_recipe
from predictor.model.bundle import ModelBundle, save_bundle
from predictor.model.linear_model import LinearEnsemble
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.response_design import ResponseDesign, linear_model_of
from predictor.model.training_range import describe_training
from serving.app import create_app
from serving.model_store import BundleFolder, ModelStore
from serving.operation.guarded_protocol import GuardedProtocol
from serving.settings import Settings
from serving.store.database import Database

ARM = Covariate("arm", "category", ("ketamine", "midazolam"), role="arm")
SEVERITY = Covariate("caps5_total_baseline", "number", role="clinical", unit="points")
SITE = Covariate("site", "category", ("A", "B", "C"), role="site")
SEX = Covariate("sex", "category", ("female", "male"), role="demographic")
COVARIATES = (ARM, SEVERITY, SITE, SEX)
IMPROVEMENT = OutcomeDefinition("caps5_percent_improvement", "percent", "higher", 30.0, "at least 30 percent")
N_PEOPLE, N_FOLDS, N_BOOTSTRAP = 80, 5, 20

GRID, AFFINE = (28, 35, 30), np.array([[6.0, 0, 0, -84], [0, 6.0, 0, -120], [0, 0, 6.0, -74], [0, 0, 0, 1]])
N_VOLUMES, REPETITION_TIME_S = 150, 2.0
SPACE = "space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
Parts = dict[str, tuple[str, bytes]]


def train_bundle(recipe: Recipe | None = None, **changed: Any) -> ModelBundle:
    """Train a ridge regression on a cohort in which one feature matters, in the first arm only."""
    recipe = recipe or default_recipe()
    rng = np.random.default_rng(0)
    definitions = tuple(item for item in feature_definitions(recipe) if item.kind != "quality")
    names = [item.name for item in definitions]
    table = pd.DataFrame(rng.normal(0.2, 0.4, (N_PEOPLE, len(names))), columns=names)
    is_ketamine = np.arange(N_PEOPLE) % 2 == 0
    severity = rng.normal(42, 8, N_PEOPLE)
    outcome = 20 + 15 * is_ketamine + 9 * is_ketamine * table[names[0]] + 0.4 * severity + rng.normal(0, 12, N_PEOPLE)
    table["arm"] = np.where(is_ketamine, "ketamine", "midazolam")
    table["caps5_total_baseline"] = severity
    table["site"] = rng.choice(["A", "B", "C"], N_PEOPLE)
    table["sex"] = rng.choice(["female", "male"], N_PEOPLE)

    def fit(rows: Any) -> Pipeline:
        design = ResponseDesign(covariates=COVARIATES, features=tuple(names), arm_interactions=True)
        return Pipeline([("design", design), ("model", Ridge(300.0))]).fit(table.iloc[rows], outcome.iloc[rows])

    everyone, fold_index = np.arange(N_PEOPLE), rng.permutation(N_PEOPLE) % N_FOLDS
    folds = [fit(everyone[fold_index != fold]) for fold in range(N_FOLDS)]
    predicted = np.empty(N_PEOPLE)
    for fold, fitted in enumerate(folds):
        predicted[fold_index == fold] = fitted.predict(table.iloc[everyone[fold_index == fold]])
    pipeline = fit(everyone)
    model, design = linear_model_of(pipeline), pipeline.named_steps["design"]
    resampled = [linear_model_of(fit(rng.integers(0, N_PEOPLE, N_PEOPLE))) for _ in range(N_BOOTSTRAP)]
    fields: dict[str, Any] = {
        "name": "ketamine-response",
        "outcome": IMPROVEMENT,
        "definitions": definitions,
        "covariates": COVARIATES,
        "recipe": recipe,
        "recipe_hashes": (recipe.recipe_hash,),
        "model": model,
        "fold_models": LinearEnsemble.of([linear_model_of(fitted) for fitted in folds]),
        "out_of_fold": OutOfFoldResiduals(
            fold_index=fold_index.astype(np.int64),
            arm_index=np.array([model.arms.index(arm) for arm in table["arm"]], dtype=np.int64),
            prediction=predicted,
            residual=np.asarray(outcome - predicted),
        ),
        "bootstrap_models": LinearEnsemble.of(resampled),
        "training_range": describe_training(
            design.raw_inputs(table),
            n_features=len(definitions),
            background_mean=design.centre_,
            motion_mm={"rest": np.full(N_PEOPLE, 0.35), "faces": np.full(N_PEOPLE, 0.35)},
        ),
        "trained_on": N_PEOPLE,
        "card": {"cohort": "made-up trial", "metrics": {"r2": 0.31, "r2_interval": {"lower": 0.1, "upper": 0.5}}},
        "versions": {"numpy": np.__version__},
    }
    return ModelBundle(**(fields | changed))


def make_scan(seed: int = 0, *, n_volumes: int = N_VOLUMES) -> bytes:
    """Return a coarse whole-head series in MNI space, every voxel with its own noise, as .nii.gz."""
    rng = np.random.default_rng(seed)
    voxels = (1000 + 12 * rng.standard_normal((*GRID, n_volumes))).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.set_sform(AFFINE, code=4)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = REPETITION_TIME_S
    return gzip.compress(image.to_bytes(), compresslevel=1)


def make_confounds(n_rows: int = N_VOLUMES, *, motion_mm: float = 0.1) -> bytes:
    """Return a table as fMRIPrep writes it."""
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {"framewise_displacement": np.abs(rng.normal(motion_mm, 0.02, n_rows))}
    bases = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"] + ["csf", "white_matter", "global_signal"]
    for base in bases:
        for suffix in ("", "_derivative1", "_power2", "_derivative1_power2"):
            columns[base + suffix] = rng.standard_normal(n_rows) * 0.05
    for number in range(4):
        columns[f"cosine{number:02d}"] = np.cos(np.pi * (number + 1) * (np.arange(n_rows) + 0.5) / n_rows)
    return bytes(pd.DataFrame(columns).to_csv(sep="\t", index=False, na_rep="n/a"), "utf-8")


def make_events(duration_s: float = N_VOLUMES * REPETITION_TIME_S) -> bytes:
    """Return blocks of faces and shapes."""
    onsets = np.arange(10, duration_s - 20, 20.0)
    rows = [f"{onset}\t15\t{'faces' if index % 2 else 'shapes'}" for index, onset in enumerate(onsets)]
    return ("onset\tduration\ttrial_type\n" + "\n".join(rows) + "\n").encode()


def make_visit() -> Parts:
    """Return the parts of a visit with a rest run and a faces run."""
    sidecar = json.dumps({"RepetitionTime": REPETITION_TIME_S}).encode()
    parts: Parts = {}
    for seed, kind in enumerate(("rest", "faces")):
        stem = f"sub-01_task-{kind}"
        parts[kind] = (f"{stem}_{SPACE}", make_scan(seed))
        parts[f"{kind}_confounds"] = (f"{stem}_desc-confounds_timeseries.tsv", make_confounds())
        parts[f"{kind}_confounds_sidecar"] = (f"{stem}_desc-confounds_timeseries.json", b"{}")
        parts[f"{kind}_sidecar"] = (f"{stem}_{SPACE.replace('.nii.gz', '.json')}", sidecar)
    parts["faces_events"] = ("sub-01_task-faces_events.tsv", make_events())
    return parts


@dataclass(frozen=True)
class RunningService:
    """A service that answers."""

    url: str
    store: ModelStore

    def client(self) -> httpx.Client:
        # Plain HTTP: reading the certificates of authorities takes 24 ms of processor each time.
        return httpx.Client(base_url=self.url, timeout=60, verify=False, trust_env=False)


@contextmanager
def run_service(settings: Settings, store: ModelStore) -> Iterator[RunningService]:
    """Serve on a free port of loopback, in a thread, until the block ends; with a database of its own by default."""
    with TemporaryDirectory(prefix="krp-service-") as place:
        if "database_url" not in settings.model_fields_set:
            settings = settings.model_copy(update={"database_url": f"sqlite:///{place}/service.db"})
        with _run_service(settings, store) as running:
            yield running


@contextmanager
def _run_service(settings: Settings, store: ModelStore) -> Iterator[RunningService]:
    app = create_app(settings, models_store=store)
    config = uvicorn.Config(app, http=GuardedProtocol, log_config=None, port=0, access_log=False)
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        yield RunningService(f"http://127.0.0.1:{listener.getsockname()[1]}", store)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        assert not thread.is_alive(), "the service did not stop"


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "bundle"
    save_bundle(train_bundle(), folder)
    return folder


@pytest.fixture(scope="session")
def store(bundle_dir: Path) -> ModelStore:
    loaded = ModelStore(BundleFolder(bundle_dir))
    loaded.refresh()
    return loaded


@pytest.fixture(scope="session")
def bundle(store: ModelStore) -> ModelBundle:
    """Return the bundle as the service loaded it, so that it has its digest."""
    return store.current().bundle


@pytest.fixture(scope="session")
def visit() -> Parts:
    return make_visit()


@pytest.fixture(scope="session")
def sample_visit_dir(visit: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one participant in an fMRIPrep-shaped output inside its raw dataset."""
    root = tmp_path_factory.mktemp("trial")
    derivatives, raw = root / "derivatives/fmriprep/sub-01/func", root / "sub-01/func"
    for folder in (derivatives, raw):
        folder.mkdir(parents=True)
    for name, content in visit.values():
        (raw if name.endswith("_events.tsv") else derivatives).joinpath(name).write_bytes(content)
    table = "participant_id\tcaps5_total_baseline\tsite\tsex\nsub-01\t44\tA\tfemale\n"
    (root / "participants.tsv").write_text(table)
    return derivatives.parent


@pytest.fixture(scope="session")
def service(store: ModelStore, sample_visit_dir: Path) -> Iterator[RunningService]:
    settings = Settings(sample_visit_dir=sample_visit_dir, refresh_s=0, max_table_bytes=200_000, max_rows=50)
    with run_service(settings, store) as running:
        yield running


@pytest.fixture(scope="session")
def serve() -> Callable[[Settings, ModelStore], AbstractContextManager[RunningService]]:
    """Return `run_service`, for tests that need a service of their own."""
    return run_service


@pytest.fixture(scope="session")
def limited_url(store: ModelStore) -> Iterator[str]:
    """Return the address of a service that takes small bodies only."""
    settings = Settings(refresh_s=0, max_upload_bytes=100_000, max_json_bytes=10_000)
    with run_service(settings, store) as running:
        yield running.url


@pytest.fixture(scope="session")
def make_moving() -> Callable[[float], bytes]:
    """Return a function that makes a confounds table of someone who moves this much, in mm."""
    return lambda motion_mm: make_confounds(motion_mm=motion_mm)


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as found:
        yield found


@pytest.fixture(scope="session")
def make_features(bundle: ModelBundle) -> Callable[[float], dict[str, float | None]]:
    """Return a function that gives every feature the same value."""
    return lambda value: dict.fromkeys(bundle.feature_names, value)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty database of each kind that the service can use."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kept/service.db"
        return
    server = request.getfixturevalue("postgresql")
    name = f"service_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return an open database of each kind."""
    opened = Database.open(database_url)
    yield opened
    opened.close()
