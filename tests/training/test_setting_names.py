from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from predictor.__main__ import build_parser
from training.config import read_entries
from training.setting_names import Setting, hint_for, settings, settings_called

EVERY_SETTING = tuple(settings())


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--permutations", "99", "--set validation.n_permutations=99"),
        ("--validation.seed", "3", "--set validation.seed=3"),
        ("--candidates", "random_forest", """--set 'model.candidates=["random_forest"]'"""),
        ("--l1-ratios", "0.5", "--set 'model.l1_ratios=[0.5]'"),
        ("--include", "group=patient", """--set 'cohort.include={ COLUMN = "VALUE" }', or --set 'reference.include"""),
        ("--compete", "", "--set model.compete=true"),
        ("--seed", "", "--set validation.seed=VALUE"),
        ("--model", "ridge", "--set model.KEY=VALUE replaces one of primary, candidates,"),
    ],
)
def test_a_setting_written_as_an_option_is_told_how_it_is_given(option: str, value: str, expected: str) -> None:
    assert expected in hint_for(option, value)


def test_something_like_a_setting_is_found_only_where_that_is_asked_for() -> None:
    assert settings_called("permutatons") == ()
    assert [one.key for one in settings_called("permutatons", is_near=True)] == ["n_permutations"]
    assert hint_for("--xyzzy", "1", is_near=True) == ""


@pytest.mark.parametrize("setting", EVERY_SETTING, ids=lambda one: one.name)
def test_every_setting_can_be_set_by_the_call_that_is_shown(setting: Setting, tmp_path: Path) -> None:
    assert setting in settings_called(setting.name)
    words = shlex.split(setting.call("7"))
    file = tmp_path / "experiment.toml"
    file.write_text("")
    document, _ = read_entries(file, overrides=words[1:])
    section = document[setting.section] if setting.section else document
    assert list(section) == [setting.key]
    assert tomllib.loads(f"value = {words[1].partition('=')[2]}")


@pytest.mark.parametrize("command", ["train", "audit"])
def test_commands_that_read_an_experiment_answer_with_the_setting(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (f"{command} --permutations 99 a.toml", f"{command} a.toml --permutations=99"):
        with pytest.raises(SystemExit):
            build_parser().parse_args(words.split())
        shown = capsys.readouterr().err
        assert "there is no option --permutations." in shown
        assert "--set validation.n_permutations=99\n" in shown


def test_a_misspelt_option_of_the_command_wins_over_a_setting_like_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "a.toml", "--stoer", "mlruns"])
    assert "Did you mean --store?" in capsys.readouterr().err
