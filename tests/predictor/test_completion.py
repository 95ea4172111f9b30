from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from predictor.__main__ import main
from predictor.completion import SHELLS

Complete = Callable[..., list[str]]

# What bash does when the tabulator key is pressed behind the last word.
PRESS = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p krp | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function krp "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Complete:
    """Return what presses the tabulator key in bash, in a folder with some files."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    assert main(["completion", "bash", "--quiet"]) == 0
    script = tmp_path / "krp.bash"
    script.write_text(capsys.readouterr().out)
    folder = tmp_path / "work"
    for name in ("derivatives", "experiments"):
        (folder / name).mkdir(parents=True)
    for name in ("mine.toml", "features.tsv", "notes.txt"):
        (folder / name).touch()

    def press(*words: str) -> list[str]:
        call = ["bash", "--norc", "-c", PRESS, "bash", str(script), "krp", *words]
        ended = subprocess.run(call, capture_output=True, text=True, check=True, cwd=folder, timeout=20)
        return [word.strip() for word in ended.stdout.splitlines() if word.strip()]

    return press


def test_bash_completes_commands_actions_and_options(complete: Complete) -> None:
    assert complete("tr") == ["train"]
    assert set(complete("")) >= {"simulate", "extract", "train", "promote", "score", "serve", "completion"}
    assert complete("keys", "cr") == ["create"]
    assert complete("extract", "--participant-l") == ["--participant-label"]
    assert complete("extract", "derivatives", "out", "g") == ["group"]


def test_bash_completes_what_an_argument_takes(complete: Complete) -> None:
    assert set(complete("train", "")) >= {"mine.toml", "experiments"}
    assert "notes.txt" not in complete("train", "")
    assert complete("extract", "de") == ["derivatives"]
    assert complete("extract", "--reader", "ti") == ["timeseries"]
    assert "features.tsv" in complete("score", "fe")
    assert "mine.toml" not in complete("score", "features.tsv", "--participants", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_that_knows_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script, said = capsys.readouterr()
    assert not said  # `eval "$(krp completion bash)"` stands in start-up files of shells
    assert "timecourse" in script
    assert "participant-label" in script


def test_a_shell_that_is_not_known_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "zish"])
    assert "Did you mean zsh?" in capsys.readouterr().err
