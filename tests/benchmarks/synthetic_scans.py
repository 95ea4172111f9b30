"""The scans that benchmarks measure on: synthetic, written once, and the same files for all of them in `make bench`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SHAPE = (99, 117, 95)  # 2 mm MNI grid as TemplateFlow's
DATA_VARIABLE = "KRP_BENCH_DATA"  # folder that the benchmarks of one run share
N_OTHER_COLUMNS = 150  # components, squares and cosines that fMRIPrep writes besides
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@contextmanager
def data_folder() -> Iterator[Path]:
    """Lend the folder that all benchmarks of a run share, or one that goes away afterwards."""
    if shared := os.environ.get(DATA_VARIABLE):
        yield Path(shared)
        return
    with tempfile.TemporaryDirectory(prefix="krp-bench-") as folder:
        yield Path(folder)


def scan_of(folder: Path, n_volumes: int) -> Path:
    """Return a 2 mm int16 run of this length, written on first use."""
    path = folder / f"bold_{n_volumes}.nii.gz"
    if not path.exists():
        unfinished = folder / f"unfinished-{os.getpid()}.nii.gz"
        write_scan(unfinished, n_volumes=n_volumes)
        unfinished.rename(path)
    return path


def write_scan(path: Path, *, n_volumes: int) -> None:
    """Write a smooth brain with noise, zeros outside, as compressible as a masked fMRIPrep derivative."""
    import nibabel
    from isal import igzip
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    affine = np.array([[2.0, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]])
    header = nibabel.Nifti1Header()
    header.set_data_shape((*SHAPE, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(affine, 4)
    header.set_qform(affine, 4)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4], header["magic"], header["vox_offset"] = 2.0, b"n+1", 352
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    brain = (x / 0.75) ** 2 + (y / 0.78) ** 2 + (z / 0.8) ** 2 < 1
    anatomy = gaussian_filter(rng.standard_normal(SHAPE), 3)
    anatomy = (8_000 + 1_500 * anatomy / anatomy.std())[brain]
    volume = np.zeros(SHAPE, dtype="<i2")
    with igzip.open(path, "wb", compresslevel=2) as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(n_volumes):
            volume[brain] = anatomy + 120 * rng.standard_normal(anatomy.size, dtype=np.float32)
            file.write(volume.tobytes(order="F"))


def confounds_table(rng: np.random.Generator, n_volumes: int) -> str:
    """Return a confounds table as wide as fMRIPrep's."""
    motion = np.cumsum(rng.standard_normal((n_volumes, 6)) * 0.003, axis=0)
    slopes = np.vstack([np.full((1, 6), np.nan), np.diff(motion, axis=0)])
    kinds = {"": motion, "_derivative1": slopes, "_power2": motion**2, "_derivative1_power2": slopes**2}
    columns = {name + suffix: signal[:, k] for suffix, signal in kinds.items() for k, name in enumerate(MOTION)}
    columns |= {name: 800 + 5 * rng.standard_normal(n_volumes) for name in ("csf", "white_matter", "global_signal")}
    moved = rng.gamma(2, 0.06, n_volumes)
    moved[0] = np.nan
    columns |= {"framewise_displacement": moved, "dvars": 20 + moved, "std_dvars": 1 + moved}
    columns |= {f"t_comp_cor_{k:02d}": rng.standard_normal(n_volumes) for k in range(N_OTHER_COLUMNS)}
    rows = zip(*columns.values(), strict=True)
    lines = ["\t".join("n/a" if np.isnan(x) else repr(float(x)) for x in row) for row in rows]
    return "\n".join(["\t".join(columns), *lines]) + "\n"
