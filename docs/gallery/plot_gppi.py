"""
Deconvolution and gPPI recover a planted interaction
====================================================

A seed region drives a target, more so while faces are shown. Brain regions interact before the slow haemodynamic
response, so the interaction is formed from the *deconvolved* seed (Gitelman et al. 2003; McLaren et al. 2012). Here the
change of drive is planted, and looked for again in the measured signals.

Synthetic data; research use only.
"""

# %%
# Plant a change of drive
# -----------------------
# The seed's neuronal activity fluctuates by itself and rises with every block. The target follows with a slope of 0.2,
# plus the planted change while faces are shown. Both are then seen through the haemodynamic response and noise.
import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import lfilter

from predictor.features.deconvolution import deconvolve
from predictor.features.gppi import gppi_estimates, seed_signals
from predictor.features.task_design import Condition, MicrotimeGrid, convolve_hrf, cosine_drift, stimulus
from predictor.report.palette import LIGHT

grid = MicrotimeGrid(n_volumes=200, repetition_time_s=2.0)
faces = Condition("faces", np.arange(20.0, 380, 80), np.full(5, 20.0))
control = Condition("control", np.arange(60.0, 380, 80), np.full(4, 20.0))
drift = cosine_drift(grid.n_volumes, grid.repetition_time_s, 128.0)
while_faces = stimulus(faces, grid)[-grid.n_bins :]
while_control = stimulus(control, grid)[-grid.n_bins :]


def measured(planted_change, rng):
    """Return neuronal activity (n_bins, 2) and measured signals (n_volumes, 2) of seed and target."""
    own = lfilter([1], [1, -0.96], rng.standard_normal((grid.n_bins, 2)), axis=0)
    seed = 0.3 * own[:, 0] + while_faces + while_control
    target = (0.2 + planted_change * while_faces) * seed + 0.3 * own[:, 1]
    neuronal = np.column_stack([seed, target])
    seen = convolve_hrf(neuronal, grid)[grid.sampled_bins]
    return neuronal, seen + 0.2 * rng.standard_normal(seen.shape)


# %%
# What deconvolution sees
# -----------------------
# The estimate is smoother than the truth: what the response has blurred away cannot come back, and is not made up.
rng = np.random.default_rng(1)
neuronal, bold = measured(0.5, rng)
constant = np.column_stack([np.ones(grid.n_volumes), drift])
recovered = deconvolve(bold, grid, confounds=constant)

seconds = np.arange(grid.n_bins) * grid.step_s
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
axes.plot(seconds, neuronal[:, 0] - neuronal[:, 0].mean(), color=LIGHT["crowd"], label="true")
axes.plot(seconds, recovered[:, 0], color=LIGHT["up"], label="deconvolved from the measured signal")
axes.set(xlabel="time (s)", ylabel="seed's neuronal signal (a.u.)", xlim=(0, 400), ylim=(-5, 6.5))
axes.set_title("Neuronal signal of the seed, synthetic")
axes.legend(frameon=False, loc="upper right", ncols=2)


# %%
# What gPPI finds
# ---------------
# Twenty runs for every planted change. Points are the estimates of single runs, the line is where they should lie. One
# run is noisy: its standard error is part of the result, and of every feature table of this project.
def estimated(planted_change, seed_number):
    """Return the interaction of one run, faces beyond control, seed to target."""
    _, bold = measured(planted_change, np.random.default_rng(seed_number))
    seeds = seed_signals(bold, (faces, control), grid, drift=drift)
    return gppi_estimates(bold, seeds, {"faces": 1, "control": -1}, drift=drift).effect[0, 1]


changes = np.array([-0.4, 0.0, 0.4, 0.8])
estimates = np.array([[estimated(change, number) for number in range(20)] for change in changes])

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
jitter = np.linspace(-0.04, 0.04, estimates.shape[1])
axes.plot(changes, changes, color=LIGHT["muted"], linestyle="--", label="planted")
for change, found in zip(changes, estimates, strict=True):
    axes.plot(change + jitter, found, "o", markersize=3, color=LIGHT["up"], alpha=0.6)
axes.errorbar(changes, estimates.mean(axis=1), estimates.std(axis=1), fmt="s", color=LIGHT["down"], label="mean, SD")
axes.set(xlabel="planted change of slope", ylabel="gPPI estimate (unitless)")
axes.set_title("Faces beyond control, synthetic")
axes.legend(frameon=False)
plt.show()
