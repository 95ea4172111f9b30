"""Earlier versions of a registered model, as the model card's change log tells them."""

from __future__ import annotations

from training.registry import versions_of
from training.store_errors import in_our_words
from training.tracking import Store

NOT_ASKED = "not asked"


def previous_versions(store: Store, name: str) -> list[dict[str, str]]:
    """Return the versions of a registered model, oldest first; none if there is no model of that name.

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
    ]
