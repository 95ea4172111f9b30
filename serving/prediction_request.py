"""The body of /v1/predictions: JSON, read once and checked as a whole."""

from __future__ import annotations

from pydantic import ValidationError

from predictor.errors import JsonInvalidError, PredictorError, TableError, one_error
from predictor.model.canonical_json import parse_json
from serving.error_handlers import faults_of
from serving.schemas import PredictionRequest, PredictionRow


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
    _check_unique_keys(body, request)
    return request


def _fault_of(error: ValidationError) -> PredictorError:
    faults = error.errors(include_input=False, include_url=False)
    return one_error(faults_of({**fault, "loc": ("body", *fault["loc"])} for fault in faults))


def _check_unique_keys(body: bytes, request: PredictionRequest) -> None:
    """Refuse what the parser overlooks: of a key that stands twice it would take the last value.

    Counting quotation marks settles it for nearly every body; where a text holds one itself, or a key stands twice, the
    slow parser looks.
    """
    n_strings = 1 + sum(map(_n_strings, request.rows))
    if body.count(b'"') == 2 * n_strings and b"\\" not in body:
        return
    try:
        parse_json(body)
    except ValueError as error:
        raise JsonInvalidError(f"expected JSON: {error}.", where="body") from None


def _n_strings(row: PredictionRow) -> int:
    """Count the keys and texts of a row as its sender wrote them."""
    texts = [row.participant, row.recipe_hash, *row.covariates.values()]
    n_keys = len(row.model_fields_set) + len(row.features) + len(row.covariates)
    return n_keys + sum(isinstance(one, str) for one in texts)
