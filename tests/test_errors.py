from __future__ import annotations

import re
from pathlib import Path

import pytest

from predictor import errors
from predictor.errors import PredictorError


def every_error() -> list[type[PredictorError]]:
    found, queue = [], [PredictorError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_every_code_is_kebab_case_and_used_once() -> None:
    codes = [kind.code for kind in every_error()]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) for code in codes)
    assert len(set(codes)) == len(codes)


def test_the_drawing_at_the_top_of_the_file_names_every_error() -> None:
    drawn = set(re.findall(r"\b\w+Error\b", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in every_error()}


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_the_error_catalogue_has_an_entry_with_the_remedy(kind: type[PredictorError], project: Path) -> None:
    catalogue = (project / "docs/errors.md").read_text(encoding="utf-8")
    assert f"\n## {kind.code}\n" in catalogue
    assert kind.remedy in catalogue


def test_an_error_keeps_its_own_place_over_a_later_one() -> None:
    error = errors.TableError("a cell is empty.", where="row 3")
    assert error.located("confounds").where == "row 3"
    assert errors.TableError("a cell is empty.").located("confounds").where == "confounds"
