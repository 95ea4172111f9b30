"""How long one-pass extraction takes, and how much memory, beside bare inflation and beside nilearn's sphere masker.

`python tests/benchmarks/bench_extraction.py` writes a synthetic 99 x 117 x 95 x 200 int16 `.nii.gz` on the 2 mm MNI
grid, then measures in fresh processes (1) ISA-L inflating the file and throwing the output away and (2)
`read_region_signals`, by turns, and (3) nilearn's sphere masker on the same regions, once: the scan is read once into
single precision, and the masker is asked per radius, since it knows a single one. The region means of (2) and (3) are
compared. Asked: at most 1.6 times the time of inflation, 100 MB above the imports, at least 10 times faster and 5 times
leaner than nilearn, and equal means to 1e-5.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from fresh_process import Medians, measure_in_turns, measured_here
from measurement import Measurement, conclude, parser_of
from numpy.typing import NDArray
from synthetic_scans import data_folder, scan_of

N_VOLUMES, N_QUICK_VOLUMES = 200, 40
MAX_TIME_RATIO, MAX_MEMORY_MB = 1.6, 100.0
MIN_FASTER_THAN_NILEARN, MIN_LEANER_THAN_NILEARN = 10.0, 5.0
MAX_DIFFERENCE = 1e-5  # of a region's mean, relative
CHUNK_BYTES, PIECE_BYTES = 1 << 20, 1 << 18
GROUP = "Extraction of one run"


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


def extract(path: Path) -> Callable[[], NDArray[np.float64]]:
    """Prepare one-pass extraction, digest included."""
    from predictor.circuit.circuit import load_circuit
    from predictor.scan.region_signals import read_region_signals

    circuit = load_circuit()
    return lambda: read_region_signals(path, circuit).bold


def mask_with_nilearn(path: Path) -> Callable[[], NDArray[np.float64]]:
    """Prepare nilearn's masker as someone does who knows it: the scan is read once for all radii."""
    from nilearn.image import load_img
    from nilearn.maskers import NiftiSpheresMasker

    from predictor.circuit.circuit import load_circuit

    regions = load_circuit().regions

    def run() -> NDArray[np.float64]:
        # Without a dtype nilearn keeps the scan's integers and cuts the means down to such.
        scan = load_img(str(path), dtype="float32")
        means = np.full((scan.shape[3], len(regions)), np.nan)
        for radius in sorted({region.radius_mm for region in regions}):
            chosen = [number for number, region in enumerate(regions) if region.radius_mm == radius]
            centres = [regions[number].centre_mni_mm for number in chosen]
            masker = NiftiSpheresMasker(centres, radius=radius, standardize=None, dtype="float32")
            means[:, chosen] = masker.fit_transform(scan)
        return means

    return run


CONTENDERS = {"inflate": inflate, "extract": extract, "nilearn": mask_with_nilearn}


def measurements(*, n_rounds: int, n_volumes: int) -> list[Measurement]:
    """Measure everything on one scan."""
    with data_folder() as folder, tempfile.TemporaryDirectory() as place:
        scan, results = scan_of(folder, n_volumes), Path(place)
        size_mb = scan.stat().st_size / 1e6
        medians = measure_in_turns(__file__, scan, ["inflate", "extract"], n_rounds=n_rounds, results=results)
        medians |= measure_in_turns(__file__, scan, ["nilearn"], n_rounds=1, results=results)
        ours, theirs = (np.load(results / f"{name}.npy") for name in ("extract", "nilearn"))
    if not np.isfinite(ours).all():
        raise SystemExit("the signals are not finite: nothing worth timing was computed")
    difference = float(np.abs(ours / theirs - 1).max())
    run = f"99 × 117 × 95 × {n_volumes} int16, {size_mb:.0f} MB compressed"
    return _records(medians, difference, run=run, rounds=f"median of {n_rounds} fresh processes by turns")


def _records(medians: Medians, difference: float, *, run: str, rounds: str) -> list[Measurement]:
    inflated, ours, nilearn = (medians[name] for name in ("inflate", "extract", "nilearn"))
    once = "the masker once, the scan read once for all radii"
    return [
        Measurement(
            GROUP, "region signals in one pass, beside inflation", "s", ours["seconds"],
            inflated["seconds"], "bare ISA-L inflation", at_most=MAX_TIME_RATIO * inflated["seconds"],
            detail=f"{run}; asked: at most {MAX_TIME_RATIO} × inflation; sha256 of the file included; {rounds}",
        ),
        Measurement(
            GROUP, "region signals of the run, beside nilearn", "s", ours["seconds"], nilearn["seconds"],
            "nilearn's sphere masker", ratio_at_least=MIN_FASTER_THAN_NILEARN, detail=once,
        ),
        Measurement(
            GROUP, "peak memory above the imports, beside nilearn", "MB", ours["memory_mb"], nilearn["memory_mb"],
            "nilearn's sphere masker", ratio_at_least=MIN_LEANER_THAN_NILEARN, detail=once,
        ),
        Measurement(
            GROUP, "peak memory above the imports", "MB", ours["memory_mb"], at_most=MAX_MEMORY_MB,
            detail=f"{rounds}; the imports take {ours['imports_mb']:.0f} MB",
        ),
        Measurement(
            GROUP, "largest relative difference of a mean from nilearn's", "", difference, at_most=MAX_DIFFERENCE,
            detail="every region and volume",
        ),
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark, or one measurement of it."""
    if measured_here(CONTENDERS):
        return 0
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="measurements of inflation and extraction, by turns (7; quick 2)")
    parser.add_argument("--volumes", type=int, help=f"length of the run ({N_VOLUMES}; quick {N_QUICK_VOLUMES})")
    arguments = parser.parse_args()
    n_rounds = arguments.rounds or (2 if arguments.quick else 7)
    n_volumes = arguments.volumes or (N_QUICK_VOLUMES if arguments.quick else N_VOLUMES)
    return conclude(measurements(n_rounds=n_rounds, n_volumes=n_volumes), as_json=arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
