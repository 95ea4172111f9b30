"""Which inputs of a model exist before the first treatment, by their names and by when they are declared measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from training.evaluation.leak_checks import BASELINE_TIMES, declared_time

# Ends the registered name of a model that needs later measures: it is no version of a predictor.
ANALYSIS = "analysis"
# Words that give away a measure which does not exist before the first infusion, whatever a file declares.
CERTAINLY_LATE = re.compile(r"(^|_)(follow_?up|post(_?treatment)?|change|delta|infusion|outcome|improvement)(_|$|=)")
# Words that also occur in measures of the past, such as days after a trauma: a declared baseline overrules them.
SOUNDS_LATE = re.compile(r"(^|_)(after|(week|day)_?[1-9]\d*|\d+_?min(utes?)?)(_|$|=)")


def not_available_at_baseline(names: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs whose names say, or seem to say, that they are measured during or after treatment."""
    return tuple(name for name in names if CERTAINLY_LATE.search(name.lower()) or SOUNDS_LATE.search(name.lower()))


def late_inputs(names: Sequence[str], measured: Mapping[str, object]) -> dict[str, str]:
    """Return the inputs that are not known at baseline, with the reason.

    Parameters
    ----------
    names
        Inputs of a model; an indicator of a category is `column=level`.
    measured
        [cohort] measured: column, or family (what stands before the first double underscore) -> time. A declared
        baseline overrules a name that only sounds late, such as "days_after_trauma", but never one that says it.

    Examples
    --------
    >>> late_inputs(["age", "change_rest__a__b", "cortisol"], {"cortisol": "week2"})
    {'change_rest__a__b': 'by its name', 'cortisol': 'measured at week2'}
    """
    sounds_late, found = set(not_available_at_baseline(names)), {}
    for name in names:
        time = declared_time(name, measured)
        if time and time not in BASELINE_TIMES:
            found[name] = f"measured at {time}"
        elif CERTAINLY_LATE.search(name.lower()) or (name in sounds_late and not time):
            found[name] = "by its name"
    return found


def is_analysis_name(registered: str) -> bool:
    """Whether a registered name says that its models are analyses, never predictors."""
    return registered.lower().endswith(ANALYSIS)
