"""What comes in and goes out over HTTP; converted at once, the core never sees a schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

FiniteNumber = Annotated[float, Field(strict=True, allow_inf_nan=False)]
JsonCovariate = FiniteNumber | Annotated[StrictStr, Field(max_length=200)] | None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PredictionRow(_Document):
    """One visit as ready features."""

    participant: Annotated[StrictStr, Field(max_length=200)] | None = Field(
        default=None, description="Any label of yours; returned with the answer, never logged or kept."
    )
    features: dict[str, FiniteNumber | None] = Field(description="Value by feature name; null when missing.")
    covariates: dict[str, JsonCovariate] = Field(default_factory=dict, description="Value by covariate name.")
    recipe_hash: Annotated[StrictStr, Field(max_length=200)] | None = Field(
        default=None, description="Recipe that the features were computed by, from `krp extract`."
    )


class PredictionRequest(_Document):
    """Rows of features to score."""

    rows: list[PredictionRow] = Field(min_length=1)


class Interval(_Document):
    """Prediction interval."""

    level: float
    lower: float
    upper: float


class Reason(_Document):
    """Why an answer is flagged or refused."""

    code: str
    severity: Literal["flag", "refuse"]
    detail: str


class Outcome(BaseModel):
    """What is predicted."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    response_rule: str | None = None


class ArmPrediction(BaseModel):
    """Expected improvement under one treatment."""

    expected: float
    interval: Interval
    response_probability: float | None


class Benefit(BaseModel):
    """Difference between the arms."""

    expected: float
    interval: Interval
    about: str


class UncertaintySource(BaseModel):
    """Share of the uncertainty that comes from one source."""

    source: str
    share: float


class Contribution(BaseModel):
    """What one named input adds to the expected improvement."""

    feature: str
    value: float | str | None
    unit: str
    contribution: float
    circuit: str
    kind: str
    fold_sign_agreement: float | None = None


class Explanation(BaseModel):
    """SHAP contributions; base value plus contributions is the output."""

    arm: str
    base_value: float
    output: float
    additivity_error: float
    sentence: str
    contributions: list[Contribution]
    by_circuit: dict[str, float]
    by_kind: dict[str, float]


class EdgeDeviation(BaseModel):
    """How far one connection lies from what is expected of controls."""

    feature: str
    z: float | None = Field(
        description="Above 0: stronger than expected; null where the connection is missing, or controls do not say."
    )
    standard_error: float | None = Field(description="Scan noise of z; null where unknown.")


class Reference(BaseModel):
    """With whom the person was compared."""

    n_people: int
    expected_given: list[str]
    pooled_over: list[str] = Field(description="Of these, unknown ones, or ones of a level that no control has.")


class Deviations(BaseModel):
    """Hypo- and hyperconnectivity: this person beside controls."""

    edges: list[EdgeDeviation]
    hypoconnected_edges: int
    hyperconnected_edges: int
    mean: float | None
    n_edges: int = Field(description="Connections that were measured.")
    threshold: float = Field(description="z beyond which a connection counts.")
    reference: Reference


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    digest: str
    trained_on: int
    promoted: bool | None = None


class Answer(BaseModel):
    """The answer document; the same bytes as from `krp score`."""

    status: Literal["ok", "flagged", "refused"]
    research_use_only: Literal[True]
    reasons: list[Reason]
    outcome: Outcome
    arms: dict[str, ArmPrediction] | None = Field(default=None, description="Absent when refused.")
    benefit: Benefit | None = None
    uncertainty_sources: list[UncertaintySource] | None = None
    explanation: Explanation | None = None
    deviations: Deviations | None = Field(
        default=None, description="How far each connection lies from controls; absent without a reference of controls."
    )
    quality: dict[str, Any] | None = None
    model: ModelName
    provenance: dict[str, Any]


class Envelope(BaseModel):
    """One answer with what the service adds to it."""

    id: str
    created: str = Field(description="UTC, ISO 8601.")
    model_version: str
    answer: Answer


class PredictionEnvelope(Envelope):
    """One answer of /v1/predictions."""

    participant: str | None


class PredictionsReply(BaseModel):
    """Answers in the order of the rows."""

    predictions: list[PredictionEnvelope]


class ProblemPlace(BaseModel):
    """One of several faults of a request."""

    code: str
    where: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem document: what was expected, what was found, what to do."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    where: str
    remedy: str
    more: str
    errors: list[ProblemPlace] | None = Field(default=None, description="Every fault, when there are several.")


class FeatureField(BaseModel):
    """One input feature."""

    name: str
    unit: str
    family: str
    kind: str
    circuit: str
    description: str


class CovariateField(BaseModel):
    """One covariate."""

    name: str
    kind: Literal["number", "category"]
    levels: list[str]
    role: str


class ModelLimits(BaseModel):
    """What one request may hold."""

    max_rows: int
    max_json_bytes: int
    max_upload_bytes: int
    max_table_bytes: int


class CurrentModel(BaseModel):
    """The model that answers now."""

    name: str
    version: str
    digest: str
    promoted: bool
    loaded_at: str
    from_cache: bool = Field(description="The registry does not answer; this is the version that was served last.")
    research_use_only: Literal[True] = True
    outcome: Outcome
    arms: list[str]
    trained_on: int
    takes_scans: bool = Field(description="False when the model was trained on ready features only.")
    recipe_hashes: list[str]
    features: list[FeatureField]
    covariates: list[CovariateField]
    card: dict[str, Any]
    limits: ModelLimits


class ListedModel(BaseModel):
    """A version that the registry knows."""

    name: str
    version: str
    digest: str | None
    aliases: list[str] = Field(description="`champion` is the promoted one.")
    status: str = Field(description="`verified`, `registering`, or `unknown` for versions of other makers.")
    gate: str | None = Field(description="How the promotion gate judged it: `passed`, `refused`; null: never asked.")
    gate_reasons: str
    is_current: bool = Field(description="It answers now.")
    from_cache: bool = Field(description="It answers although the registry does not.")
    run_link: str | None
    card: dict[str, Any] | None = Field(description="Null when it cannot be read or was changed.")


class ListedModels(BaseModel):
    """All versions, newest first."""

    research_use_only: Literal[True] = True
    models: list[ListedModel]


class KeptResultLine(BaseModel):
    """One kept answer in a list."""

    id: str
    label: str
    created: str = Field(description="UTC, ISO 8601.")
    expires: str = Field(description="UTC, ISO 8601; deleted then.")
    status: Literal["ok", "flagged", "refused"]
    model_version: str


class KeptResults(BaseModel):
    """The caller's own kept answers, newest first."""

    results: list[KeptResultLine]


class Deleted(BaseModel):
    """How many answers were deleted."""

    deleted: int


class ExplanationFileLink(BaseModel):
    """One file that explains an answer."""

    name: str
    media_type: str
    description: str
    href: str


class ExplanationFiles(BaseModel):
    """The files that explain an answer."""

    id: str
    research_use_only: Literal[True] = True
    files: list[ExplanationFileLink]


class AuditLine(BaseModel):
    """One entry of the audit log: who, when, what, as digests."""

    sequence: int
    recorded: str = Field(description="UTC, ISO 8601.")
    owner: str
    action: str
    model_digest: str | None
    input_digest: str | None
    output_digest: str | None
    row: int | None
    hash: str = Field(description="Of this entry and the hash of the one before.")


class AuditPage(BaseModel):
    """Entries of the audit log in their order."""

    entries: list[AuditLine]
    next_after: int | None = Field(description="Ask with `after` set to this for more; null at the end.")


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["live", "ready"]


PROBLEM_RESPONSE: dict[str, Any] = {
    "model": Problem,
    "description": "Problem document",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


KEEP_PARAMETER: dict[str, Any] = {
    "name": "keep",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Keep the answers for a while, for /v1/results and /v1/explanations; nothing is kept otherwise.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problem documents that a route may answer with."""
    return {status: PROBLEM_RESPONSE for status in statuses}
