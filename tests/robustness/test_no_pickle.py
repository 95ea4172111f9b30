"""The service never unpickles, whatever it is asked, and a bundle made with ill intent gets to run nothing.

Asked: 0 `pickle.find_class` events over the whole serving suite, and no marker file from a corpus of malicious bundles.
KRP_ROBUST=long watches every module of tests/serving, short the one that goes through most of the service.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from predictor.console import emit
from predictor.errors import PredictorError
from predictor.model.bundle import load_bundle
from predictor.model.canonical_json import canonical_json
from predictor.model.sealed_folder import MANIFEST, manifest_of
from serving.model_source import BundleFolder
from serving.model_store import ModelStore

TESTS = Path(__file__).resolve().parents[1]
MAIN_PATHS = ("test_predictions.py", "test_open_inference.py", "test_kept_results.py")
# What unpickles in a test's process outside the service is told apart by who called: the frames of `serving` or
# `predictor` on the stack.
WATCH = """
import os, sys
events = []
def watch(event, arguments):
    if event == "pickle.find_class":
        frame, names = sys._getframe(1), set()
        while frame is not None:
            names.add(str(frame.f_globals.get("__name__")).partition(".")[0])
            frame = frame.f_back
        events.append((arguments, bool(names & {"serving", "predictor"})))
sys.addaudithook(watch)
import pickle, pytest
pickle.loads(pickle.dumps(os.getcwd))
assert len(events) == 1, "the watch is blind"
code = pytest.main(sys.argv[1:])
ours = [arguments for arguments, is_ours in events[1:] if is_ours]
print(f"WATCHED {len(events) - 1} {len(ours)} {ours[:3]}")
sys.exit(code)
"""


class Marking:
    """What writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def test_nothing_is_unpickled_over_the_serving_suite(project: Path, run_long: bool) -> None:
    chosen = ["tests/serving"] if run_long else [f"tests/serving/{name}" for name in MAIN_PATHS]
    words = [sys.executable, "-c", WATCH, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    found = re.search(r"^WATCHED (\d+) (\d+) (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(found[2]) == 0, found[3]
    summary = done.stdout.splitlines()[-2]
    emit(
        f"pickle.find_class events in the service: {found[2]} (asked: 0); in its tests' own code: {found[1]}; {summary}"
    )


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Marking(folder.parent / "marker"))


def object_array(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Marking(folder.parent / "marker")], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def zipped(folder: Path) -> bytes:
    """Return what skops and numpy write: an archive, here with a pickle, an escape and a bomb inside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "touch", "__module__": "pathlib", "__loader__": "x"}))
        archive.writestr("object.pkl", pickled(folder))
        archive.writestr("../../marker", b"escaped")
        archive.writestr("bomb.npy", bytes(50_000_000))
    return buffer.getvalue()


def huge_header(folder: Path) -> bytes:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def code_in_header(folder: Path) -> bytes:
    code = f"__import__('pathlib').Path({str(folder.parent / 'marker')!r}).touch()"
    header = f"{{'descr': {code}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def nested(folder: Path) -> bytes:
    return b"[" * 1_000_000


def compressed(folder: Path) -> bytes:
    return zlib.compress(bytes(100_000_000))


CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "a pickle": pickled, "an array of objects": object_array, "an archive": zipped, "a header of 8 TB": huge_header,
    "code in a header": code_in_header, "a million brackets": nested, "a bomb": compressed,
    "nothing": lambda folder: b"", "YAML": lambda folder: b"!!python/object/apply:os.system ['true']",
}  # fmt: skip


def sealed_again(folder: Path) -> None:
    """Make the manifest say what is there, as somebody would who can write to the folder."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    named = {name: path.read_bytes() for name, path in files.items() if name not in (MANIFEST, "manifest.sig")}
    (folder / MANIFEST).write_bytes(manifest_of(named))


def first_array(folder: Path) -> str:
    return min(path.relative_to(folder).as_posix() for path in (folder / "arrays").rglob("*.npy"))


@pytest.mark.parametrize("place", ["bundle.json", "card.json", "tripod_ai.json", "array", MANIFEST, "model.skops"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_malicious_file_runs_nothing_though_the_manifest_agrees(
    bundle_dir: Path, tmp_path: Path, place: str, content: Callable[[Path], bytes]
) -> None:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    name = first_array(folder) if place == "array" else place
    (folder / name).write_bytes(content(folder))
    if place != MANIFEST:
        sealed_again(folder)
    store = ModelStore(BundleFolder(folder))
    with pytest.raises(PredictorError):
        store.refresh()
    assert not store.is_loaded
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../marker",
        "/marker",
        "arrays/../../marker",
        "..\\marker",
        "C:\\marker",
        "a\x00b",
        "\ud800",
        "",
        ".",
        "a" * 5000,
    ],
)
def test_a_name_out_of_the_folder_is_refused_and_nothing_is_read_or_written_there(
    bundle_dir: Path, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    listed = json.loads((folder / MANIFEST).read_bytes())
    listed["files"][name] = listed["files"]["bundle.json"]
    spelled = json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()
    for manifest in (spelled, *([] if name == "\ud800" else [canonical_json(listed)])):
        (folder / MANIFEST).write_bytes(manifest)
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(PredictorError):
            load_bundle(folder)
        assert sorted(os.listdir(tmp_path)) == before
