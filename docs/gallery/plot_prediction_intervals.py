"""
How often prediction intervals hold
===================================

An answer says where a person like this one will land, as a 90 % interval made from the errors of the fold models (CV+,
Barber et al. 2021). Its promise does not rest on the model being right. Here a straight line is fitted to something
that is not straight, with noise that is not normal, and the intervals keep their promise all the same, on average over
people. They keep it by being wide, and not everywhere alike.

Synthetic data; research use only.
"""

# %%
# A wrong model, and its intervals
# --------------------------------
# Eighty training people, five folds; then two thousand new people.
import matplotlib.pyplot as plt
import numpy as np

from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.report.palette import LIGHT
from training.evaluation.conformal import cv_plus_intervals

n_people, n_new, n_folds = 80, 2000, 5


def draw(n, rng):
    """Return a feature and an improvement in percent that depends on it in a bend, with skewed noise."""
    feature = rng.uniform(-2, 2, n)
    return feature, 20 + 9 * np.abs(feature) + 8 * (rng.exponential(size=n) - 1)


def intervals(feature, outcome, new, rng):
    """Return the 90 % intervals of new people by straight lines, shape (n_new, 2)."""
    fold = rng.permutation(n_people) % n_folds
    lines = [np.polyfit(feature[fold != k], outcome[fold != k], 1) for k in range(n_folds)]
    predicted = np.array([np.polyval(lines[k], x) for k, x in zip(fold, feature, strict=True)])
    residuals = OutOfFoldResiduals(fold, np.zeros(n_people, dtype=np.int64), predicted, outcome - predicted)
    return cv_plus_intervals(np.array([np.polyval(line, new) for line in lines]), residuals)


rng = np.random.default_rng(6)
feature, outcome = draw(n_people, rng)
new_feature, new_outcome = draw(n_new, rng)
ends = intervals(feature, outcome, new_feature, rng)
is_held = (ends[:, 0] <= new_outcome) & (new_outcome <= ends[:, 1])

order = np.argsort(new_feature)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.fill_between(new_feature[order], *ends[order].T, color=LIGHT["up"], alpha=0.15, label="90 % interval", linewidth=0)
axes.plot(new_feature[is_held], new_outcome[is_held], ".", color=LIGHT["outline"], markersize=2, label="held")
axes.plot(new_feature[~is_held], new_outcome[~is_held], "x", color=LIGHT["down"], markersize=4, label="missed")
axes.set(
    xlabel="feature", ylabel="improvement (percent)", title=f"{is_held.mean():.0%} of new synthetic people are held"
)
axes.legend(frameon=False, loc="upper center", ncols=3)

# %%
# Over forty cohorts
# ------------------
# The promise is about cohorts and people as a whole. By the size of the feature, coverage differs: where the line is
# furthest from the truth, more people are missed. No method that knows only this model can promise more.
covered, far = [], []
for _ in range(40):
    feature, outcome = draw(n_people, rng)
    new_feature, new_outcome = draw(200, rng)
    ends = intervals(feature, outcome, new_feature, rng)
    is_held = (ends[:, 0] <= new_outcome) & (new_outcome <= ends[:, 1])
    covered.append(is_held.mean())
    far.append(is_held[np.abs(new_feature) > 1.5].mean())

figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
axes.axvline(0.9, color=LIGHT["muted"], linestyle="--", linewidth=0.8)
for row, (found, colour) in enumerate(((covered, LIGHT["up"]), (far, LIGHT["down"]))):
    axes.plot(found, row + np.linspace(-0.15, 0.15, len(found)), "o", color=colour, markersize=4, alpha=0.7)
    axes.plot(np.mean(found), row, "|", color=LIGHT["ink"], markersize=28)
axes.set_yticks([0, 1], ["everyone", "extreme feature"])
axes.set(xlabel="share held by the 90 % interval", ylim=(-0.5, 1.5), title="40 synthetic cohorts of 80 people")
plt.show()
