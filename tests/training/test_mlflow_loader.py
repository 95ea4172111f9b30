from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from predictor.model.bundle import save_bundle
from predictor.model.mlflow_loader import _load_pyfunc
from training.config import ExperimentConfig
from training.experiment import make_estimators
from training.final_model import build_bundle
from training.training_table import TrainingTable


@pytest.fixture(scope="module")
def folder(training_table: TrainingTable, config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("loader") / "bundle"
    estimator = make_estimators(training_table, config)["elastic_net"]
    save_bundle(build_bundle(estimator, training_table, config, card={}), place)
    return place


def test_absent_columns_count_as_missing_and_are_imputed(folder: Path, training_table: TrainingTable) -> None:
    model = _load_pyfunc(str(folder))
    people = training_table.model_inputs.head(3)
    first = training_table.definitions[0].name
    without = model.predict(people.drop(columns=[first, "site"]))
    filled = people.assign(**{first: model.bundle.model.impute_values[0]})
    assert without["ketamine"].to_numpy() == pytest.approx(
        model.predict(filled.assign(site="nowhere"))["ketamine"].to_numpy(), abs=1e-12
    )
    assert list(without.index) == list(people.index)


def test_it_loads_where_neither_mlflow_nor_training_can_be_imported(folder: Path) -> None:
    script = (
        "import sys; sys.modules['mlflow'] = None; sys.modules['training'] = None\n"
        "import pandas as pd\n"
        "from predictor.model.mlflow_loader import _load_pyfunc\n"
        "print(list(_load_pyfunc(sys.argv[1]).predict(pd.DataFrame(index=[0])).columns))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ketamine', 'midazolam']"
