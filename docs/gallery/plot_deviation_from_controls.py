"""
Hypo- and hyperconnectivity against controls
============================================

Whether a connection is weak depends on age, sex and head motion. So each connection is compared with what controls like
this person show: the deviation is a z that also counts how little a finite group of controls can say. Hypo- and
hyperconnected edges are those beyond a threshold.

Synthetic data; research use only.
"""

# %%
# Sixty controls, one patient
# ---------------------------
# Connectivity falls with age in everyone. The patient is 60 years old, has three connections that are weaker than age
# explains, and two that are stronger.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from predictor.model.deviation import ReferenceDeviation
from predictor.model.reference_model import reference_covariate
from predictor.report.palette import LIGHT

rng = np.random.default_rng(2)
edges = [f"edge_{number:02d}" for number in range(1, 31)]
slope_per_year = rng.normal(-0.012, 0.004, len(edges))


def people(ages):
    """Return Fisher z values of people of these ages."""
    expected = 0.4 + np.outer(np.asarray(ages) - 40, slope_per_year)
    table = pd.DataFrame(expected + 0.12 * rng.standard_normal(expected.shape), columns=edges)
    return table.assign(age=ages)


controls = people(rng.uniform(20, 65, 60))
patient = people([60.0])
hypo, hyper = edges[3:6], edges[20:22]
patient[hypo] -= 0.5
patient[hyper] += 0.5

# %%
# With and without age
# --------------------
# Compared with all controls alike, nearly every edge of a person of 60 looks weak, and what is too strong can hide.
# Compared with controls of that age, all five planted edges stand out, and few others do: of 30 edges, one or two
# beyond 2 are expected by chance.
threshold = 2.0
adjusted = ReferenceDeviation(
    controls, sources=tuple(edges), covariates=(reference_covariate("age"),), threshold=threshold
).fit(patient)
unadjusted = ReferenceDeviation(controls, sources=tuple(edges), threshold=threshold).fit(patient)

figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for panel, step, title in zip(panels, (unadjusted, adjusted), ("age ignored", "expected at this age"), strict=True):
    z = step.judge(patient).z[0]
    colours = np.where(z < -threshold, LIGHT["down"], np.where(z > threshold, LIGHT["up"], LIGHT["outline"]))
    panel.axhspan(-threshold, threshold, color=LIGHT["line"], alpha=0.5, linewidth=0)
    panel.bar(range(1, len(z) + 1), z, color=colours)
    panel.set(xlabel="edge", title=f"{title}: {(z < -threshold).sum()} hypo, {(z > threshold).sum()} hyper")
    for name in (*hypo, *hyper):
        panel.annotate("planted", (edges.index(name) + 1, z[edges.index(name)]), fontsize=7, ha="center",
                       va="top" if name in hypo else "bottom", rotation=90)  # fmt: skip
panels[0].set(ylabel="deviation from controls (z)", ylim=(-7.5, 7.5))
figure.suptitle("One synthetic person beside 60 synthetic controls")
plt.show()
