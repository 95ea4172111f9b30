"""Which columns of participants.tsv tell groups of people apart whose scans may differ: never an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from predictor.errors import PredictorError
from predictor.scan.dataset_files import PARTICIPANTS_FILE
from training.cohort.participants import read_participants

# Columns that may be shown, however they are spelled; whatever else the table holds is not looked at.
GROUPINGS: Final = ("site", "scanner", "group", "arm")
# More levels than this are no groups.
MOST_LEVELS: Final = 12
# dataset/derivatives/fmriprep
_PARENTS_LOOKED_AT: Final = 2


def grouping_columns(folders: Sequence[Path | None], participant_ids: Sequence[str]) -> pd.DataFrame:
    """Return site, scanner, group and arm of the participants, as far as they are known and tell people apart.

    Parameters
    ----------
    folders
        Where to look for participants.tsv: in each, and in the two above it. The first with any of the people counts.
    participant_ids
        The index of the result.

    Returns
    -------
    DataFrame of str
        No columns if there is no table, or it cannot be read (`krp check` says so).
    """
    for folder in folders:
        for place in () if folder is None else (folder.resolve(), *folder.resolve().parents[:_PARENTS_LOOKED_AT]):
            known = _read(place / PARTICIPANTS_FILE)
            if known is not None and known.index.isin(list(participant_ids)).any():
                return _columns(known.reindex(list(participant_ids)))
    return pd.DataFrame(index=list(participant_ids))


def _read(path: Path) -> pd.DataFrame | None:
    try:
        return read_participants(path) if path.is_file() else None
    except (PredictorError, OSError):
        return None


def _columns(known: pd.DataFrame) -> pd.DataFrame:
    spelled = {str(name).strip().lower(): name for name in known.columns}
    found = {}
    for name in GROUPINGS:
        if name in spelled:
            values = known[spelled[name]]
            levels = values.dropna().map(_level)
            if 2 <= levels.nunique() <= MOST_LEVELS:
                found[name] = values.map(_level, na_action="ignore")
    return pd.DataFrame(found, index=known.index)


def _level(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
