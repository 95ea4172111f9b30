"""Lock a trained bundle, then test it once on people of another site: R2, MAE, r and p beside baselines.

    python experiments/test_once.py lock BUNDLE LOCK.json
    python experiments/test_once.py test BUNDLE LOCK.json EXPERIMENT.toml site=essen [section.key=value ...]

The first command writes down which bundle will be tested; the second refuses any other bundle, and a second look. The
experiment file says what the bundle was trained on; baselines are fitted on those people.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sklearn.base import clone

from predictor import console
from predictor.errors import PredictorError, RefusedError
from predictor.model.bundle import load_bundle
from predictor.pipeline import score_features
from training.config import read_experiment
from training.evaluation.baselines import make_baselines
from training.evaluation.external_test import ExternalTest, external_test
from training.training_table import TrainingTable, read_training_table


def lock(bundle: Path, lock_file: Path) -> None:
    """Write down the bundle's digest, once."""
    entry = {"bundle_digest": load_bundle(bundle).digest, "locked_at": now(), "tested_at": None}
    try:
        with lock_file.open("x", encoding="utf-8") as file:
            json.dump(entry, file, indent=2)
    except FileExistsError as error:
        raise RefusedError(
            "there is a lock already; a new one would be a second look.", where=lock_file.name
        ) from error
    console.emit(f"locked {entry['bundle_digest']}")


def test(bundle: Path, lock_file: Path, experiment: Path, included: str, overrides: list[str]) -> None:
    """Test the locked bundle on the included people, once."""
    entry = json.loads(lock_file.read_text(encoding="utf-8"))
    model = load_bundle(bundle)
    if entry["bundle_digest"] != model.digest:
        raise RefusedError("this is another bundle than the one that was locked.", where=lock_file.name)
    if entry["tested_at"]:
        raise RefusedError(f"the bundle was tested before, at {entry['tested_at']}.", where=lock_file.name)
    config = read_experiment(experiment, overrides=overrides)
    trained = read_training_table(config)
    column, _, value = included.partition("=")
    tested = read_training_table(replace(config, cohort=replace(config.cohort, include={column: value})))
    names = [definition.name for definition in model.definitions]
    answers = []
    for features, known in zip(tested.inputs[names].to_numpy(), people(tested), strict=True):
        ready = {name: None if np.isnan(one) else float(one) for name, one in zip(names, features, strict=True)}
        answers.append(score_features(ready, known, model, recipe_hash=None, input_digest=None))
    if any("arms" not in answer for answer in answers):
        raise RefusedError("the bundle refuses some of these people.", where=included)
    expected = np.array([next(iter(answer["arms"].values()))["expected"] for answer in answers])
    result = external_test(
        expected, tested.outcome, training_mean=float(trained.outcome.mean()), baselines=baselines(trained, tested)
    )
    lock_file.write_text(json.dumps(entry | {"tested_at": now(), "lines": list(result.lines())}, indent=2))
    show(result, answers, tested)


def people(table: TrainingTable) -> list[dict[str, float | str | None]]:
    """Return everyone's covariates as a request would carry them."""
    names = [covariate.name for covariate in table.covariates]
    return [{str(name): one for name, one in row.items()} for row in table.inputs[names].to_dict("records")]


def baselines(trained: TrainingTable, tested: TrainingTable) -> dict[str, np.ndarray]:
    """Return what models without the brain, fitted on the training people, predict for the tested ones."""
    covariates = (*trained.covariates, *trained.demographic)
    made = make_baselines(trained.inputs, covariates=covariates, motion_columns=trained.motion_columns)
    return {
        one.name: np.asarray(
            clone(one.estimator)
            .fit(trained.inputs[list(one.columns)], trained.outcome)
            .predict(tested.inputs[list(one.columns)])
        )
        for one in made
        if one.columns
    }


def show(result: ExternalTest, answers: list[dict], tested: TrainingTable) -> None:
    """Print the result and how many outcomes the 90 % intervals hold."""
    for line in result.lines():
        console.emit(line)
    intervals = [next(iter(answer["arms"].values()))["interval"] for answer in answers]
    is_held = [i["lower"] <= one <= i["upper"] for i, one in zip(intervals, tested.outcome, strict=True)]
    n_flagged = sum(answer["status"] == "flagged" for answer in answers)
    console.emit(f"  90 % intervals hold {np.mean(is_held):.0%} of the outcomes; {n_flagged} people flagged")


def now() -> str:
    """Return the time as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def main(arguments: list[str]) -> int:
    """Run one of the two commands."""
    try:
        if arguments[:1] == ["lock"] and len(arguments) == 3:
            lock(Path(arguments[1]), Path(arguments[2]))
        elif arguments[:1] == ["test"] and len(arguments) >= 5:
            test(Path(arguments[1]), Path(arguments[2]), Path(arguments[3]), arguments[4], arguments[5:])
        else:
            console.emit(__doc__ or "")
            return 2
    except PredictorError as error:
        console.show_error(error)
        return 4 if isinstance(error, RefusedError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
