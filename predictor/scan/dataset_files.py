"""Files that describe a dataset as a whole: who made it, and who is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from predictor.errors import TableError
from predictor.scan.tsv_table import TableLimits, parse_json_object

DESCRIPTION_FILE: Final = "dataset_description.json"
PARTICIPANTS_FILE: Final = "participants.tsv"
# dataset/derivatives/fmriprep/sub/ses/func, and one more.
MAX_DATASET_DEPTH: Final = 6
_SYNTHETIC: Final = re.compile(r"\b(synthetic|simulated)\b", re.IGNORECASE)


def read_small_file(path: Path, *, where: str) -> bytes:
    """Return a table's or side-car's bytes.

    Raises
    ------
    TableError
        If it cannot be read, or is larger than any table.
    """
    max_bytes = TableLimits().max_bytes
    try:
        if not path.is_file():
            raise TableError("expected a file, found none that can be read.", where=where, remedy="Check the file.")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise TableError(
            f"the file cannot be read: {error.strerror}.", where=where, remedy="Check the file."
        ) from error
    if len(content) > max_bytes:
        raise TableError(f"expected at most {max_bytes} bytes, found more.", where=where)
    return content


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return a folder's dataset_description.json, None if it has none.

    Raises
    ------
    TableError
        If it is there and cannot be read.
    """
    path = folder / DESCRIPTION_FILE
    if not path.exists():
        return None
    return parse_json_object(read_small_file(path, where=DESCRIPTION_FILE), where=DESCRIPTION_FILE)


def generating_pipelines(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return name and version of the pipelines that made a dataset, as BIDS 1.4 and its older spelling give them.

    Examples
    --------
    >>> generating_pipelines({"GeneratedBy": [{"Name": "XCP-D", "Version": "0.10.1"}]})
    ('XCP-D 0.10.1',)
    """
    entries = description.get("GeneratedBy") or description.get("PipelineDescription") or []
    entries = [entries] if isinstance(entries, Mapping) else entries
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return ()
    named = [entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get("Name"), str)]
    return tuple(f"{entry['Name']} {entry.get('Version') or 'of unknown version'}"[:120] for entry in named)


def pipelines_of(place: Path, *, root: Path) -> tuple[str, ...]:
    """Return the pipelines that made what lies in a folder: those of the nearest description up to the root's."""
    for folder in (place, *place.parents):
        try:
            description = read_description(folder)
        except TableError:
            description = None  # `krp check` says so; the data can be used all the same
        if description is not None:
            return generating_pipelines(description)
        if folder == root:
            break
    return ()


def is_synthetic(place: Path) -> bool:
    """Whether the dataset that a folder lies in, or one around it, says that it was simulated.

    It says so by the word "synthetic" or "simulated" in its name, or in the description of what generated it.
    """
    for folder in (place, *place.parents[:MAX_DATASET_DEPTH]):
        with suppress(TableError):  # `krp check` says so
            if _SYNTHETIC.search(_said_of_origin(read_description(folder) or {})):
                return True
    return False


def _said_of_origin(description: Mapping[str, Any]) -> str:
    entries = description.get("GeneratedBy")
    entries = entries if isinstance(entries, list) else []
    said = [entry.get("Description") for entry in entries if isinstance(entry, Mapping)]
    return " ".join(str(words) for words in (description.get("Name"), *said))
