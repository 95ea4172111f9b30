"""The brain's surface behind the 3-D circuit: thinned once, sent as a few dozen kilobytes of numbers."""

from __future__ import annotations

import struct
from functools import cache
from importlib.resources import as_file, files

import nibabel
import numpy as np
from nibabel.gifti.gifti import GiftiImage
from numpy.typing import NDArray

# Vertices of fsaverage4, which are the first ones of fsaverage5: FreeSurfer's icospheres refine each other in order.
N_COARSE = 2562
HEMISPHERES = ("left", "right")
# fsaverage lies in MNI305; the circuit's regions are given in MNI152. FreeSurfer's own map from one to the other.
MNI152_OF_MNI305 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
    ]
)
STEPS_PER_MM = 10
_PARTS = ("POINTSET", "TRIANGLE")


@cache
def surface_bytes() -> bytes:
    """Return the pial surface of both hemispheres in MNI152 space.

    Returns
    -------
    bytes
        Little-endian: number of vertices and of triangles (uint32 each), the vertices (n_vertices, 3) as int16 in
        tenths of a millimetre, the triangles (n_triangles, 3) as uint16.

    References
    ----------
    Fischl et al. 1999, Hum Brain Mapp 8:272 (fsaverage). The surface comes with nilearn.
    """
    vertices, triangles = [], []
    for number, hemisphere in enumerate(HEMISPHERES):
        fine_vertices, fine_triangles = _fsaverage5(hemisphere)
        vertices.append(fine_vertices[:N_COARSE])
        triangles.append(coarser_triangles(fine_triangles, n_coarse=N_COARSE) + number * N_COARSE)
    places = np.vstack(vertices) @ MNI152_OF_MNI305[:, :3].T + MNI152_OF_MNI305[:, 3]
    corners = np.vstack(triangles)
    head = struct.pack("<II", len(places), len(corners))
    written: tuple[bytes, bytes] = (
        np.rint(places * STEPS_PER_MM).astype("<i2").tobytes(),
        corners.astype("<u2").tobytes(),
    )
    return head + b"".join(written)


def coarser_triangles(triangles: NDArray[np.int64], *, n_coarse: int) -> NDArray[np.int64]:
    """Return the triangles of the mesh before its last refinement.

    Refining halves every edge: of the four triangles that come from one, the middle one has new corners only, and each
    of these corners lies between two old vertices.

    Parameters
    ----------
    triangles
        Corners of the refined mesh, shape (4 n, 3); the first `n_coarse` vertices are the old ones.

    Returns
    -------
    ndarray of shape (n, 3)
        Corners among the old vertices, with the orientation of the refined mesh.
    """
    edges = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[(edges[:, 0] >= n_coarse) & (edges[:, 1] < n_coarse)]
    edges = np.unique(edges, axis=0)  # sorted by the new vertex: each stands twice in a row, once per end
    ends = dict(zip(edges[::2, 0].tolist(), edges.reshape(-1, 4)[:, [1, 3]].tolist(), strict=True))
    middle = triangles[(triangles >= n_coarse).all(axis=1)]
    return np.array([_old_corners(*(ends[corner] for corner in one)) for one in middle.tolist()], dtype=np.int64)


def _old_corners(first: list[int], second: list[int], third: list[int]) -> list[int]:
    """Corners of the triangle whose edges have these ends; each corner is shared by two neighbouring edges."""
    pairs = ((third, first), (first, second), (second, third))
    return [next(iter(set(one) & set(other))) for one, other in pairs]


def _fsaverage5(hemisphere: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices in MNI305, mm, and triangles of the pial surface that comes with nilearn."""
    source = files("nilearn").joinpath(f"datasets/data/fsaverage5/pial_{hemisphere}.gii.gz")
    with as_file(source) as path:
        image = nibabel.load(path)
    assert isinstance(image, GiftiImage)
    vertices, triangles = (
        image.get_arrays_from_intent(f"NIFTI_INTENT_{kind}")[0].data  # type: ignore[no-untyped-call]
        for kind in _PARTS
    )
    return np.asarray(vertices, dtype=np.float64), np.asarray(triangles, dtype=np.int64)
