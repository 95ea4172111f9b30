"""Coverage-guided search for bytes that the scan reader fails on other than by a named error; needs atheris.

`python tests/robustness/fuzz_nifti_reader.py [SECONDS] [FOLDER]`: 60 seconds by default; inputs that reach new code are
kept in FOLDER, so that a later search goes on from there. The exit code is not 0 when an input was found that fails.
"""

from __future__ import annotations

import gzip
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import atheris

with atheris.instrument_imports(include=["predictor"]):
    from predictor.circuit.circuit import load_circuit
    from predictor.errors import PredictorError
    from predictor.scan.nifti_header import ScanLimits
    from predictor.scan.region_signals import RegionReader

CIRCUIT = load_circuit()
# Small enough that a search looks at thousands of inputs in a second; every check behind them is the same.
LIMITS = ScanLimits(max_volumes=50, max_voxels_per_volume=50_000, max_inflated_bytes=2**22, max_kept_bytes=2**20)
MAX_INPUT_BYTES = 4_096
N_VOLUMES = 2


def read(data: bytes) -> None:
    """Read bytes as a scan: the first one says in which pieces, and whether zeros follow in place of voxels."""
    reader = RegionReader(CIRCUIT, limits=LIMITS, declared_space="MNI152NLin2009cAsym")
    how, content = data[:1] or b"\0", data[1:]
    chunk_bytes = 1 + how[0] % 64 * 64
    try:
        for start in range(0, len(content), chunk_bytes):
            reader.feed(content[start : start + chunk_bytes])
        if how[0] & 64:
            reader.feed(bytes(2 * 21 * 27 * 23 * N_VOLUMES))
        recording = reader.finish()
    except PredictorError:
        return
    assert recording.bold.shape[1] == len(recording.region_names)


def write_seeds(folder: Path) -> None:
    """Write the beginnings of sound scans of every type, plain and compressed."""
    mutations = _neighbour("mutated_inputs")
    for dtype in mutations.TYPES:
        for version, order in ((1, "<"), (1, ">"), (2, "<"), (2, ">")):
            block = mutations.sound_scan(dtype, order=order, version=version, n_volumes=N_VOLUMES)
            name = f"{dtype}-{version}-{'little' if order == '<' else 'big'}"
            (folder / name).write_bytes(b"\x60" + block[:600])
            (folder / f"{name}-gzip").write_bytes(b"\x20" + gzip.compress(block[:600] + bytes(len(block) - 600), 9))


def _neighbour(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Search for so many seconds."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    with tempfile.TemporaryDirectory(prefix="krp-fuzz-") as made:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else made)
        folder.mkdir(exist_ok=True)
        write_seeds(folder)
        options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=2", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(folder)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
