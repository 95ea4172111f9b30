"""Covariates of a visit, as JSON from programs or as fields from people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from predictor.errors import one_error
from predictor.feature_rows import covariate_value
from predictor.model.outcome_definition import Covariate, CovariateValue
from serving.error_handlers import faults_of
from serving.schemas import JsonCovariate
from serving.unique_keys import check_unique_keys

CovariateValues = Mapping[str, CovariateValue]
PART = "part covariates"
FIELD_PREFIX = "covariate-"
_ADAPTER: TypeAdapter[dict[str, JsonCovariate]] = TypeAdapter(dict[str, JsonCovariate])


def covariates_from_json(content: bytes | None) -> CovariateValues:
    """Return the covariates of a JSON object.

    Raises
    ------
    RequestError
        If it is not a JSON object of numbers, strings and nulls, or a name stands twice in it.
    ValueOutOfRangeError
        If a number is NaN or infinite.
    """
    if content is None:
        return {}
    try:
        found = _ADAPTER.validate_json(content)
    except ValidationError as error:
        # Behind the covariate's name, pydantic names the member of the union that it tried.
        faults = [{**fault, "loc": fault["loc"][:1]} for fault in error.errors()]
        raise one_error(faults_of(faults, root=(PART,))) from error
    n_strings = len(found) + sum(isinstance(value, str) for value in found.values())
    check_unique_keys(content, n_strings=n_strings, where=PART)
    return found


def covariates_from_fields(fields: Mapping[str, bytes], covariates: Sequence[Covariate]) -> CovariateValues:
    """Return the covariates of a form; an empty field is a missing value.

    Raises
    ------
    ValueOutOfRangeError
        If a number is expected and the field holds something else.
    """
    texts = {item: fields.get(FIELD_PREFIX + item.name, b"").decode("utf-8", "replace") for item in covariates}
    return {item.name: covariate_value(text, item, where=f"field {item.name}") for item, text in texts.items()}
