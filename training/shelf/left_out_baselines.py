"""Baselines that an experiment file passes over although the cohort would allow them.

A baseline is impossible where the columns are not there, not where nobody named them: leaving the age out of the file
does not make a model better than age. So participants.tsv is asked for columns that go by the usual names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from predictor.errors import PredictorError
from training.cohort.participants import read_participants

# Baseline -> usual names of its columns. Clinical scores are those before treatment.
USUAL_NAMES: Mapping[str, re.Pattern[str]] = {
    "arm only": re.compile(r"arm|treatment|treatment_arm|condition|drug"),
    "clinical only": re.compile(r"\w+_baseline"),
    "motion only": re.compile(r"(mean_)?(fd|framewise_displacement)(_mm|_mean)?"),
    "site only": re.compile(r"site|scanner|cent(er|re)"),
    "age/sex only": re.compile(r"age(_years)?|sex|gender"),
}


def left_out_baselines(impossible: Sequence[str], participants: Path, people: Sequence[str]) -> dict[str, str]:
    """Return the baselines that were called impossible and are not, with the columns that say so.

    Parameters
    ----------
    impossible
        Baselines for which the experiment file names no column, or none that varies.
    participants
        The cohort's participants.tsv.
    people
        Participants of the experiment; a column that is the same for all of them makes no baseline.

    Returns
    -------
    dict
        Empty where the table cannot be read: it was read before training, so cohorts made in memory only.
    """
    try:
        table = read_participants(participants)
    except PredictorError:
        return {}
    table = table.loc[table.index.intersection(pd.Index(people))]
    varying = [str(name) for name in table if table[name].nunique() > 1]
    found = {}
    for baseline in impossible:
        pattern = USUAL_NAMES.get(baseline)
        columns = [name for name in varying if pattern and pattern.fullmatch(name.lower())]
        if columns:
            found[baseline] = f"participants.tsv has {', '.join(columns)}"
    return found
