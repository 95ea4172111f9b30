from __future__ import annotations

import argparse

import pytest

from predictor.command_parser import CommandHelp, CommandParser, add_command, every_command


@pytest.fixture
def parser() -> CommandParser:
    """Return a small command line: `krp train`, `krp keys create`."""
    parser = CommandParser(prog="krp", formatter_class=CommandHelp)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    train = add_command(
        commands,
        "train",
        help="train a model",
        description="Trains a model. " * 12,
        examples=("krp train experiment.toml --participant-label sub-01 --jobs 1 --a-very-long-option-indeed 12",),
        exit_codes={4: "refused, " + "for a reason that takes many words to say, " * 4 + "and so on"},
    )
    train.add_argument("level", choices=("participant", "group"), help="level")
    train.add_argument("--participant-label", nargs="+", action="extend", metavar="LABEL", help="people")
    train.add_argument("--jobs", "--nprocs", dest="jobs", type=int, default=7, metavar="N", help="processes")
    train.add_argument("--seed", type=int, default=0, help="seed (default: 0, always)")
    train.add_argument("--force", action="store_true", help="anew")
    actions = add_command(commands, "keys", help="k", description="K.", examples=("krp keys create",)).add_subparsers()
    add_command(actions, "create", help="c", description="C.", examples=("krp keys create",))
    return parser


def refusal(parser: CommandParser, words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is said of a call that is refused."""
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words.split())
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_misspelt_command_is_answered_with_the_nearest(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = refusal(parser, "trian group", capsys)
    assert "usage: there is no command `trian`." in shown
    assert "Did you mean train?" in shown
    assert shown.endswith("krp: wrong use (exit 2)\n")


def test_a_word_that_is_near_nothing_is_answered_with_all_there_are(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "expected train, keys." in refusal(parser, "xyz", capsys)


@pytest.mark.parametrize("words", ["train --jbos 3 group", "train --jbos 3"])
def test_a_misspelt_option_is_named_though_its_value_passes_for_an_argument(
    parser: CommandParser, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    shown = refusal(parser, words, capsys)
    assert "there is no option --jbos." in shown
    assert "Did you mean --jobs?" in shown


def test_a_misspelt_option_is_answered_by_its_command(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = refusal(parser, "train group --partcipant-lable=01", capsys)
    assert "there is no option --partcipant-lable." in shown
    assert "Did you mean --participant-label? See `krp train --help`." in shown
    assert shown.endswith("krp train: wrong use (exit 2)\n")


def test_a_misspelt_choice_is_answered_with_the_nearest(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = refusal(parser, "train gruop", capsys)
    assert "there is no level `gruop`." in shown
    assert "Did you mean group?" in shown


def test_a_wrong_value_names_its_option(parser: CommandParser, capsys: pytest.CaptureFixture[str]) -> None:
    shown = refusal(parser, "train group --jobs many", capsys)
    assert "where   --jobs\n" in shown
    assert "invalid int value: 'many'" in shown


def test_a_word_too_many_and_one_too_few_are_refused(parser: CommandParser, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected no further word, found `extra`." in refusal(parser, "train group extra", capsys)
    assert "the following arguments are required: level" in refusal(parser, "train", capsys)
    swallowed = refusal(parser, "train --participant-label 01 group", capsys)
    assert "--participant-label takes all words behind it" in swallowed


def test_options_of_other_bids_apps_are_answered_with_why_there_are_none(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "keeps no working folder" in refusal(parser, "train group -w work", capsys)


def test_options_may_be_spelt_with_underscores_and_given_several_times(parser: CommandParser) -> None:
    words = ["train", "group", "--participant_label", "01", "02", "--participant-label", "sub-03", "--jobs=2"]
    arguments = parser.parse_args(words)
    assert arguments.participant_label == ["01", "02", "sub-03"]
    assert arguments.jobs == 2


def test_help_shows_defaults_once_and_keeps_examples(parser: CommandParser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = dict(every_command(parser))["train"].format_help()
    assert "processes (default: 7)" in shown
    assert shown.count("(default: 0, always)") == 1
    assert "--jobs N " in shown
    assert "--nprocs" not in shown, "other names of an option make room for what it does"
    assert "anew (default" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    example = shown[shown.index("examples:") : shown.index("exit codes:")]
    assert example.rstrip().endswith("12")
    assert " \\\n      " in example, "what does not fit goes on with a backslash, ready for a shell"
    assert "\n       takes" in shown[shown.index("  4    refused") :], "a long meaning goes on below itself"


def test_every_command_is_found_with_its_words(parser: CommandParser) -> None:
    assert [name for name, _ in every_command(parser)] == ["train", "keys", "keys create"]
    assert all(isinstance(below, argparse.ArgumentParser) for _, below in every_command(parser))
