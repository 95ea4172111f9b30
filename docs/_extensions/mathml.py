"""Equations as MathML, which browsers draw themselves: no script, no font, no other host.

Every `$...$` and every math block is converted when the site is built. A command that the converter does not know would
stand in the page as text, so it is a warning, and a warning fails the build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

RENDERER = "mathml"
logger = logging.getLogger(__name__)


def mathml(tex: str, *, is_block: bool = False) -> str:
    r"""MathML of one equation.

    Parameters
    ----------
    tex
        LaTeX without delimiters.
    is_block
        Stands on a line of its own.

    Raises
    ------
    ValueError
        If the equation holds a command that the converter does not know.

    Examples
    --------
    >>> mathml(r"\beta")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>&#x003B2;</mi></mrow></math>'
    """
    drawn = convert(tex.strip(), display="block" if is_block else "inline")
    if "\\" in drawn:
        raise ValueError(f"expected LaTeX that can be drawn as MathML, found {tex.strip()}.")
    return drawn


def draw_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation within a line."""
    translator.body.append(f'<span class="math">{_drawn(node, is_block=False)}</span>')
    raise nodes.SkipNode


def draw_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation on a line of its own, with its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})</span>')
    translator.body.append(_drawn(node, is_block=True) + "</div>\n")
    raise nodes.SkipNode


def _drawn(node: nodes.Element, *, is_block: bool) -> str:
    try:
        return mathml(node.astext(), is_block=is_block)
    except Exception as error:  # the converter raises many kinds; each has to name the page
        logger.warning("%s", error, location=node, type="mathml")
        return ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer(RENDERER, (draw_inline, None), (draw_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
