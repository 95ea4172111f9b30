"""
What regression DCM can say about direction at rest
===================================================

A correlation is the same in both directions. Regression DCM (Frässle et al. 2017) fits a linear model of the regions'
dynamics and gives a coupling in Hz for each direction. Here vmPFC inhibits the amygdala and the amygdala drives the
insula, and nothing acts the other way. The method sees who leads whom. It also shows what is not there: at rest, every
coupling comes back mirrored in the opposite direction.

Synthetic data; research use only.
"""

# %%
# Three regions with known couplings
# ----------------------------------
# Rows are driven, columns drive. The diagonal is how fast activity decays by itself. Eight runs of seven minutes.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from predictor.features.effective_connectivity import fit_effective_connectivity
from predictor.features.network_regression import network_regression
from predictor.report.palette import ABOVE_ZERO, BELOW_ZERO, LIGHT
from training.simulation.neural_model import (
    LEAD_IN_VOLUMES,
    MICROTIME_BINS_PER_VOLUME,
    Coupling,
    bold_percent,
    neuronal_activity,
)

regions = ("vmPFC", "amygdala", "insula")
n_volumes, repetition_time_s, n_runs = 210, 2.0, 8
n_bins = (LEAD_IN_VOLUMES + n_volumes) * MICROTIME_BINS_PER_VOLUME


def resting_runs(hz, rng):
    """Return the measured signals of several runs, shape (n_runs, n_volumes, n_regions), standard deviation 1."""
    activity = neuronal_activity(
        Coupling(regions[: len(hz)], hz, np.zeros_like(hz)),
        faces_on=np.zeros((n_bins, n_runs)),
        drive=np.zeros((n_bins, n_runs, len(hz))),
        bin_s=repetition_time_s / MICROTIME_BINS_PER_VOLUME,
        rng=rng,
    )
    bold = bold_percent(activity, n_volumes=n_volumes, repetition_time_s=repetition_time_s)
    return np.moveaxis((bold - bold.mean(axis=0)) / bold.std(axis=0), 1, 0)


def connections(run):
    """Return the estimated couplings of one run in Hz."""
    return fit_effective_connectivity(network_regression(run, repetition_time_s)).connections_hz


true_hz = np.array([[-0.8, 0.0, 0.0], [-0.5, -0.8, 0.0], [0.0, 0.5, -0.8]])
runs = resting_runs(true_hz, np.random.default_rng(0))
found_hz = np.mean([connections(run) for run in runs], axis=0)
correlation = np.mean([np.corrcoef(run, rowvar=False) for run in runs], axis=0)

colours = LinearSegmentedColormap.from_list("signed", [BELOW_ZERO, "#ffffff", ABOVE_ZERO])
figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
shown = ("planted (Hz)", true_hz, 0.6), ("regression DCM (Hz)", found_hz, 0.1), ("correlation (r)", correlation, 1.0)
for panel, (title, matrix, limit) in zip(panels, shown, strict=True):
    panel.imshow(np.where(np.eye(3), 0, matrix), cmap=colours, vmin=-limit, vmax=limit)
    for row, column in zip(*np.nonzero(1 - np.eye(3)), strict=True):
        panel.text(column, row, f"{matrix[row, column]:+.2f}", ha="center", va="center", color="black")
    panel.set(title=title, xticks=range(3), yticks=range(3), xticklabels=regions, yticklabels=regions, xlabel="from")
panels[0].set_ylabel("to")
figure.suptitle("Couplings between three regions, synthetic")

# %%
# One coupling, both directions
# -----------------------------
# Two regions; the first acts on the second with a planted strength, the second on nothing. The estimate follows what
# was planted, much smaller, for priors and the slow haemodynamic response take their share. The estimate of the other
# direction follows it upside down: in signals that neither rise nor fall in the long run, how one moves with the
# other's rate of change is its own mirror image.
#
# So at rest: compare people by such a value, for it orders them as the truth does; do not read the value of the
# opposite direction as a second finding.
planted = np.linspace(-0.6, 0.6, 7)
rng = np.random.default_rng(1)
by_direction = []
for strength in planted:
    pair = np.array([[-0.8, 0.0], [strength, -0.8]])
    by_direction.append([[one[1, 0], one[0, 1]] for one in map(connections, resting_runs(pair, rng))])
found = np.array(by_direction)  # (n_planted, n_runs, 2)

figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
for direction, (label, colour, mark) in enumerate(
    (("first to second (planted)", LIGHT["up"], "o"), ("second to first (nothing there)", LIGHT["down"], "s"))
):
    axes.plot(planted, found[..., direction].mean(axis=1), color=colour, marker=mark, label=label)
    for strength, values in zip(planted, found[..., direction], strict=True):
        axes.plot(np.full(n_runs, strength), values, mark, color=colour, markersize=3, alpha=0.35)
axes.set(xlabel="planted coupling, first to second (Hz)", ylabel="regression DCM (Hz)")
axes.set_title("Single runs and their mean, synthetic")
axes.legend(frameon=False)
plt.show()
