from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.model_facts import ModelFacts, facts_bytes, facts_of
from serving.model_store import ModelStore


def test_facts_come_back_from_their_bytes(store: ModelStore) -> None:
    facts = facts_of(store.current())
    found = ModelFacts.from_bytes(facts.to_bytes())
    assert found.to_bytes() == facts.to_bytes()
    assert (found.name, found.arms, found.trained_on, found.cohort) == (
        "ketamine-response",
        ("ketamine", "midazolam"),
        80,
        "made-up trial",
    )
    assert found.recipe == store.current().bundle.recipe


def test_outcomes_are_those_of_the_training_people_by_arm(store: ModelStore) -> None:
    model = store.current()
    held_out, facts = model.bundle.out_of_fold, facts_of(model)
    assert sum(map(len, facts.outcomes.values())) == model.bundle.trained_on
    ketamine = (held_out.prediction + held_out.residual)[held_out.arm_index == 0]
    assert np.array_equal(facts.outcomes["ketamine"], ketamine)


def test_a_model_of_ready_features_has_no_places(store: ModelStore) -> None:
    model = store.current()
    facts = facts_of(replace(model, bundle=replace(model.bundle, recipe=None)))
    assert facts.circuit is None
    assert ModelFacts.from_bytes(facts.to_bytes()).recipe is None


def test_facts_are_made_once_per_loaded_model(store: ModelStore) -> None:
    model = store.current()
    assert facts_bytes(model) is facts_bytes(model)
    assert facts_bytes(model) == facts_of(model).to_bytes()


def test_facts_are_those_of_the_digest_whatever_the_registry_says_of_it(store: ModelStore) -> None:
    # They are kept once per digest, so nothing may stand in them that changes when a model is promoted.
    model = store.current()
    promoted = replace(model, version=replace(model.version, version="7", is_promoted=True))
    assert facts_of(promoted).to_bytes() == facts_of(model).to_bytes()


@pytest.mark.parametrize("content", [b"", b"{}", b"[NaN]"])
def test_bytes_that_are_no_facts_are_refused(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        ModelFacts.from_bytes(content)
