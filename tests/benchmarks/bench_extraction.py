"""How long one-pass extraction takes, and how much memory, beside bare inflation of the same file.

`python tests/benchmarks/bench_extraction.py` writes a synthetic 99 x 117 x 95 x 200 int16 `.nii.gz` on the 2 mm MNI
grid, then measures in fresh processes, by turns, (1) ISA-L inflating the file and throwing the output away and (2)
`read_region_signals`. It prints a table, or with --json a document. With --nilearn it also runs nilearn's sphere
masker on the same regions, which takes a minute and more than a gigabyte.

Targets: at most 1.6 times the time of inflation and at most 100 MB of resident memory above what the imports take.
The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fresh_process import measure, measure_in_turns, say, table

SHAPE = (99, 117, 95)
N_VOLUMES = 200
MAX_TIME_RATIO = 1.6
MAX_MEMORY_MB = 100.0
CHUNK_BYTES = 1 << 20
PIECE_BYTES = 1 << 18


def write_scan(path: Path, *, n_volumes: int, shape: tuple[int, int, int] = SHAPE) -> None:
    """Write a smooth brain with noise, zeros outside, as compressible as a masked fMRIPrep derivative."""
    import nibabel
    from isal import igzip
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    affine = np.array([[2.0, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]])
    header = nibabel.Nifti1Header()
    header.set_data_shape((*shape, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(affine, 4)
    header.set_qform(affine, 4)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4], header["magic"], header["vox_offset"] = 2.0, b"n+1", 352
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    brain = (x / 0.75) ** 2 + (y / 0.78) ** 2 + (z / 0.8) ** 2 < 1
    anatomy = gaussian_filter(rng.standard_normal(shape), 3)
    anatomy = (8_000 + 1_500 * anatomy / anatomy.std())[brain]
    volume = np.zeros(shape, dtype="<i2")
    with igzip.open(path, "wb", compresslevel=2) as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(n_volumes):
            volume[brain] = anatomy + 120 * rng.standard_normal(anatomy.size, dtype=np.float32)
            file.write(volume.tobytes(order="F"))


def inflate(path: Path) -> Callable[[], None]:
    """Prepare bare inflation, in the pieces that make it fastest (whole chunks cost half as much again)."""
    from isal import igzip_lib

    def run() -> None:
        inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                inflater.decompress(chunk, PIECE_BYTES)
                while not inflater.needs_input and not inflater.eof:
                    inflater.decompress(b"", PIECE_BYTES)

    return run


def extract(path: Path) -> Callable[[], None]:
    """Prepare one-pass extraction, digest included."""
    from predictor.circuit.circuit import load_circuit
    from predictor.scan.region_signals import read_region_signals

    circuit = load_circuit()
    return lambda: _check(read_region_signals(path, circuit).bold)


def mask_with_nilearn(path: Path) -> Callable[[], None]:
    """Prepare nilearn's masker: one per radius, since it knows a single one."""
    from nilearn.maskers import NiftiSpheresMasker

    from predictor.circuit.circuit import load_circuit

    regions = load_circuit().regions

    def run() -> None:
        for radius in {region.radius_mm for region in regions}:
            centres = [region.centre_mni_mm for region in regions if region.radius_mm == radius]
            _check(NiftiSpheresMasker(centres, radius=radius, standardize=None).fit_transform(str(path)))

    return run


CONTENDERS = {"inflate": inflate, "extract": extract, "nilearn": mask_with_nilearn}


def summary(medians: dict[str, dict[str, float]], path: Path, *, n_rounds: int, n_volumes: int) -> dict[str, Any]:
    """Give the numbers, the targets, and whether they are met."""
    ratio = medians["extract"]["seconds"] / medians["inflate"]["seconds"]
    memory_mb = medians["extract"]["memory_mb"]
    return {
        "scan": {"shape": [*SHAPE, n_volumes], "dtype": "int16", "compressed_mb": path.stat().st_size / 1e6},
        "rounds": n_rounds,
        "medians": medians,
        "time_ratio": ratio,
        "memory_mb": memory_mb,
        "targets": {"time_ratio": MAX_TIME_RATIO, "memory_mb": MAX_MEMORY_MB},
        "passed": ratio <= MAX_TIME_RATIO and memory_mb <= MAX_MEMORY_MB,
    }


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each contender, by turns (default 7)")
    parser.add_argument("--volumes", type=int, default=N_VOLUMES, help=f"length of the run (default {N_VOLUMES})")
    parser.add_argument("--nilearn", action="store_true", help="also run nilearn's sphere masker, once")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--measure", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        say(json.dumps(measure(CONTENDERS[arguments.measure](arguments.source))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bold.nii.gz"
        write_scan(path, n_volumes=arguments.volumes)
        medians = measure_in_turns(__file__, path, ["inflate", "extract"], n_rounds=arguments.rounds)
        if arguments.nilearn:
            medians |= measure_in_turns(__file__, path, ["nilearn"], n_rounds=1)
        result = summary(medians, path, n_rounds=arguments.rounds, n_volumes=arguments.volumes)
    say(json.dumps(result, indent=2) if arguments.json else table(result["medians"], _verdict(result)))
    return 0 if result["passed"] else 1


def _verdict(result: dict[str, Any]) -> str:
    verdict = "met" if result["passed"] else "MISSED"
    return (
        f"extraction takes {result['time_ratio']:.2f} x the time of inflation (target {MAX_TIME_RATIO}) and "
        f"{result['memory_mb']:.1f} MB (target {MAX_MEMORY_MB:.0f}): {verdict}"
    )


def _check(signals: np.ndarray) -> None:
    if not np.isfinite(signals).all():
        raise SystemExit("the signals are not finite: nothing worth timing was computed")


if __name__ == "__main__":
    raise SystemExit(main())
