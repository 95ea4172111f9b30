from __future__ import annotations

from importlib.metadata import version

import pytest

from predictor import versions
from predictor.__main__ import main


def test_the_versions_that_numbers_hang_on_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"krp {version('ketamine-response-predictor')}"
    shown = dict(line.split()[:2] for line in lines[1:])
    assert shown["numpy"] == version("numpy")
    assert shown["scikit-learn"] == version("scikit-learn")


def test_what_is_not_installed_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGES", ("no-such-package-anywhere",))
    assert list(versions.version_lines())[-1].endswith("not installed")
