"""Documents of the Open Inference Protocol, version 2, as far as it is spoken here.

References
----------
KServe, Open Inference Protocol specification, HTTP/REST: https://kserve.github.io/website/ (required API, version 2).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

DataType = Literal["FP64", "FP32", "BYTES"]
Name = Annotated[StrictStr, Field(max_length=200)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InferTensor(_Document):
    """One input for all rows."""

    name: Name = Field(description="A feature, a covariate, or recipe_hash.")
    shape: Annotated[list[StrictInt], Field(min_length=1, max_length=2)] = Field(description="[n] or [n, 1].")
    datatype: DataType = Field(description="FP64 or FP32 for numbers, BYTES for categories and texts.")
    data: list[Any] = Field(description="n numbers or texts, flat or one per inner list; null when missing.")
    parameters: dict[str, Any] | None = None


class WantedOutput(_Document):
    """An output that the caller names; `status` and `answer` come along unasked."""

    name: Name
    parameters: dict[str, Any] | None = None


class InferRequest(_Document):
    """One or many rows as tensors."""

    id: Name | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[InferTensor] = Field(min_length=1)
    outputs: list[WantedOutput] | None = None


class OutputTensor(BaseModel):
    """One output for all rows."""

    name: str
    shape: list[int]
    datatype: DataType
    data: list[float | str | None] = Field(description="In the order of the rows; null where the answer is refused.")


class InferReply(BaseModel):
    """Answers as tensors; `answer` holds the whole answer document of each row as JSON."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorDescription(BaseModel):
    """What one tensor of a model is."""

    name: str
    datatype: DataType
    shape: list[int]


class TensorModel(BaseModel):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorDescription]
    outputs: list[TensorDescription]
    parameters: dict[str, Any]


class TensorServer(BaseModel):
    """What this server speaks."""

    name: str
    version: str
    extensions: list[str]


class TensorServerLive(BaseModel):
    """Whether the process lives."""

    live: bool


class TensorServerReady(BaseModel):
    """Whether the service can answer."""

    ready: bool


class TensorModelReady(BaseModel):
    """Whether a model can answer."""

    name: str
    ready: bool


class TensorProblem(BaseModel):
    """What is wrong, in one sentence and as a problem document."""

    error: str
    code: str
    where: str
    remedy: str


def tensor_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the errors that a route of this protocol may answer with."""
    return {status: {"model": TensorProblem, "description": "What is wrong"} for status in statuses}
