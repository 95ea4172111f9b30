"""
What R2 can tell at n = 21
==========================

The study that this project grew from had 21 treated patients. Suppose that a model is perfectly trained and truly
explains 20 % of the variance. What would be *measured* in a sample of 21, and how wide must an honest interval be?

Synthetic data; research use only.
"""

# %%
# A true R2 of .2, measured again and again
# -----------------------------------------
# Nothing is trained here, so no error of training is in the picture: real studies scatter more.
import matplotlib.pyplot as plt
import numpy as np

from predictor.report.palette import LIGHT
from training.evaluation.metrics import measure
from training.evaluation.nested_cv import OutOfFold

true_r2, sizes, n_studies = 0.2, (21, 50, 100, 200, 400), 2000


def study(n_people, rng):
    """Return one study's outcomes and out-of-fold predictions."""
    predicted = np.sqrt(true_r2) * rng.standard_normal(n_people)
    outcome = predicted + np.sqrt(1 - true_r2) * rng.standard_normal(n_people)
    training_mean = (outcome.sum() - outcome) / (n_people - 1)
    folds = np.arange(n_people)[np.newaxis]
    return OutOfFold(outcome, predicted[np.newaxis], training_mean[np.newaxis], folds, ())


def r2(found):
    """Return R2 against the mean of the training people."""
    residual = ((found.outcome - found.prediction) ** 2).sum()
    return 1 - residual / ((found.outcome - found.training_mean) ** 2).sum()


rng = np.random.default_rng(5)
measured = [np.array([r2(study(n_people, rng)) for _ in range(n_studies)]) for n_people in sizes]

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.axhline(true_r2, color=LIGHT["down"], linestyle="--", label="true")
axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
for position, found in enumerate(measured):
    low, middle, high = np.percentile(found, [2.5, 50, 97.5])
    axes.vlines(position, low, high, color=LIGHT["up"], linewidth=6, alpha=0.5)
    axes.plot(position, middle, "o", color=LIGHT["up"])
    axes.annotate(f"{low:.2f} to {high:.2f}", (position, high), ha="center", va="bottom", fontsize=8)
axes.set_xticks(range(len(sizes)), [f"n = {n_people}" for n_people in sizes])
axes.set(ylabel="R2 measured in one study", xlim=(-0.5, 4.5), ylim=(-0.3, 0.65))
axes.set_title("Where 95 % of studies land, synthetic")
axes.legend(frameon=False, loc="lower right")

# %%
# What one study of 21 can say
# ----------------------------
# The interval that ``krp train`` prints beside R2, in ten such studies. Each holds the truth or not; all are wide. A
# single number without its interval would have been a different story every time.
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for position in range(10):
    found = measure(study(21, rng), seed=position)
    axes.vlines(position + 1, found.r2_interval.lower, found.r2_interval.upper, color=LIGHT["up"], linewidth=2)
    axes.plot(position + 1, found.r2, "o", color=LIGHT["up"])
axes.axhline(true_r2, color=LIGHT["down"], linestyle="--")
axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
axes.set(
    xlabel="study", ylabel="R2 [95 %]", xticks=range(1, 11), title="Ten studies of 21 synthetic people, true R2 .2"
)
plt.show()
