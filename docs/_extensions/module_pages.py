"""The modules of a package with the first line of what each says about itself."""

from __future__ import annotations

import ast
from pathlib import Path

from markdown_text import escaped, table

PROJECT = Path(__file__).resolve().parents[2]


def modules_table(package: str) -> str:
    """Return one row per module of a package, sub-packages left out; nothing is imported.

    Parameters
    ----------
    package
        Dotted name, such as `predictor.scan`.
    """
    folder = PROJECT.joinpath(*package.split("."))
    rows = [
        [f"`{path.stem}`", escaped(first_line(path))] for path in sorted(folder.glob("*.py")) if path.stem[0] != "_"
    ]
    return table(["module", "holds"], rows)


def package_sections(root: str) -> str:
    """Return a section with such a table for a package and for each of its sub-packages."""
    folders = sorted(path.parent for path in (PROJECT / root).rglob("__init__.py"))
    names = [".".join(folder.relative_to(PROJECT).parts) for folder in folders]
    parts = [
        f"# {name}\n\n{escaped(first_line(folder / '__init__.py'))}\n\n{modules_table(name)}"
        for name, folder in zip(names, folders, strict=True)
        if any(path.stem[0] != "_" for path in folder.glob("*.py"))
    ]
    return "\n\n".join(parts)


def first_line(path: Path) -> str:
    """First line of a module's docstring, empty where there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
