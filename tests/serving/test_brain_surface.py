"""The thinned surface of the brain."""

from __future__ import annotations

import numpy as np

from serving.web.brain_surface import coarser_triangles, surface_bytes

# An octahedron: six corners, eight faces.
CORNERS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
FACES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def refined(faces: np.ndarray, n_corners: int) -> np.ndarray:
    """Return a mesh with every edge halved; the new corners come after the old ones."""
    number: dict[frozenset[int], int] = {}

    def middle(one: int, other: int) -> int:
        return number.setdefault(frozenset((one, other)), n_corners + len(number))

    fine = []
    for a, b, c in faces.tolist():
        ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
        fine += [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]
    return np.array(fine)


def rolled(faces: np.ndarray) -> set[tuple[int, ...]]:
    """Return faces by their corners, each beginning with its smallest one, so that orientation still counts."""
    return {tuple(np.roll(face, -int(np.argmin(face)))) for face in faces}


def test_thinning_takes_back_a_refinement_and_keeps_the_outside_outside() -> None:
    fine = refined(FACES, len(CORNERS))
    shuffled = np.random.default_rng(0).permutation(fine)
    assert rolled(coarser_triangles(shuffled, n_coarse=len(CORNERS))) == rolled(FACES)


def test_the_surface_is_two_closed_hemispheres_of_a_brains_size() -> None:
    content = surface_bytes()
    n_vertices, n_triangles = np.frombuffer(content[:8], "<u4").tolist()
    vertices = np.frombuffer(content[8 : 8 + 6 * n_vertices], "<i2").reshape(-1, 3) / 10
    triangles = np.frombuffer(content[8 + 6 * n_vertices :], "<u2").reshape(-1, 3)
    assert (len(vertices), len(triangles)) == (n_vertices, n_triangles)
    edges = np.sort(np.vstack([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    counts = np.unique(edges, axis=0, return_counts=True)[1]
    assert set(counts) == {2}, "every edge has a triangle on either side"
    assert n_vertices - len(counts) + n_triangles == 4, "Euler: two spheres"
    left, right = vertices[: n_vertices // 2], vertices[n_vertices // 2 :]
    assert left[:, 0].mean() < -20 < 20 < right[:, 0].mean()
    extent = np.ptp(vertices, axis=0)
    assert np.all((extent > 110) & (extent < 190)), "millimetres"
