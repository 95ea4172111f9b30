"""The body of /v1/predictions: JSON, read once and checked as a whole."""

from __future__ import annotations

from pydantic import ValidationError

from predictor.errors import PredictorError, TableError, one_error
from serving.error_handlers import faults_of
from serving.schemas import PredictionRequest, PredictionRow
from serving.unique_keys import check_unique_keys


def parse_prediction_request(body: bytes, *, max_rows: int) -> PredictionRequest:
    """Return the rows of a request.

    Raises
    ------
    JsonInvalidError
        If the body is no JSON, or a key stands twice in one of its objects.
    RequestError, ValueOutOfRangeError
        If a member is missing, unknown or of the wrong type, or a number is not finite.
    TableError
        If there are more than `max_rows` rows.
    """
    try:
        request = PredictionRequest.model_validate_json(body)
    except ValidationError as error:
        raise _fault_of(error) from None
    if len(request.rows) > max_rows:
        raise TableError(
            f"expected at most {max_rows} rows, found {len(request.rows)}.",
            remedy="Send the rows in several requests.",
        )
    check_unique_keys(body, n_strings=1 + sum(map(_n_strings, request.rows)))
    return request


def _fault_of(error: ValidationError) -> PredictorError:
    faults = error.errors(include_input=False, include_url=False)
    return one_error(faults_of({**fault, "loc": ("body", *fault["loc"])} for fault in faults))


def _n_strings(row: PredictionRow) -> int:
    """Count the keys and texts of a row as its sender wrote them."""
    texts = [row.participant, row.recipe_hash, *row.covariates.values()]
    n_keys = len(row.model_fields_set) + len(row.features) + len(row.covariates)
    return n_keys + sum(isinstance(one, str) for one in texts)
