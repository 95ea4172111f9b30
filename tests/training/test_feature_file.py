from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import (
    DuplicateParticipantError,
    MissingColumnError,
    SessionError,
    TableError,
    ValueOutOfRangeError,
)
from training.cohort.feature_file import definitions_document, definitions_of, read_matrices, read_ready_table


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _matrices(folder: Path, rng: np.random.Generator, *, directed: bool = False) -> dict[str, np.ndarray]:
    labels = ["amygdala_L", "vmPFC", "dACC"]
    written = {}
    for name in ("sub-01", "sub-02"):
        matrix = rng.standard_normal((3, 3))
        written[name] = matrix if directed else (matrix + matrix.T) / 2
        pd.DataFrame(written[name], columns=labels).to_csv(folder / f"{name}_conn.tsv", sep="\t", index=False)
    return written


@pytest.mark.parametrize(("name", "mark"), [("ready.tsv", "\t"), ("ready.csv", ",")])
def test_ready_table_is_read_exactly(name: str, mark: str, tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    rows = [f"sub-{row}{mark}{value!r}{mark}n/a" for row, value in enumerate(values)]
    path = _write(tmp_path / name, "\n".join([f"participant_id{mark}rest_fisher_z__a_L__b{mark}other", *rows]) + "\n")
    ready = read_ready_table(path)
    assert ready.values["rest_fisher_z__a_L__b"].tolist() == values
    assert ready.values["other"].isna().all()
    assert (ready.definitions[0].family, ready.definitions[0].kind) == ("rest_fisher_z", "rest")
    assert (ready.definitions[0].circuit, ready.definitions[1].family) == ("a-b", "ready")


def test_columns_that_say_where_a_row_comes_from_are_no_features(tmp_path: Path) -> None:
    text = "participant_id\tsession_id\trecipe_hash\tinput_digest\tx\nsub-1\tses-1\tsha256:a\tsha256:b\t1\n"
    ready = read_ready_table(_write(tmp_path / "t.tsv", text))
    assert list(ready.values) == ["x"]
    assert ready.sources.loc["sub-1", "recipe_hash"] == "sha256:a"


def test_definitions_survive_the_side_car() -> None:
    definitions = definitions_of(["gppi_faces__vmPFC__amygdala_L", "age"], {})
    assert definitions_of([d.name for d in definitions], definitions_document(definitions)) == definitions


@pytest.mark.parametrize("cell", ["high", "inf", "-inf", "1_000", "1,5"])
def test_cell_that_is_no_number_is_named(cell: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "t.tsv", f"participant_id\tx\nsub-1\t1\nsub-2\t{cell}\n")
    with pytest.raises(ValueOutOfRangeError) as caught:
        read_ready_table(path)
    assert caught.value.where == "t.tsv, row 2, column x"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("participant_id\tx\nsub-1\t1\nsub-1\t2\n", DuplicateParticipantError),
        ("subject\tx\nsub-1\t1\n", MissingColumnError),
        ("participant_id\nsub-1\n", MissingColumnError),
        ("participant_id\tx\tx\nsub-1\t1\t2\n", TableError),
        ("participant_id\tx\nsub-1\t1\t2\n", TableError),
        ("participant_id\tx\n", TableError),
        ("", TableError),
    ],
)
def test_tables_that_do_not_fit_are_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        read_ready_table(_write(tmp_path / "t.tsv", text))


def test_symmetric_matrices_give_their_upper_triangle(tmp_path: Path, rng: np.random.Generator) -> None:
    written = _matrices(tmp_path, rng)
    ready = read_matrices(tmp_path)
    assert list(ready.values) == ["ready__amygdala_L__vmPFC", "ready__amygdala_L__dACC", "ready__vmPFC__dACC"]
    for name, matrix in written.items():
        assert ready.values.loc[name].to_numpy() == pytest.approx(matrix[np.triu_indices(3, k=1)])


def test_directed_matrices_give_both_directions(tmp_path: Path, rng: np.random.Generator) -> None:
    written = _matrices(tmp_path, rng, directed=True)
    ready = read_matrices(tmp_path)
    assert ready.values.shape == (2, 6)
    assert ready.values.loc["sub-02", "ready__vmPFC__amygdala_L"] == pytest.approx(written["sub-02"][1, 0])


def test_npy_matrices_take_their_labels_from_the_folder(tmp_path: Path, rng: np.random.Generator) -> None:
    matrix = np.corrcoef(rng.standard_normal((3, 50)))
    np.save(tmp_path / "sub-01.npy", matrix)
    with pytest.raises(TableError, match="region names"):
        read_matrices(tmp_path)
    (tmp_path / "labels.tsv").write_text("a\nb\nc\n")
    assert read_matrices(tmp_path).values.loc["sub-01", "ready__b__c"] == matrix[1, 2]


def test_matrix_with_row_names_is_read_too(tmp_path: Path) -> None:
    _write(tmp_path / "sub-01.csv", ",a,b\na,1,0.25\nb,0.25,1\n")
    assert read_matrices(tmp_path).values.loc["sub-01", "ready__a__b"] == 0.25


def test_matrices_that_do_not_fit_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(SessionError):
        read_matrices(tmp_path)
    _matrices(tmp_path, rng)
    _write(tmp_path / "sub-03_conn.tsv", "vmPFC\tamygdala_L\tdACC\n1\t0\t0\n0\t1\t0\n0\t0\t1\n")
    with pytest.raises(TableError, match="differ from the first") as caught:
        read_matrices(tmp_path)
    assert caught.value.where == "sub-03_conn.tsv"
    _write(tmp_path / "sub-03_conn.tsv", "amygdala_L\tvmPFC\tdACC\n1\t0\t0\n0\t1\t0\n")
    with pytest.raises(TableError, match="square"):
        read_matrices(tmp_path)


def test_someone_with_two_matrices_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    _matrices(tmp_path, rng)
    _write(tmp_path / "sub-01_again.tsv", "a\tb\n1\t0\n0\t1\n")
    with pytest.raises(DuplicateParticipantError, match="sub-01"):
        read_matrices(tmp_path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-01.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TableError, match="numpy array of numbers"):
        read_matrices(tmp_path)
