from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("latex2mathml", reason="needs requirements/docs.txt")
pytest.importorskip("sphinx", reason="needs requirements/docs.txt")
from mathml import mathml


def test_an_equation_becomes_mathml() -> None:
    assert "<mfrac>" in mathml(r"\frac{a}{b}", is_block=True)
    assert 'display="block"' in mathml("a", is_block=True)


def test_a_command_that_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="MathML"):
        mathml(r"\nosuchcommand{a}")


def test_every_equation_of_the_documentation_can_be_drawn(project: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((project / "docs").rglob("*.md"))]
    blocks = [found for text in texts for found in re.findall(r"\$\$(.+?)\$\$", text, flags=re.DOTALL)]
    assert len(blocks) >= 8
    assert all(mathml(block, is_block=True) for block in blocks)
