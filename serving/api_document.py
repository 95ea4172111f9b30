"""The OpenAPI document, with what the model that answers now takes: its names, levels, ranges and limits."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import MAX_ABS_VALUE, Covariate
from predictor.model.possible_values import ANY_NUMBER, PossibleRange
from serving.settings import Settings
from serving.tensors import input_descriptions, output_descriptions

MAX_TEXT = 200  # characters, as in serving/schemas.py


def document_of_model(document: Mapping[str, Any], bundle: ModelBundle, settings: Settings) -> dict[str, Any]:
    """Return a copy of the document in which requests are described as strictly as this model takes them.

    Parameters
    ----------
    document
        As the web framework makes it from the routes, the same for every model.
    bundle
        The model that answers.
    settings
        Its limits are named too.
    """
    described = copy.deepcopy(dict(document))
    features, covariates = _features(bundle), _covariates(bundle)
    rows = _body(described, "/v1/predictions", "application/json")["properties"]["rows"]
    rows["maxItems"] = settings.max_rows
    rows["items"]["properties"]["features"] |= features
    rows["items"]["properties"]["covariates"] |= covariates
    _body(described, "/v1/scans", "multipart/form-data")["properties"]["covariates"] |= covariates
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        properties = _body(described, path, "application/json")["properties"]
        tensor, output = (properties[name]["items"]["properties"] for name in ("inputs", "outputs"))
        tensor["name"] |= {"enum": [one.name for one in input_descriptions(bundle)]}
        output["name"] |= {"enum": [one.name for one in output_descriptions(bundle)]}
        tensor["shape"]["items"] |= {"minimum": 1, "maximum": settings.max_rows}
        tensor["data"] |= {"minItems": 1, "maxItems": settings.max_rows}
    return described


def _body(document: Mapping[str, Any], path: str, media_type: str) -> dict[str, Any]:
    schema: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"][media_type]["schema"]
    return schema


def _features(bundle: ModelBundle) -> dict[str, Any]:
    """Return the names in few patterns, one per range: hundreds of properties would say the same at length."""
    names_of: dict[PossibleRange, list[str]] = {}
    for name in sorted(bundle.plan.known_features):
        names_of.setdefault(bundle.plan.ranges.get(name, ANY_NUMBER), []).append(name)
    patterns = {f"^({'|'.join(map(re.escape, names))})$": _number(possible) for possible, names in names_of.items()}
    return {"patternProperties": patterns, "additionalProperties": False}


def _covariates(bundle: ModelBundle) -> dict[str, Any]:
    properties = {one.name: _covariate(one, bundle) for one in bundle.covariates}
    return {"properties": properties, "additionalProperties": False}


def _covariate(covariate: Covariate, bundle: ModelBundle) -> dict[str, Any]:
    if covariate.kind == "number":
        return _number(bundle.plan.covariate_ranges.get(covariate.name, ANY_NUMBER))
    # Another site is an answer with a flag; the model answers for every arm, whatever the person got.
    if covariate.role in ("arm", "site", "reference"):
        return {"type": ["string", "number", "null"], "maxLength": MAX_TEXT, "examples": list(covariate.levels)}
    as_numbers = [int(level) for level in covariate.levels if level.isascii() and level.isdigit()]
    return {"enum": [*covariate.levels, *as_numbers, None]}


def _number(possible: PossibleRange) -> dict[str, Any]:
    lower, upper = max(possible.lower, -MAX_ABS_VALUE), min(possible.upper, MAX_ABS_VALUE)
    return {"type": ["number", "null"], "minimum": lower, "maximum": upper}
