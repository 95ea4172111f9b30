"""What the name of a BIDS file says: `sub-01_task-rest_bold.nii.gz`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BidsName:
    """A file's name, taken apart."""

    entities: Mapping[str, str | None]  # in their order; None for a word without a label
    suffix: str  # "bold"
    extension: str  # "nii.gz"


def parse_bids_name(path: str | Path) -> BidsName:
    """Take a file's name apart, as `nilearn.interfaces.bids.parse_bids_filename` does.

    Importing nilearn takes a second, which whoever starts workers would wait for before they can begin.

    Examples
    --------
    >>> parse_bids_name("sub-01/func/sub-01_task-rest_bold.nii.gz")
    BidsName(entities={'sub': '01', 'task': 'rest'}, suffix='bold', extension='nii.gz')
    """
    *words, last = Path(path).name.split("_")
    suffix, _, extension = last.partition(".")
    entities: dict[str, str | None] = {}
    for word in words:
        entity, *labels = word.split("-")
        entities[entity] = labels[0] if labels else None
    return BidsName(entities, suffix, extension)
