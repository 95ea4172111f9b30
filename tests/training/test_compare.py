from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from predictor.__main__ import main
from predictor.errors import ModelUnavailableError
from training.log_book.compare import ALONE, NOT_COMPARABLE, SAME_FOLDS, compare_experiments
from training.log_book.tracking import Store, open_store, start_run
from training.report.forest_figure import comparison_page, forest_figure

NUMBERS = {"r2": 0.31, "r2_lower": 0.2, "r2_upper": 0.4, "mae": 12.5, "permutation_p": 0.01, "best_baseline_r2": 0.28}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Log book of four experiments: two on the same folds, a competition on others, one that failed."""
    opened = open_store(tmp_path_factory.mktemp("compared"))
    first = log(opened, "first", splits="sha256:one", r2=0.10)
    again = log(opened, "first", splits="sha256:one", r2=0.31, synthetic="yes")
    log(opened, "second", splits="sha256:one", r2=0.35)
    log(opened, "contest", splits="sha256:two", r2=0.40, primary="none: models compete")
    with start_run(opened, "first", name="multiverse", kind="multiverse"):
        pass
    with pytest.raises(ZeroDivisionError), start_run(opened, "failed", name="failed"):
        raise ZeroDivisionError
    client = opened.client
    client.create_registered_model("shelf")
    client.create_model_version("shelf", source="file:///nothing", run_id=first)
    client.create_model_version("shelf", source="file:///nothing", run_id=again, tags={"gate": "refused"})
    client.set_registered_model_alias("shelf", "candidate", "2")
    return opened


def log(store: Store, name: str, *, splits: str, r2: float, synthetic: str = "no", primary: str = "elastic_net") -> str:
    with start_run(store, name, name=name) as run:
        facts = {"primary": primary, "first_model": "elastic_net", "best_baseline": "arm + clinical"}
        run.tags(facts | {"splits_digest": splits, "synthetic": synthetic})
        run.params({"outcome": "improvement", "n_participants": 60})
        run.metrics(NUMBERS | {"r2": r2, "gain": 20.0, "gain_lower": -5.0, "gain_upper": 45.0})
        with start_run(store, name, name="elastic_net", parent=run):
            pass
    return run.run_id


def test_the_latest_finished_run_of_each_experiment_is_shown(store: Store) -> None:
    found = {one.name: one for one in compare_experiments(store).experiments}
    assert {name: one.r2 for name, one in found.items()} == {"first": 0.31, "second": 0.35, "contest": 0.40}
    first = found["first"]
    assert (first.outcome, first.n_participants, first.p_value, first.mae) == ("improvement", 60, 0.01, 12.5)
    assert (first.best_baseline, first.gain_lower, first.is_synthetic) == ("arm + clinical", -5.0, True)


def test_all_runs_are_shown_on_request_and_no_multiverse_is_among_them(store: Store) -> None:
    found = compare_experiments(store, names=["first"], all_runs=True).experiments
    assert [one.r2 for one in found] == [0.31, 0.10]


def test_version_and_decision_of_the_gate_come_from_the_shelf(store: Store) -> None:
    first, second = compare_experiments(store, names=["first", "second"]).experiments
    assert (first.version, first.gate) == ("shelf/2 (candidate)", "refused")
    assert (second.version, second.gate) == ("", "not registered")
    older = compare_experiments(store, names=["first"], all_runs=True).experiments[1]
    assert (older.version, older.gate) == ("shelf/1", "not asked")


def test_only_the_same_people_and_folds_are_comparable(store: Store) -> None:
    same = compare_experiments(store, names=["second", "first"])
    assert [one.name for one in same.experiments] == ["second", "first"]
    assert same.is_comparable
    assert same.verdict == SAME_FOLDS
    mixed = compare_experiments(store, names=["second", "contest", "first"])
    assert [one.folds for one in mixed.experiments] == ["A", "B", "A"]
    assert not mixed.is_comparable
    assert mixed.verdict == NOT_COMPARABLE
    assert compare_experiments(store, names=["first"]).verdict == ALONE


def test_the_winner_of_a_competition_is_said_to_be_one(store: Store) -> None:
    (contest,) = compare_experiments(store, names=["contest"]).experiments
    assert contest.first_model == "elastic_net (winner)"


@pytest.mark.parametrize(("name", "message"), [("unheard", "no experiment 'unheard'"), ("failed", "no finished run")])
def test_an_experiment_that_cannot_be_shown_is_named(store: Store, name: str, message: str) -> None:
    with pytest.raises(ModelUnavailableError, match=message):
        compare_experiments(store, names=[name])


def test_the_table_on_screen_holds_every_number(store: Store) -> None:
    lines = list(compare_experiments(store, names=["first", "second"]).lines())
    assert lines[0].split()[:2] == ["experiment", "started"]
    assert "first (synthetic)" in lines[1]
    for part in (".31 [.20, .40]", ".010", "12.5", "arm + clinical .28", "20 [-5, 45]", "refused", "shelf/2"):
        assert part in lines[1]
    assert "Research use only." in lines[-1]


def test_the_forest_has_a_row_per_experiment_and_needs_nothing_from_elsewhere(store: Store) -> None:
    comparison = compare_experiments(store)
    drawn = ElementTree.fromstring(forest_figure(comparison.document()))
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 3
    page = comparison_page(comparison.document(), *comparison.table())
    assert "Research use only." in page
    assert page.replace("http://www.w3.org/2000/svg", "").count("://") == 0


def test_variants_with_long_names_stay_apart_in_the_figure(store: Store) -> None:
    document = compare_experiments(store, names=["first"]).document()
    (row,) = document["experiments"]
    names = [f"a-very-long-name-of-an-experiment-in-this-group-{variant}" for variant in ("deviation", "partial")]
    drawn = forest_figure(document | {"experiments": [row | {"name": name} for name in names]})
    shown = {one.text for one in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert sum("…" in (words or "") for words in shown) == 2
    assert all("(synthetic)" in words for words in shown if words and "…" in words)


def test_an_experiment_without_numbers_leaves_gaps(store: Store) -> None:
    with start_run(store, "bare", name="bare"):
        pass
    comparison = compare_experiments(store, names=["bare"])
    assert comparison.experiments[0].r2 is None
    assert "–" in list(comparison.lines())[1]
    ElementTree.fromstring(forest_figure(comparison.document()))


def test_the_command_takes_names_and_files_and_draws(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tmp_path / "second.toml"
    experiment.write_text('name = "second"\n')
    call = ["compare", "first", str(experiment), "--store", str(store.folder)]
    assert main([*call, "--json", "--figure", str(tmp_path / "forest.svg")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["experiments"]] == ["first", "second"]
    assert document["comparable"] is True
    ElementTree.parse(tmp_path / "forest.svg")
    assert main([*call, "--figure", str(tmp_path / "forest.html")]) == 0
    assert (tmp_path / "forest.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("options", "code"), [(["--figure", "forest.png"], 2), (["nothing.toml"], 3), (["unheard"], 3)]
)
def test_wrong_use_of_the_command_is_told(store: Store, options: list[str], code: int) -> None:
    assert main(["compare", *options, "--store", str(store.folder)]) == code


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert main(["compare", "--store", str(tmp_path / "nothing")]) == 3
    assert not list(tmp_path.iterdir())
