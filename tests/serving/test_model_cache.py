from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from serving.model_cache import ModelCache
from serving.model_source import ModelVersion

VERSION = ModelVersion("1", is_promoted=True)
# Kills itself in the middle of the copy or of the exchange, as a machine may; or stops until somebody ends it.
KEEPS = """
import os, shutil, signal, sys
from pathlib import Path
from serving.model_cache import ModelCache
from serving.model_source import ModelVersion
real = shutil.copytree
def copy(*given):
    real(*given)
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[3] == "slow":
        print("half", flush=True)
        sys.stdin.readline()
shutil.copytree = copy
rename = os.rename
def rename_and_end(*given):
    rename(*given)
    if sys.argv[3] == "killed between":
        os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename_and_end
ModelCache(Path(sys.argv[1])).keep(Path(sys.argv[2]), ModelVersion("2", is_promoted=True), source="a registry")
"""


def keeping(folder: Path, bundle: Path, how: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", KEEPS, str(folder), str(bundle), how]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_left_half_written_is_gone_after_the_next_start(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    cache.keep(bundle_dir, VERSION, source="a registry")
    with keeping(cache.folder, bundle_dir, "killed") as process:
        assert process.wait() == -signal.SIGKILL
    assert list(cache.folder.glob(".unfinished-*"))
    kept = cache.last(source="a registry")
    assert kept is not None
    assert kept[1] == VERSION
    assert os.listdir(cache.folder) == [kept[0].parent.name]


def test_a_process_killed_while_it_exchanges_the_copies_loses_neither(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    cache.keep(bundle_dir, VERSION, source="a registry")
    with keeping(cache.folder, bundle_dir, "killed between") as process:
        assert process.wait() == -signal.SIGKILL
    kept = cache.last(source="a registry")
    assert kept is not None
    assert kept[1] == VERSION
    assert (kept[0] / "manifest.json").is_file()
    assert os.listdir(cache.folder) == [kept[0].parent.name]


def test_what_another_process_is_writing_is_left_alone(bundle_dir: Path, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "served")
    cache.keep(bundle_dir, VERSION, source="a registry")
    with keeping(cache.folder, bundle_dir, "slow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert cache.last(source="a registry") is not None
        assert list(cache.folder.glob(".unfinished-*"))
        process.communicate("go on\n")
        assert process.returncode == 0
    kept = cache.last(source="a registry")
    assert kept is not None
    assert kept[1].version == "2"


def test_a_folder_that_is_not_there_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    assert ModelCache(tmp_path / "served").last(source="a registry") is None
    assert not (tmp_path / "served").exists()
