from __future__ import annotations

import argparse

import pytest

from predictor.visit_options import add_jobs, add_participant_labels, add_session


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_participant_labels(parser)
    add_session(parser, otherwise="all")
    add_jobs(parser)
    return parser


def test_labels_may_be_given_in_several_places(parser: argparse.ArgumentParser) -> None:
    words = ["--participant-label", "01", "sub-02", "--participant-label", "03"]
    assert parser.parse_args(words).participant_label == ["01", "sub-02", "03"]
    assert parser.parse_args([]).participant_label is None


@pytest.mark.parametrize("name", ["--session", "--session-label"])
def test_a_session_goes_by_both_names(parser: argparse.ArgumentParser, name: str) -> None:
    assert parser.parse_args([name, "baseline"]).session == "baseline"


@pytest.mark.parametrize("name", ["--jobs", "--n-jobs", "--nprocs", "--n-cpus"])
def test_processes_go_by_the_names_of_other_bids_apps(parser: argparse.ArgumentParser, name: str) -> None:
    assert parser.parse_args([name, "3"]).jobs == 3
    assert parser.parse_args([name, "-1"]).jobs == -1


@pytest.mark.parametrize("text", ["0", "-2", "many", "1.5"])
def test_no_process_at_all_is_refused(
    parser: argparse.ArgumentParser, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--jobs", text])
    assert "1 or more" in capsys.readouterr().err
