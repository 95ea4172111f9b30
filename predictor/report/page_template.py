"""Templates of pages that are one file each: all text is escaped, and an unknown name is an error."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


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
