"""Compare answers for people of another site with what became of them: aggregates only.

Usage: python experiments/compare_with_outcome.py ANSWERS.jsonl PARTICIPANTS.tsv OUTCOME_COLUMN TRAINING_SITE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from predictor import console
from training.cohort.participants import read_participants
from training.evaluation.metrics import measure
from training.evaluation.nested_cv import OutOfFold


def main(answers: str, participants: str, outcome: str, training_site: str) -> int:
    """Print R2 against the training site's mean, MAE, r and the coverage of the 90 % intervals."""
    lines = Path(answers).read_text(encoding="utf-8").splitlines()
    scored = {line["participant"]: line["answer"] for line in map(json.loads, lines)}
    arms = [next(iter(answer["arms"].values())) for answer in scored.values()]
    people = read_participants(Path(participants))
    observed = people.loc[list(scored), outcome].to_numpy(dtype=np.float64)
    training_mean = people.loc[people["site"] == training_site, outcome].mean()
    expected = np.array([arm["expected"] for arm in arms])[np.newaxis]
    constant = np.full_like(expected, training_mean)
    folds = np.zeros(expected.shape, dtype=np.intp)
    metrics = measure(OutOfFold(observed, expected, constant, folds, ()), seed=0)
    baseline = measure(OutOfFold(observed, constant, constant, folds, ()), seed=0)
    is_covered = [
        arm["interval"]["lower"] <= value <= arm["interval"]["upper"] for arm, value in zip(arms, observed, strict=True)
    ]
    console.emit(f"{len(observed)} people, {sum(answer['status'] == 'flagged' for answer in scored.values())} flagged")
    console.emit(f"R2 {metrics.r2:.2f} [{metrics.r2_interval.lower:.2f}, {metrics.r2_interval.upper:.2f}]")
    console.emit(f"MAE {metrics.mae:.2f}, of the constant model {baseline.mae:.2f}; r {metrics.pearson_r:.2f}")
    console.emit(f"90 % intervals hold {100 * np.mean(is_covered):.0f} % of the outcomes")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
