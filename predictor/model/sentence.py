"""The explanation in one sentence that a clinician can read aloud."""

from __future__ import annotations

from itertools import islice, takewhile

import numpy as np

from predictor.model.bundle import ModelBundle
from predictor.model.contributions import Contribution
from predictor.model.explanation import Explanation
from predictor.model.scoring_plan import CLINICAL

# A shift or a single influence smaller than this share of the usual error is not worth telling as a reason.
NOTEWORTHY_SHARE_OF_ERROR = 0.1
# A deviation smaller than this, in standard deviations of the controls, is what most controls show.
NOTEWORTHY_DEVIATION = 1.0
# From this share of everything that pushes the same way on, one may say "mostly because".
MOSTLY = 0.5


def explanation_sentence(explanation: Explanation, bundle: ModelBundle) -> str:
    """Say what is expected, how far from average that is, and what speaks most for it.

    An imputed input is never named as the reason: nobody measured it.
    """
    shift = explanation.output - explanation.base_value
    noun, unit = _noun(bundle), bundle.outcome.unit
    opening = f"The expected {noun} is {_number(explanation.output)} {unit}".rstrip()
    used = _what_the_model_uses(bundle)
    if used:
        return f"{opening}: {used}"
    noteworthy = NOTEWORTHY_SHARE_OF_ERROR * bundle.plan.usual_error
    drivers = _drivers(explanation, shift, at_least=noteworthy)
    average = "the average of the people the model learned from"
    if abs(shift) <= noteworthy:
        return f"{opening}, about {average}{_but_balanced(explanation, noteworthy)}."
    direction = "above" if shift > 0 else "below"
    opening = f"{opening}, {_number(abs(shift))} {direction} {average}"
    if not drivers:
        return f"{opening}; many small influences add up to this, and no single measure stands out."
    amounts = explanation.contributions.amounts
    pushing = float(np.abs(amounts[amounts * shift > 0]).sum())
    is_mostly = sum(abs(driver.contribution) for driver in drivers) >= MOSTLY * pushing
    link = "mostly because" if is_mostly else "where many small influences add up; the largest is that"
    return f"{opening}, {link} {' and '.join(_phrase(driver) for driver in drivers)}."


def _noun(bundle: ModelBundle) -> str:
    name = bundle.outcome.name
    return "improvement" if "improvement" in name else name.replace("_", " ")


def _number(value: float) -> str:
    """Three significant digits, as people say them."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _what_the_model_uses(bundle: ModelBundle) -> str | None:
    """Words for models without any brain feature, None for the others."""
    if bundle.plan.uses_features:
        return None
    names = [covariate.name for covariate, inputs in bundle.plan.inputs_of if bundle.plan.is_used[inputs].any()]
    if not names:
        return "this model uses no brain feature and expects the same of everyone in this arm."
    spoken = " and ".join(name.replace("_", " ") for name in names)
    return f"this model uses no brain feature; what is expected rests on {spoken} alone."


def _drivers(explanation: Explanation, shift: float, *, at_least: float) -> list[Contribution]:
    """Return the strongest measured input that pushes the way of the shift, and the next if at least half as strong."""
    strong = takewhile(lambda one: abs(one.contribution) >= at_least, explanation.contributions)
    candidates = list(islice((one for one in strong if one.value is not None and one.contribution * shift > 0), 2))
    return [one for one in candidates if abs(one.contribution) >= abs(candidates[0].contribution) / 2]


def _but_balanced(explanation: Explanation, noteworthy: float) -> str:
    largest = next(iter(explanation.contributions), None)
    is_balanced = largest is not None and abs(largest.contribution) >= noteworthy
    return ": influences in both directions cancel out" if is_balanced else "; no single measure stands out"


def _phrase(contribution: Contribution) -> str:
    what = contribution.description.rstrip(".")
    if contribution.kind != CLINICAL:
        what = f"the {what}" if not what.startswith(("the ", "The ")) else what
    if isinstance(contribution.value, str) or contribution.training_mean is None:
        return f"{what} is {contribution.value}"
    assert contribution.value is not None, "imputed inputs are no drivers"
    if contribution.deviation is not None:
        return f"{what} {_compared_with_controls(contribution.deviation)}"
    comparison = "higher" if contribution.value > contribution.training_mean else "lower"
    return f"{what} is {comparison} than in the average person"


def _compared_with_controls(z: float) -> str:
    if abs(z) < NOTEWORTHY_DEVIATION:
        return "is about what is expected of controls"
    return f"lies {abs(z):.1f} standard deviations {'above' if z > 0 else 'below'} what is expected of controls"
