"""Rows of features as named tensors and answers back as tensors, for clients of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import ValidationError

from predictor.errors import TableError, TensorError, one_error
from predictor.feature_rows import RECIPE_HASH, FeatureRow
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import CovariateValue
from serving.error_handlers import faults_of
from serving.tensor_schemas import InferRequest, InferTensor, OutputTensor, TensorDescription
from serving.unique_keys import check_unique_keys

MAX_TEXT: Final = 200  # characters of a category, as in /v1/predictions
ANSWER, STATUS = "answer", "status"
# Output by the beginning of its name, and where it stands in an arm's part of the answer.
_OF_ARM: Final[Mapping[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "expected": lambda arm: arm["expected"],
    "lower": lambda arm: arm["interval"]["lower"],
    "upper": lambda arm: arm["interval"]["upper"],
    "response_probability": lambda arm: arm["response_probability"],
}


def parse_infer_request(body: bytes) -> InferRequest:
    """Return the tensors of a request.

    Raises
    ------
    JsonInvalidError, RequestError
        If the body is no JSON, has a key twice in one of its objects, or is not of the protocol's form.
    """
    try:
        request = InferRequest.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        raise one_error(faults_of(faults)) from None
    check_unique_keys(body, n_strings=_n_strings(request))
    return request


def rows_of_tensors(request: InferRequest, bundle: ModelBundle, *, max_rows: int) -> list[FeatureRow]:
    """Return the rows that a request's tensors hold together; an input that is left out is missing in every row.

    Raises
    ------
    TensorError
        If a tensor is unknown, stands there twice, or is of another type, length or shape than it should be.
    TableError
        If there are more than `max_rows` rows.
    """
    n_rows = request.inputs[0].shape[0]
    if n_rows > max_rows:
        raise TableError(
            f"expected at most {max_rows} rows, found {n_rows}.", remedy="Send the rows in several requests."
        )
    types = {item.name: item.datatype for item in input_descriptions(bundle)}
    columns: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        if tensor.name not in types:
            raise TensorError("the model has no such input.", where=_place(tensor))
        if tensor.name in columns:
            raise TensorError("the input stands there twice.", where=_place(tensor))
        columns[tensor.name] = _column(tensor, n_rows=n_rows, is_text=types[tensor.name] == "BYTES")
    features = [name for name in bundle.feature_names if name in columns]
    covariates = [one.name for one in bundle.covariates if one.name in columns]
    hashes = columns.get(RECIPE_HASH, [None] * n_rows)
    return [
        FeatureRow(
            place=f"row {row + 1}",
            participant=None,
            features={name: columns[name][row] for name in features},
            covariates=_present(columns, covariates, row),
            recipe_hash=hashes[row],
            input_digest=None,
        )
        for row in range(n_rows)
    ]


def output_tensors(
    answers: Sequence[bytes], bundle: ModelBundle, *, wanted: Sequence[str] | None
) -> list[OutputTensor]:
    """Return answers as tensors of shape [n].

    Parameters
    ----------
    answers
        Answer documents in the order of the rows.
    wanted
        Names of the outputs that are asked for, None for all. Status and the whole answer come along in any case, so
        that no number stands without its reasons.

    Raises
    ------
    TensorError
        If an output is not one of the model's.
    """
    described = {item.name: item for item in output_descriptions(bundle)}
    unknown = [name for name in wanted or () if name not in described]
    if unknown:
        raise TensorError("the model has no such output.", where=f"output {unknown[0][:100]}")
    names = [name for name in described if wanted is None or name in wanted or name in (STATUS, ANSWER)]
    documents = [orjson.loads(answer) for answer in answers]
    columns = dict(_output_columns(answers, documents, bundle))
    return [
        OutputTensor(name=name, shape=[len(answers)], datatype=described[name].datatype, data=columns[name])
        for name in names
    ]


def input_descriptions(bundle: ModelBundle) -> list[TensorDescription]:
    """Return what the model takes; -1 is any number of rows."""
    kinds = {definition.name: "number" for definition in bundle.definitions}
    kinds |= {one.name: one.kind for one in bundle.covariates if one.role != "arm"}
    kinds[RECIPE_HASH] = "category"
    return [
        TensorDescription(name=name, datatype="FP64" if kind == "number" else "BYTES", shape=[-1])
        for name, kind in kinds.items()
    ]


def output_descriptions(bundle: ModelBundle) -> list[TensorDescription]:
    """Return what the model gives."""
    numbers = [f"{kind}_{arm}" for arm in bundle.arms for kind in _OF_ARM]
    texts = [STATUS, ANSWER]
    return [
        *(TensorDescription(name=name, datatype="FP64", shape=[-1]) for name in numbers),
        *(TensorDescription(name=name, datatype="BYTES", shape=[-1]) for name in texts),
    ]


def _n_strings(request: InferRequest) -> int:
    """Count the keys and texts of a request as its sender wrote them; `parameters` are left to a closer look."""
    members = [request, *request.inputs, *(request.outputs or [])]
    values = [request.id, *(item for tensor in request.inputs for item in tensor.data)]
    n_names = 2 * len(request.inputs) + len(request.outputs or [])  # with the datatype of an input
    return sum(len(one.model_fields_set) for one in members) + sum(isinstance(one, str) for one in values) + n_names


def _output_columns(
    answers: Sequence[bytes], documents: Sequence[Mapping[str, Any]], bundle: ModelBundle
) -> Iterator[tuple[str, list[float | str | None]]]:
    for arm in bundle.arms:
        of_arm = [(document.get("arms") or {}).get(arm) for document in documents]
        for kind, read in _OF_ARM.items():
            yield f"{kind}_{arm}", [None if found is None else read(found) for found in of_arm]
    yield STATUS, [document["status"] for document in documents]
    yield ANSWER, [answer.decode() for answer in answers]


def _column(tensor: InferTensor, *, n_rows: int, is_text: bool) -> list[Any]:
    """One value per row, checked; missing ones are None."""
    if tensor.shape not in ([n_rows], [n_rows, 1]) or n_rows < 1:
        raise TensorError(f"expected the shape [{n_rows}] or [{n_rows}, 1] of the first input.", where=_place(tensor))
    if (tensor.datatype == "BYTES") != is_text:
        raise TensorError(f"expected {'BYTES' if is_text else 'FP64 or FP32'}.", where=_place(tensor))
    values = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in tensor.data]
    if len(values) != n_rows:
        raise TensorError(f"expected {n_rows} values, found {len(values)}.", where=_place(tensor))
    for row, value in enumerate(values, start=1):
        if not _fits(value, is_text=is_text):
            expected = f"a text of at most {MAX_TEXT} characters" if is_text else "a number"
            raise TensorError(f"expected {expected} or null.", where=f"row {row}, {_place(tensor)}")
    return values


def _fits(value: object, *, is_text: bool) -> bool:
    if value is None:
        return True
    if is_text:
        return isinstance(value, str) and len(value) <= MAX_TEXT
    return isinstance(value, int | float) and not isinstance(value, bool)


def _present(columns: Mapping[str, list[Any]], names: Sequence[str], row: int) -> dict[str, CovariateValue]:
    return {name: columns[name][row] for name in names}


def _place(tensor: InferTensor) -> str:
    return f"input {tensor.name[:100]}"
