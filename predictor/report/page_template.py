"""Templates, style and script of pages that are one file each: all text is escaped, an unknown name is an error."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from predictor.report.palette import style_variables

if TYPE_CHECKING:
    from jinja2 import Template

SHARED_STYLE: Final = "visit_report.css"


@cache
def page_template(package: str, name: str) -> Template:
    """Return a template of a package's folder `templates`; read once.

    Parameters
    ----------
    package
        With dots, such as "predictor.report".
    name
        File name of the template.

    Returns
    -------
    Template
        Its `render` gives the page.
    """
    # Half a second that commands without pages save.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    # Parts that pages share, such as methods.html, stand here.
    loader = ChoiceLoader([PackageLoader(package), PackageLoader(__package__)])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


@cache
def page_style(package: str = "", name: str = "") -> str:
    """Return the colours and the style that all reports share, and a page's own after them.

    Parameters
    ----------
    package, name
        Where the page's own style sheet stands, as for `page_template`; empty: it has none.
    """
    own = page_resource(package, name) if name else ""
    return style_variables() + page_resource(str(__package__), SHARED_STYLE) + own


@cache
def page_resource(package: str, name: str) -> str:
    """Return the text of a file beside the templates: a style sheet or a script."""
    return files(package).joinpath("templates", name).read_text(encoding="utf-8")


def policy_hash(script: str) -> str:
    """Return what a page's policy says to let this script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
