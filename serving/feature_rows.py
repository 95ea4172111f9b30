"""Visits as rows of ready features: read from a table, scored together or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from predictor.errors import PredictorError
from predictor.feature_rows import RECIPE_HASH, FeatureRow, parse_feature_rows
from predictor.features.feature_catalogue import feature_definitions
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features_as_json
from serving.event_loop import N_ROWS_AT_ONCE, compute_in_thread
from serving.model_store import LoadedModel
from serving.schemas import PredictionRow

# Rows that are scored before somebody else's work has its turn, some 20 ms.
N_ROWS_IN_TURN = 32


def rows_of_request(rows: Sequence[PredictionRow]) -> list[FeatureRow]:
    """Return the rows of a request, counted from 1."""
    return [
        FeatureRow(f"row {number}", row.participant, row.features, row.covariates, row.recipe_hash, None)
        for number, row in enumerate(rows, start=1)
    ]


def score_rows(rows: Sequence[FeatureRow], model: LoadedModel) -> tuple[list[bytes | None], list[PredictorError]]:
    """Score every row.

    Returns
    -------
    answers, faults
        The answer's bytes in the order of the rows, None where the row is wrong; and what is wrong with those.
    """
    answers: list[bytes | None] = []
    faults: list[PredictorError] = []
    for row in rows:
        try:
            answer = score_features_as_json(
                row.features,
                row.covariates,
                model.bundle,
                recipe_hash=row.recipe_hash,
                input_digest=row.input_digest,
                promoted=model.version.is_promoted,
            )
            answers.append(answer)
        except PredictorError as error:
            error.where = _placed(row.place, error.where)
            answers.append(None)
            faults.append(error)
    return answers, faults


async def score_in_turns(
    rows: Sequence[FeatureRow], model: LoadedModel
) -> tuple[list[bytes | None], list[PredictorError]]:
    """Score rows as `score_rows` does: few at once here, many in pieces in a thread, so that others have their turn."""
    if len(rows) <= N_ROWS_AT_ONCE:
        return score_rows(rows, model)
    answers: list[bytes | None] = []
    faults: list[PredictorError] = []
    for start in range(0, len(rows), N_ROWS_IN_TURN):
        found = await compute_in_thread(score_rows, rows[start : start + N_ROWS_IN_TURN], model)
        answers += found[0]
        faults += found[1]
    return answers, faults


def read_feature_rows(
    content: bytes, bundle: ModelBundle, *, max_rows: int
) -> tuple[list[FeatureRow], list[PredictorError]]:
    """Read a table of features, with the columns that the model knows: its features, its recipe's, its covariates.

    Returns
    -------
    rows, faults
        Rows that could be read, named by their line in the file; and everything that is wrong with the others.

    Raises
    ------
    TableError
        If the file is no table, has columns that the model does not know, or too many rows.
    """
    names = set(bundle.feature_names)
    if bundle.recipe:  # a table of `krp extract` holds features that this model does not take
        names |= {definition.name for definition in feature_definitions(bundle.recipe)}
    return parse_feature_rows(content, bundle.covariates, feature_names=names, max_rows=max_rows)


def template_of(bundle: ModelBundle) -> str:
    """Return an empty table with the columns that the model takes, tab-separated."""
    covariates = [covariate.name for covariate in bundle.covariates if covariate.role != "arm"]
    columns = ["participant_id", *covariates, *(item.name for item in bundle.definitions), RECIPE_HASH]
    return "\t".join(columns) + "\n"


def _placed(place: str, column: str) -> str:
    if not column:
        return place
    for known_as in ("column ", "feature ", "covariate "):  # in a table, each of them is a column
        column = column.removeprefix(known_as)
    return f"{place}, column {column}"
