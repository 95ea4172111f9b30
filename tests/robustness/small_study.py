"""A trial small enough to be trained in seconds, as ready tables and an experiment file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

MODEL = "small-study"
N_PEOPLE, N_FEATURES = 60, 4
EXPERIMENT = f"""
name = "small-study"

[cohort]
features = "people.tsv"
participants = "participants.tsv"

[outcome]
column = "improvement"
unit = "percent"
response_threshold = 30

[covariates]
arm = "arm"
clinical = ["caps5_total_baseline"]
demographic = ["age"]
motion = ["motion_mm"]
interactions = true

[model]
l1_ratios = [0.5]
n_alphas = 5

[validation]
n_folds = 5
n_repeats = 1
inner_folds = 3
n_permutations = 24
n_bootstrap_models = 5

[tracking]
registered_model = "{MODEL}"
"""


def write_study(folder: Path) -> None:
    """Write tables and experiment: the first feature matters under ketamine, enough to pass the gate."""
    rng = np.random.default_rng(7)
    people = pd.Index([f"sub-{number:02d}" for number in range(N_PEOPLE)], name="participant_id")
    names = [f"edge_{number}" for number in range(N_FEATURES)]
    features = pd.DataFrame(rng.standard_normal((N_PEOPLE, N_FEATURES)), people, names)
    known = pd.DataFrame({"arm": np.tile(["ketamine", "midazolam"], N_PEOPLE // 2)}, people)
    known["caps5_total_baseline"] = rng.normal(43, 8, N_PEOPLE).round(1)
    known["age"] = rng.normal(38, 9, N_PEOPLE).round()
    known["motion_mm"] = rng.gamma(3, 0.05, N_PEOPLE).round(4)
    is_ketamine = (known["arm"] == "ketamine").to_numpy()
    effect = -20.0 * is_ketamine * features["edge_0"].to_numpy()
    known["improvement"] = (20 + 15 * is_ketamine + effect + 5 * rng.standard_normal(N_PEOPLE)).round(2)
    features.to_csv(folder / "people.tsv", sep="\t")
    known.to_csv(folder / "participants.tsv", sep="\t")
    (folder / "experiment.toml").write_text(EXPERIMENT)
