from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import training.shelf.promotion
from predictor.__main__ import main
from training.experiment import ExperimentResult
from training.shelf.promotion_gate import GateCheck


def test_promote_prints_six_checks_and_moves_the_alias(
    result: ExperimentResult, store_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["promote", "small-model/candidate", "--store", str(store_folder)])
    shown = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line.split()[1] for line in shown[:6]] == ["passed"] * 6
    assert shown[6] == "small-model v1 -> champion (gate passed: 6 of 6)"


def test_a_refused_promotion_ends_with_exit_code_4_and_prints_the_reason(
    result: ExperimentResult,
    store_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_gate = training.shelf.promotion.check_gate

    def fail_the_third(*arguments: object, **options: object) -> tuple[GateCheck, ...]:
        checks = list(check_gate(*arguments, **options))  # type: ignore[arg-type]
        checks[2] = replace(checks[2], passed=False, measured="p = 0.4 (99 permutations)")
        return tuple(checks)

    monkeypatch.setattr(training.shelf.promotion, "check_gate", fail_the_third)
    code = main(["promote", "small-model/1", "--store", str(store_folder)])
    shown = capsys.readouterr()
    assert code == 4
    assert "(3) FAILED" in shown.out
    assert "promotion-refused: small-model v1 failed 1 of 6 checks" in shown.err


def test_a_wrong_experiment_file_ends_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.toml").write_text('nmae = "typo"\n')
    assert main(["train", str(tmp_path / "wrong.toml")]) == 3
    assert "nmae" in capsys.readouterr().err


def test_a_model_that_is_not_there_ends_with_exit_code_3(
    result: ExperimentResult, store_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", "small-model/99", "--store", str(store_folder)]) == 3
    assert "small-model/99" in capsys.readouterr().err


def test_a_folder_that_cannot_take_the_bundle_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere" / "bundle"):
        assert main(["train", "experiment.toml", "--bundle", str(folder)]) == 2
        assert "--bundle" in capsys.readouterr().err
