"""
What confound cleaning takes out
================================

Head motion moves all regions at once and so makes them look connected. The recipe regresses 24 motion parameters and
the signals of white matter and CSF out of the region signals, filters, and drops the volumes in which the head jerked.

Synthetic data; research use only.
"""

# %%
# A restless visit
# ----------------
# A simulated person whose head moves three times as much as is typical, recorded for eight minutes at rest.
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import predictor
from predictor.features.rest_connectivity import fisher_z_edges
from predictor.report.palette import LIGHT
from predictor.scan.cleaning import clean, percent_signal_change
from predictor.scan.confounds import select_confounds
from training.simulation.head_motion import draw_head_motion
from training.simulation.signal_visits import simulated_run
from training.simulation.trial import TrialPlan, simulate_people
from training.simulation.visit import simulate_signals

recipe = predictor.default_recipe()
person = simulate_people(TrialPlan(n_patients=2, n_controls=0, seed=3), recipe.circuit)[0]
signals = next(simulate_signals(person, recipe.circuit))
still = replace(signals, motion=draw_head_motion(0.02, len(signals.bold), np.random.default_rng(3)))
restless = replace(signals, motion=draw_head_motion(0.45, len(signals.bold), np.random.default_rng(3)))


def raw_and_clean(run):
    """Return displacement, signals before and after cleaning, and which volumes were kept."""
    confounds = select_confounds(run.confounds, recipe.confound_strategy, censor_framewise_displacement_mm=0.5)
    raw = percent_signal_change(run.recording)
    cleaned = clean(raw, confounds, high_pass_hz=recipe.high_pass_hz, low_pass_hz=recipe.low_pass_hz)
    return confounds, raw, cleaned


confounds, raw, cleaned = raw_and_clean(simulated_run(restless, person, recipe))
kept = np.flatnonzero(~confounds.is_censored)

# %%
# Before and after
# ----------------
# Grey bars are censored volumes: they are not there any more after cleaning.
region = recipe.circuit.region_names.index("amygdala_L")
seconds = np.arange(len(raw.bold)) * raw.repetition_time_s
figure, panels = plt.subplots(3, 1, figsize=(8, 5), sharex=True, layout="constrained")
panels[0].plot(seconds, confounds.framewise_displacement_mm, color=LIGHT["down"])
panels[0].axhline(0.5, color=LIGHT["muted"], linestyle="--", linewidth=0.8)
panels[0].set_ylabel("displacement\n(mm)")
panels[1].plot(seconds, raw.bold[:, region], color=LIGHT["ink"], linewidth=0.8)
panels[1].set_ylabel("before\n(percent)")
panels[2].plot(seconds[kept], cleaned.bold[:, region], color=LIGHT["up"], linewidth=0.8)
panels[2].set(ylabel="after\n(percent)", xlabel="time (s)")
for panel in panels:
    for volume in np.flatnonzero(confounds.is_censored):
        panel.axvspan(seconds[volume] - 1, seconds[volume] + 1, color=LIGHT["crowd"], linewidth=0)
panels[0].set_title(f"Left amygdala of a restless synthetic person, {len(kept)} of {len(raw.bold)} volumes kept")

# %%
# What it does to connectivity
# ----------------------------
# The same brain activity with a head that hardly moves, and with one that does. Without cleaning, motion shifts the
# connections; after it, the shift is gone. The scatter is not: cleaning mends most, not all, and costs degrees of
# freedom. That is why head motion stands beside every model as a baseline.
_, still_raw, still_clean = raw_and_clean(simulated_run(still, person, recipe))
figure, panels = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
pairs = ("before cleaning", still_raw, raw), ("after cleaning", still_clean, cleaned)
for panel, (title, quiet, moved) in zip(panels, pairs, strict=True):
    x, y = fisher_z_edges(quiet), fisher_z_edges(moved)
    panel.axline((0, 0), slope=1, color=LIGHT["muted"], linestyle="--", linewidth=0.8)
    panel.plot(x, y, "o", color=LIGHT["up"], markersize=4, alpha=0.7)
    panel.set_title(f"{title}\nmean shift {np.mean(y - x):+.2f}, r = {np.corrcoef(x, y)[0, 1]:.2f}", fontsize="medium")
    panel.set_xlabel("Fisher z, still head")
panels[0].set_ylabel("Fisher z, restless head")
figure.suptitle("66 pairs of regions, synthetic")
plt.show()
