"""
Why everything that learns belongs inside the fold
==================================================

Twenty-one people, two hundred features, and an outcome that has nothing to do with any of them. Whoever chooses the
features on everybody and cross-validates only the rest finds an effect all the same. With the choice inside each
fold, there is none, as there should be.

Synthetic data; research use only.
"""

# %%
# Two ways to cross-validate the same model
# -----------------------------------------
# The model: the ten features that correlate most with the outcome, then a ridge regression. Leave-one-out both times;
# only where the ten are chosen differs.
import matplotlib.pyplot as plt
import numpy as np

from predictor.report.palette import LIGHT

n_people, n_features, n_chosen, n_cohorts = 21, 200, 10, 25


def strongest(features, outcome):
    """Return the features that correlate most with the outcome, whatever the sign."""
    correlation = (features - features.mean(axis=0)).T @ (outcome - outcome.mean()) / features.std(axis=0)
    return np.argsort(-np.abs(correlation))[:n_chosen]


def ridge(features, outcome, new):
    """Return what a ridge regression fitted to some people predicts for a new one."""
    centred, mean = features - features.mean(axis=0), outcome.mean()
    weights = np.linalg.solve(centred.T @ centred + np.eye(n_chosen), centred.T @ (outcome - mean))
    return mean + (new - features.mean(axis=0)) @ weights


def leave_one_out(features, outcome, choose):
    """Return the prediction for everyone by a model of the others, with features that `choose` picks for them."""
    predicted = np.empty(n_people)
    for person in range(n_people):
        others = np.arange(n_people) != person
        chosen = choose(others)
        predicted[person] = ridge(features[others][:, chosen], outcome[others], features[person, chosen])
    return predicted


def r2(outcome, predicted):
    """Return R2 against the mean of the people a fold was trained on; 0 is what guessing the mean earns."""
    training_mean = (outcome.sum() - outcome) / (len(outcome) - 1)
    return 1 - ((outcome - predicted) ** 2).sum() / ((outcome - training_mean) ** 2).sum()


def both_ways(rng):
    """Return R2 on pure noise with the choice outside and inside the folds."""
    features, outcome = rng.standard_normal((n_people, n_features)), rng.standard_normal(n_people)
    of_everybody = strongest(features, outcome)  # has seen the person who is left out: the mistake
    outside = leave_one_out(features, outcome, lambda others: of_everybody)
    inside = leave_one_out(features, outcome, lambda others: strongest(features[others], outcome[others]))
    return r2(outcome, outside), r2(outcome, inside)


rng = np.random.default_rng(4)
found = np.array([both_ways(rng) for _ in range(n_cohorts)])

# %%
# The picture
# -----------
# The right-hand values lie below zero: a model that fits noise does worse than the mean. That is the honest answer.
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
for position, colour in ((0, LIGHT["down"]), (1, LIGHT["up"])):
    spread = position + np.linspace(-0.12, 0.12, n_cohorts)
    axes.plot(spread, found[:, position], "o", color=colour, markersize=5, alpha=0.8)
    axes.hlines(np.median(found[:, position]), position - 0.25, position + 0.25, color=LIGHT["ink"])
axes.set_xticks([0, 1], ["features chosen on everybody\n(wrong)", "features chosen inside\neach fold (right)"])
axes.set(xlim=(-0.5, 1.5), ylabel="leave-one-out R2")
axes.set_title(f"{n_cohorts} synthetic cohorts of pure noise, {n_people} people each")
plt.show()

# %%
# ``krp audit`` finds such mistakes without being told where to look: it poisons the held-out people and fits everything
# again. A model that does not change has not seen them.
assert np.median(found[:, 0]) > 0.3 > 0 > np.median(found[:, 1])
