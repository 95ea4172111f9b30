"""How often the planted signs of study A come back, at 200 people and at the study's 21 (22: half per arm).

Tables are simulated, not scans. Run on its own: python -m pytest tests/robustness/test_norbury_signs.py -s; N_TRIALS in
the environment makes it shorter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from predictor.console import emit
from training.config import read_experiment
from training.experiment import make_estimators
from training.final_model import build_bundle
from training.report.coefficient_lines import coefficients
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import TrialPlan
from training.training_table import read_training_table

N_TRIALS = int(os.environ.get("N_TRIALS", "30"))
EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "norbury_replication.toml"
# Stem of the features, arm, planted sign.
SIGNS = (
    ("change_gppi_faces_mean__amygdala", "all", 1),
    ("change_gppi_faces_mean__amygdala", "ketamine > midazolam", 1),
    ("change_activation_conflict_regulation__dACC", "ketamine", -1),
    ("change_rest_fisher_z__vmPFC__insula_anterior", "ketamine", 1),
)


def _signs(n_patients: int, seed: int, folder: Path) -> Iterator[float]:
    """Return 1 for a planted sign that came back, -1 for the opposite one, 0 where the model does not use it."""
    folder.mkdir()
    write_tables(simulate_tables(TrialPlan(n_patients, 0, seed, strength=0.0)), folder, changes=True)
    files = [f"cohort.{name}={folder / name}.tsv" for name in ("features", "participants")]
    speed = ["validation.inner_folds=5", "validation.n_bootstrap_models=2"]
    config = read_experiment(EXPERIMENT, overrides=[*files, *speed])
    table = read_training_table(config)
    found = coefficients(build_bundle(make_estimators(table, config)["elastic_net"], table, config, card={}))
    for stem, arm, sign in SIGNS:
        total = sum(one.value for one in found if one.feature.startswith(stem) and one.arm == arm)
        yield float(np.sign(total) * sign)


def test_planted_signs_come_back_at_200_people_and_mostly_not_at_22(tmp_path: Path) -> None:
    shares = {}
    for n_patients in (22, 200):
        found = np.array(
            [list(_signs(n_patients, seed, tmp_path / f"{n_patients}-{seed}")) for seed in range(N_TRIALS)]
        )
        shares[n_patients] = (found > 0).mean(axis=0)
        opposite = (found < 0).mean(axis=0)
        for (stem, arm, _), share, wrong in zip(SIGNS, shares[n_patients], opposite, strict=True):
            emit(f"n = {n_patients:<4} {stem:<50} {arm:<22} planted sign {share:.0%}, opposite {wrong:.0%}")
        if n_patients == 200:
            assert (opposite <= 0.15).all()
    assert (shares[200] >= 0.75).all()
    assert shares[22].mean() < 0.75
