"""What a study's own names stand for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from predictor.errors import ConfigError
from predictor.scan.task_description import load_task_description, task_description_from_document


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("rest", "rest"),
        ("restingstate", "rest"),
        ("emomatching", "faces"),
        ("Hariri", "faces"),
        ("faces", "faces"),
        ("emostroop", "conflict"),
        ("emotionalConflict", "conflict"),
        ("workingmemory", None),
        ("oneback", None),
    ],
)
def test_common_task_labels_are_known(task: str, kind: str | None) -> None:
    assert load_task_description().kind_of_task(task) == kind


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("face", "faces"),
        ("Fearful_Face", "faces"),
        ("angry", "faces"),
        ("EMOTION", "faces"),
        ("shapes", "control"),
        ("control", "control"),
        ("scramble", "control"),
        ("house", "control"),
        ("neutral", None),
        ("instruction", None),
        ("+", None),
    ],
)
def test_common_event_names_are_known(name: str, condition: str | None) -> None:
    assert load_task_description().run("faces").condition_of(name) == condition


@pytest.mark.parametrize(
    ("cell", "is_correct"),
    [
        *[(cell, True) for cell in ("correct", "1", "1.0", "True")],
        *[(cell, False) for cell in ("incorrect", "0", "miss")],
        *[(cell, None) for cell in ("n/a", "", "2", "10")],
    ],
)
def test_accuracy_cells_say_right_wrong_or_nothing(cell: str, is_correct: bool | None) -> None:
    assert load_task_description().run("conflict").is_correct(cell) is is_correct


def test_a_file_replaces_only_what_it_gives(tmp_path: Path) -> None:
    path = tmp_path / "tasks.toml"
    path.write_text('[faces]\ntasks = ["oneback"]\n[faces.conditions]\nfaces = ["Face"]\ncontrol = ["house", "-1"]\n')
    tasks = load_task_description(path)
    assert tasks.kind_of_task("oneback") == "faces"
    assert tasks.kind_of_task("emomatching") is None
    assert tasks.kind_of_task("rest") == "rest"
    assert [tasks.run("faces").condition_of(name) for name in ("face", "-1", "1", "shape")] == [
        "faces",
        "control",
        None,
        None,
    ]
    assert tasks.run("conflict") == load_task_description().run("conflict")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[face]\ntasks = ['a']", r"found \[face\]"),
        ("[faces]\ntask = ['a']", "unknown key task"),
        ("[faces]\ntasks = 'a'", "list of names"),
        ("[faces]\ntasks = []", "at least one name"),
        ("[faces]\ntasks = [1]", "list of names"),
        ("faces = 3", "found a single value"),
        ("[faces.conditions]\nfaces = ['a']", "expected the conditions faces, control"),
        ("[faces.conditions]\nfaces = ['a']\ncontrol = ['A']", "these have two: a"),
        ("[faces]\ntasks = ['rest']", "these have two: rest"),
        ("[rest.conditions]\nfaces = ['a']", "expected the conditions none"),
        ("[faces]\ncolumn = ''", "name of a column"),
        ("[faces", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_a_config_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tasks.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_task_description(path)


def test_a_file_that_is_absent_or_not_text_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_task_description(tmp_path / "absent.toml")
    assert str(tmp_path) not in str(caught.value) + caught.value.where
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_task_description(tmp_path / "binary.toml")


def test_the_document_comes_back_the_same() -> None:
    tasks = load_task_description()
    document = json.loads(json.dumps(tasks.document()))
    assert task_description_from_document(document) == tasks
    del document["rest"]
    with pytest.raises(ConfigError, match="expected the sections"):
        task_description_from_document(document)
