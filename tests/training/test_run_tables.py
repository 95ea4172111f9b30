"""A log book read without MLflow, held against what MLflow itself gives."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from predictor.errors import ModelUnavailableError, TrackingError
from training.log_book.compare import compare_experiments
from training.log_book.run_tables import AT_A_TIME, RunTables
from training.log_book.tracking import Store, open_store, start_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Log book with finished, failed, running, deleted and nested runs of three experiments, one of them deleted."""
    opened = open_store(tmp_path_factory.mktemp("runs"))
    for name in ("first", "second", "gone"):
        with start_run(opened, name, name=f"{name} run") as run:
            run.tags({"splits_digest": "sha256:one", "first_model": "elastic_net"})
            run.params({"outcome": "improvement", "n_participants": 60})
            run.metrics({"r2": 0.31, "gain": 20.0})
            run.metrics({"r2": 0.35, "broken": math.nan})
            with start_run(opened, name, name="a model", parent=run):
                pass
    with pytest.raises(ZeroDivisionError), start_run(opened, "first", name="failed"):
        raise ZeroDivisionError
    client = opened.client
    first = client.get_experiment_by_name("first")
    assert first is not None
    client.create_run(first.experiment_id, run_name="running", start_time=0)
    client.delete_run(client.create_run(first.experiment_id).info.run_id)
    gone = client.get_experiment_by_name("gone")
    assert gone is not None
    client.delete_experiment(gone.experiment_id)
    client.create_registered_model("shelf")
    for number in range(2):
        client.create_model_version("shelf", source="file:///nothing", run_id=run.run_id, tags={"gate": f"{number}"})
    client.create_model_version("shelf", source="file:///nothing", run_id="another", tags={"gate": "refused"})
    client.set_registered_model_alias("shelf", "champion", "3")
    client.set_registered_model_alias("shelf", "candidate", "3")
    return opened


@pytest.fixture
def tables(store: Store) -> RunTables:
    found = RunTables.of(store.address.folder or "")
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["", "experiment", "model", "unknown"])
@pytest.mark.parametrize("status", ["", "FINISHED", "FAILED"])
@pytest.mark.parametrize("experiments", [(), ("second",), ("second", "first")])
def test_runs_are_those_that_mlflow_gives(
    store: Store, tables: RunTables, experiments: tuple[str, ...], status: str, kind: str
) -> None:
    # As text, for NaN is not equal to itself.
    expected = [repr(run) for run in store.find_runs(experiments=experiments, status=status, kind=kind)]
    found = [repr(run) for run in tables.find_runs(experiments=experiments, status=status, kind=kind)]
    assert [sorted(run) for run in found] == [sorted(run) for run in expected]
    assert bool(found) == (kind != "unknown" and (status, kind, experiments) not in NOTHING)


# Only the first experiment has a failed run, and it is none of a model.
NOTHING = {("FAILED", kind, experiments) for kind in ("", "experiment", "model") for experiments in [("second",)]}
NOTHING |= {("FAILED", "model", experiments) for experiments in [(), ("second", "first")]}


def test_numbers_are_the_last_ones_and_those_that_are_none_stay_so(tables: RunTables) -> None:
    (run,) = tables.find_runs(experiments=["second"], kind="experiment")
    assert (run.metrics["r2"], run.metrics["gain"]) == (0.35, 20.0)
    assert math.isnan(run.metrics["broken"])
    (model,) = tables.find_runs(experiments=["second"], kind="model")
    assert model.parent == run.run_id


def test_versions_are_those_that_mlflow_gives(store: Store, tables: RunTables) -> None:
    assert tables.find_versions() == store.find_versions()
    assert tables.find_versions()["another"] == {"label": "shelf/3 (candidate, champion)", "gate": "refused"}


def test_more_runs_than_fit_into_one_query_are_read(tables: RunTables, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = repr(tables.find_runs())
    monkeypatch.setattr("training.log_book.run_tables.AT_A_TIME", 1)
    assert AT_A_TIME > 1
    assert repr(tables.find_runs()) == whole


def test_an_unknown_or_deleted_experiment_is_refused_in_the_same_words(store: Store, tables: RunTables) -> None:
    for name in ("unknown", "gone"):
        messages = []
        for source in (store, tables):
            with pytest.raises(ModelUnavailableError) as caught:
                source.find_runs(experiments=[name])
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_comparisons_are_the_same_both_ways(store: Store, tables: RunTables) -> None:
    assert compare_experiments(tables).document() == compare_experiments(store).document()


def test_a_database_that_went_away_has_a_name(store: Store, tables: RunTables, tmp_path: Path) -> None:
    copy = tmp_path / "mlflow.db"
    copy.write_bytes(tables.tables.database.read_bytes())
    found = RunTables.of(tmp_path)
    assert found is not None
    copy.unlink()
    with pytest.raises(TrackingError):
        found.find_runs()


def test_compare_does_not_wait_for_mlflow(store: Store, project: Path) -> None:
    script = (
        "import sys; from predictor.__main__ import main; "
        f"code = main(['compare', '--store', {str(store.address.folder)!r}]); "
        "sys.exit(code or ('mlflow' in sys.modules) * 99)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "first" in done.stdout
