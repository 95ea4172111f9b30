"""Earlier versions of a registered model, as the model card's change log tells them."""

from __future__ import annotations

from training.log_book.store_errors import in_our_words
from training.log_book.tracking import Store
from training.shelf.registry import STATUS, VERIFIED, versions_of

NOT_ASKED = "not asked"


def previous_versions(store: Store, name: str) -> list[dict[str, str]]:
    """Return the verified versions of a registered model, oldest first; none if there is no model of that name.

    What was cut off while it was registered is no version that anybody could have used.

    Returns
    -------
    list of dict
        `version`, `bundle_digest`, `gate` ("passed", "refused" or "not asked"), and `gate_reasons` where refused.

    Raises
    ------
    TrackingError
        If the store does not answer.
    """
    with in_our_words("list earlier versions"):
        found = versions_of(name, store=store)
    return [
        {
            "version": str(one.version),
            "bundle_digest": one.tags.get("bundle_digest", ""),
            "gate": one.tags.get("gate", NOT_ASKED),
            **({"gate_reasons": one.tags["gate_reasons"]} if one.tags.get("gate_reasons") else {}),
        }
        for one in found
        if one.tags.get(STATUS) == VERIFIED
    ]
