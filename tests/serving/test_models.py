from __future__ import annotations

import httpx

from predictor.model.bundle import ModelBundle
from serving.schemas import ListedModels


def test_the_list_holds_the_model_that_answers_with_its_card(client: httpx.Client, bundle: ModelBundle) -> None:
    listed = ListedModels.model_validate_json(client.get("/v1/models").content).models
    current = client.get("/v1/models/current").json()
    (model,) = [one for one in listed if one.is_current]
    assert (model.name, model.version, model.digest) == (current["name"], current["version"], bundle.digest)
    assert model.card == current["card"]


def test_the_list_says_research_use_only(client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["research_use_only"] is True
