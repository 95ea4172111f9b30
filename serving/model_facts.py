"""What drawing and explaining a kept answer needs to know of its model, also after that model is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.features.recipe import Recipe, recipe_from_document
from predictor.model.bundle import ModelBundle
from predictor.model.canonical_json import canonical_json, parse_json
from serving.model_store import LoadedModel

# The model that answers, and the one before it that still has answers under way.
N_CACHED = 2


@dataclass(frozen=True, slots=True, eq=False)
class ModelFacts:
    """A model's name, whom it was trained on, and how its features are made; the same for all loads of one digest."""

    name: str
    digest: str
    arms: tuple[str, ...]  # the treatment of interest first
    trained_on: int  # people
    cohort: str  # "" when the card does not say
    outcomes: Mapping[str, NDArray[np.float64]]  # training outcomes by arm, (n_people,), in the outcome's unit
    card: Mapping[str, Any]
    recipe: Recipe | None  # None: trained on ready features

    @property
    def circuit(self) -> Circuit | None:
        """Regions with coordinates; None when the model does not know where its features were measured."""
        if self.recipe is None or not self.recipe.circuit.has_coordinates:
            return None
        return self.recipe.circuit

    def to_bytes(self) -> bytes:
        """Return the facts as JSON; `from_bytes` gives back equal ones."""
        return canonical_json(
            {
                "name": self.name,
                "digest": self.digest,
                "arms": list(self.arms),
                "trained_on": self.trained_on,
                "cohort": self.cohort,
                "outcomes": {arm: found.tolist() for arm, found in self.outcomes.items()},
                "card": dict(self.card),
                "recipe": self.recipe.document() if self.recipe else None,
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> ModelFacts:
        """Return the facts that `to_bytes` wrote.

        Raises
        ------
        ValueError, KeyError
            If the content is something else.
        """
        found = parse_json(content)
        return cls(
            name=found["name"],
            digest=found["digest"],
            arms=tuple(found["arms"]),
            trained_on=found["trained_on"],
            cohort=found["cohort"],
            outcomes={arm: np.array(values, dtype=np.float64) for arm, values in found["outcomes"].items()},
            card=found["card"],
            recipe=recipe_from_document(found["recipe"]) if found["recipe"] is not None else None,
        )


@lru_cache(maxsize=N_CACHED)
def facts_bytes(model: LoadedModel) -> bytes:
    """Return the facts of a loaded model as they are kept, made once per load."""
    return facts_of(model).to_bytes()


def facts_of(model: LoadedModel) -> ModelFacts:
    """Return the facts of a loaded model."""
    bundle = model.bundle
    return ModelFacts(
        name=bundle.name,
        digest=str(bundle.digest),
        arms=bundle.arms,
        trained_on=bundle.trained_on,
        cohort=str(bundle.card.get("cohort") or ""),
        outcomes=_training_outcomes(bundle),
        card=dict(bundle.card),
        recipe=bundle.recipe,
    )


def _training_outcomes(bundle: ModelBundle) -> dict[str, NDArray[np.float64]]:
    held_out = bundle.out_of_fold
    observed = held_out.prediction + held_out.residual
    return {arm: observed[held_out.arm_index == index] for index, arm in enumerate(bundle.arms)}
