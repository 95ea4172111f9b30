from __future__ import annotations

import json

import pytest

from predictor.errors import ManyFaultsError, MissingColumnError, PredictorError, TableError, UnknownFeatureError
from predictor.features.feature_catalogue import feature_definitions
from predictor.model.bundle import ModelBundle
from serving.feature_rows import read_feature_rows, score_rows, template_of
from serving.model_store import ModelStore

FIRST = "rest_fisher_z__amygdala_L__vmPFC"


def table(*lines: str) -> bytes:
    return "\n".join(lines).encode()


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_reads_tables_as_spreadsheets_write_them(bundle: ModelBundle, separator: str, mark: str) -> None:
    header = ["participant_id", "site", FIRST, "recipe_hash"]
    lines = [header, ["mine", "A", "0.25", "sha256:1"], ["other", "", "n/a", ""]]
    content = (mark + "\r\n".join(separator.join(cells) for cells in lines) + "\r\n\r\n").encode()
    (first, second), faults = read_feature_rows(content, bundle, max_rows=10)
    assert not faults
    assert (first.participant, first.features, first.recipe_hash) == ("mine", {FIRST: 0.25}, "sha256:1")
    assert first.covariates == {"site": "A"}
    assert (second.features, second.covariates, second.recipe_hash) == ({FIRST: None}, {"site": None}, None)


def test_every_wrong_cell_is_named_and_right_rows_are_kept(bundle: ModelBundle) -> None:
    header = f"participant_id\tcaps5_total_baseline\t{FIRST}"
    rows, faults = read_feature_rows(table(header, "a\t40\t0.1", "b\thigh\tinf", "c\t1"), bundle, max_rows=10)
    assert [row.participant for row in rows] == ["a"]
    places = [fault.where for fault in faults]
    assert places[:2] == [f"line 3, column {FIRST}", "line 3, column caps5_total_baseline"]
    assert places[2] == "line 4"


def test_unknown_columns_are_all_named(bundle: ModelBundle) -> None:
    with pytest.raises(ManyFaultsError) as caught:
        read_feature_rows(table(f"{FIRST}\tshoe\trest__a__b", "1\t2\t3"), bundle, max_rows=10)
    assert [fault.where for fault in caught.value.faults] == ["line 1, column 2", "line 1, column rest__a__b"]
    assert all(isinstance(fault, UnknownFeatureError) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", TableError),
        (b"PK\x03\x04\xff\xfe", TableError),
        (table(FIRST), TableError),
        (table(f"{FIRST}\t{FIRST}", "1\t2"), TableError),
        (table(f'{FIRST}\n"1'), TableError),
        (table(FIRST, *["1"] * 11), TableError),
        (table("participant_id\tsite", "a\tb"), MissingColumnError),
    ],
    ids=["empty", "workbook", "header-only", "twice", "open-quote", "too-many", "no-feature"],
)
def test_what_is_no_table_is_a_named_error(bundle: ModelBundle, content: bytes, error: type[PredictorError]) -> None:
    with pytest.raises(error):
        read_feature_rows(content, bundle, max_rows=10)


def test_the_template_can_be_filled_and_read_back(bundle: ModelBundle) -> None:
    header = template_of(bundle)
    cells = ["mine", "44", "A", "male", *["0.1"] * len(bundle.feature_names), bundle.recipe_hashes[0]]
    rows, faults = read_feature_rows((header + "\t".join(cells)).encode(), bundle, max_rows=10)
    assert not faults
    assert rows[0].features == dict.fromkeys(bundle.feature_names, 0.1)
    assert "arm" not in header.split()


def test_wrong_rows_leave_gaps_in_the_answers(bundle: ModelBundle, store: ModelStore) -> None:
    header = "\t".join(["participant_id", "sex", *bundle.feature_names])
    values = "\t".join(["0.1"] * len(bundle.feature_names))
    rows, _ = read_feature_rows(table(header, f"a\tmale\t{values}", f"b\tother\t{values}"), bundle, max_rows=10)
    answers, faults = score_rows(rows, store.current())
    assert answers[0] is not None
    assert json.loads(answers[0])["arms"]
    assert answers[1] is None
    assert [fault.where for fault in faults] == ["line 3, column sex"]


def test_features_of_the_recipe_that_the_model_does_not_take_may_stand_there(bundle: ModelBundle) -> None:
    assert bundle.recipe is not None
    others = {item.name for item in feature_definitions(bundle.recipe)} - set(bundle.feature_names)
    other = sorted(others)[0]
    rows, faults = read_feature_rows(table(f"{FIRST}\t{other}", "0.1\t0.2"), bundle, max_rows=10)
    assert (rows[0].features, faults) == ({FIRST: 0.1, other: 0.2}, [])


@pytest.mark.parametrize("name", [FIRST, "caps5_total_baseline"])
def test_what_nobody_can_have_is_named_by_its_line_and_column(
    bundle: ModelBundle, store: ModelStore, name: str
) -> None:
    columns = ["participant_id", "caps5_total_baseline", *bundle.feature_names]
    values = ["999" if column == name else "0.1" for column in columns[1:]]
    rows, _ = read_feature_rows(table("\t".join(columns), "\t".join(["a", *values])), bundle, max_rows=10)
    _, faults = score_rows(rows, store.current())
    assert [fault.where for fault in faults] == [f"line 2, column {name}"]
