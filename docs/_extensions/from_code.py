"""The directive `from-code`: a piece of a page that is made from the code when the site is built.

```{from-code} feature_tables:family_table rest_fisher_z
```

calls `family_table("rest_fisher_z")` of the module `feature_tables` in this folder and reads what it returns as
Markdown. Headings in it start at `#` and come below the one in which the directive stands. Nothing that is generated
lies in a file, so nothing can be out of date.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class FromCode(SphinxDirective):
    """Put the Markdown that a function returns in place of the directive."""

    required_arguments = 1
    optional_arguments = 1
    final_argument_whitespace = True
    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Call the function and parse its Markdown."""
        module_name, _, function_name = self.arguments[0].partition(":")
        function = getattr(import_module(module_name), function_name)
        text = function(*self.arguments[1].split()) if len(self.arguments) > 1 else function()
        # As MyST's own include does it: headings become sections below the one in which the directive stands.
        renderer = self.state._renderer
        renderer.nested_render_text(text, self.lineno, heading_offset=max(renderer._level_to_section))
        return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("from-code", FromCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
