"""Tables from bytes that nobody vouches for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictor.errors import MissingColumnError, PredictorError, TableError
from predictor.scan.tsv_table import TableLimits, parse_json_object, parse_tsv


def test_reads_cells_with_any_line_ends_and_a_byte_order_mark() -> None:
    for content in (b"a\tb\n1\t2\n3\tn/a\n", b"\xef\xbb\xbfa\tb\r\n1\t2\r\n3\tn/a\r\n", b"a\tb\r1\t2\r3\tn/a"):
        table = parse_tsv(content, where="part")
        assert table.n_rows == 2
        assert table.columns == {"a": ("1", "3"), "b": ("2", "n/a")}


def test_a_missing_value_is_allowed_only_where_it_is_said_to_be() -> None:
    table = parse_tsv(b"a\tb\nn/a\t1\n2\tn/a\n", where="part")
    np.testing.assert_equal(table.numbers("a", may_miss=[0]), [np.nan, 2.0])
    with pytest.raises(TableError, match="missing value in row 2, column b") as caught:
        table.numbers("b", may_miss=[0])
    assert caught.value.where == "part, row 2, column b"


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999", "1e31", "abc", "1,5", "1_000", "0x10"])
def test_a_cell_that_is_no_finite_number_is_named_but_not_repeated(cell: str) -> None:
    table = parse_tsv(f"a\n1\n{cell}\n".encode(), where="part")
    with pytest.raises(TableError, match="row 2, column a") as caught:
        table.numbers("a", may_miss=[0])
    assert f"found {cell}" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found nothing"),
        (b"\n\n", "found nothing"),
        (b"a\tb\n", "at least one row"),
        (b"a\tb\n1\n", "found 1 in row 1"),
        (b"a\tb\n1\t2\n\n3\t4\n", "in row 2"),
        (b"a\ta\n1\t2\n", "column 2 has the name of column 1"),
        (b"a\t\n1\t2\n", "column 2 has none"),
        (b"a,b\n1,2\n", "commas or semicolons"),
        (b"a\tb\n\xff\xfe\t1\n", "UTF-8"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        ("a\tb\n1\t2\n".encode("utf-16"), "UTF-8"),
    ],
)
def test_bytes_that_are_no_table_are_one_named_error(content: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        parse_tsv(content, where="part")


@pytest.mark.parametrize(
    "limits",
    [TableLimits(max_bytes=10), TableLimits(max_rows=4), TableLimits(max_columns=2), TableLimits(max_cells=20)],
)
def test_a_table_beyond_the_limits_is_refused(limits: TableLimits) -> None:
    content = b"a\tb\tc\n" + b"1\t2\t3\n" * 10
    assert parse_tsv(content, where="part").n_rows == 10
    with pytest.raises(TableError, match="at most"):
        parse_tsv(content, where="part", limits=limits)


def test_an_unknown_column_is_named_with_those_that_exist() -> None:
    with pytest.raises(MissingColumnError, match="expected a column c, found a, b"):
        parse_tsv(b"a\tb\n1\t2\n", where="part").text("c")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_malformed_side_car_is_one_named_error(content: bytes) -> None:
    with pytest.raises(TableError) as caught:
        parse_json_object(content, where="rest_sidecar")
    assert caught.value.where == "rest_sidecar"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="a1\t\n\r,n/ae-.", max_size=200).map(str.encode))
def test_any_bytes_give_a_table_or_a_named_error(content: bytes) -> None:
    try:
        table = parse_tsv(content, where="part")
        for name in table.columns:
            table.numbers(name, may_miss=[0])
    except PredictorError:
        pass
