"""What the registry says of a version today, which no bundle can say of itself: aliases, gate, openings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from predictor.model.bundle import ModelBundle
from training.locked.openings import FileOpenings, Opening, RegistryOpenings
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import Store
from training.shelf.registry import VerifiedVersion
from training.shelf.version_history import NOT_ASKED


def standing_in_store(found: VerifiedVersion, *, store: Store) -> dict[str, Any]:
    """Return where a registered version stands.

    Returns
    -------
    dict
        `version` ("MODEL/VERSION"), `aliases`, `gate` ("passed", "refused", "not asked"), `gate_reasons`, and
        `openings`, how often its locked test was opened.

    Raises
    ------
    TrackingError
        If the store does not answer.
    """
    with in_our_words("read aliases and openings"):
        aliases = store.client.get_registered_model(found.name).aliases
        opened = RegistryOpenings(store, found.name, found.version).earlier()
    return {
        "version": f"{found.name}/{found.version}",
        "aliases": sorted(alias for alias, version in aliases.items() if str(version) == found.version),
        "gate": found.tags.get("gate", NOT_ASKED),
        "gate_reasons": found.tags.get("gate_reasons", ""),
        "openings": _n_of(opened, found.bundle),
    }


def standing_of_folder(bundle: ModelBundle, folder: Path) -> dict[str, Any]:
    """Return how often the test of a bundle folder was opened, as the file beside it tells; empty if never."""
    n_openings = _n_of(FileOpenings.beside(folder).earlier(), bundle)
    return {"version": "a folder, in no registry", "openings": n_openings} if n_openings else {}


def _n_of(openings: tuple[Opening, ...], bundle: ModelBundle) -> int:
    return sum(opening.bundle_digest == bundle.digest for opening in openings)
