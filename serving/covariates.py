"""Covariates of a visit, as JSON from programs or as fields from people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from predictor.errors import one_error
from predictor.feature_rows import covariate_value
from predictor.model.outcome_definition import Covariate, CovariateValue
from serving.error_handlers import faults_of
from serving.schemas import JsonCovariate

CovariateValues = Mapping[str, CovariateValue]
FIELD_PREFIX = "covariate-"
_ADAPTER: TypeAdapter[dict[str, JsonCovariate]] = TypeAdapter(dict[str, JsonCovariate])


def covariates_from_json(content: bytes | None) -> CovariateValues:
    """Return the covariates of a JSON object.

    Raises
    ------
    RequestError
        If it is not a JSON object of numbers, strings and nulls.
    ValueOutOfRangeError
        If a number is NaN or infinite.
    """
    if content is None:
        return {}
    try:
        return _ADAPTER.validate_json(content)
    except ValidationError as error:
        # Behind the covariate's name, pydantic names the member of the union that it tried.
        faults = [{**fault, "loc": fault["loc"][:1]} for fault in error.errors()]
        raise one_error(faults_of(faults, root=("part covariates",))) from error


def covariates_from_fields(fields: Mapping[str, bytes], covariates: Sequence[Covariate]) -> CovariateValues:
    """Return the covariates of a form; an empty field is a missing value.

    Raises
    ------
    ValueOutOfRangeError
        If a number is expected and the field holds something else.
    """
    texts = {item: fields.get(FIELD_PREFIX + item.name, b"").decode("utf-8", "replace") for item in covariates}
    return {item.name: covariate_value(text, item, where=f"field {item.name}") for item, text in texts.items()}
