"""The documentation site: `make docs` builds it into build/docs, offline, and nothing in it loads from elsewhere."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER / "_extensions"))

project = "Ketamine response predictor"
author = "the contributors of the project"
release = version = installed_version("ketamine-response-predictor")
language = "en"
html_title = project
project_copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_copybutton",
    "from_code",
    "mathml",
    "plain_docstrings",
]
# Drafts of others, pages that are parts of pages, and what sphinx-gallery reads by itself.
exclude_patterns = ["_extensions", "_static", "gallery", "generated/gallery/*.ipynb", "**/.ipynb_checkpoints"]
suppress_warnings = [
    "ref.python",  # a name that is public and stands in its module too has two places; either is right
]
default_role = "literal"  # docstrings use single backquotes for code
smartquotes = False  # "--jobs" in a sentence is no dash

# Pages are Markdown that reads well without the site, too.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_block"]
myst_heading_anchors = 4
myst_dmath_allow_digits = False
myst_dmath_allow_space = False
html_math_renderer = "mathml"

# The notebook comes without outputs and is run at every build.
nb_execution_mode = "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

autodoc_typehints = "signature"
maximum_signature_line_length = 90
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_copyright = False
html_theme_options: dict[str, Any] = {
    "announcement": (
        "<strong>Research use only.</strong> Not a medical device; no clinical decision may rest on its numbers."
    ),
    # The colours of the service's own page.
    "light_css_variables": {
        "color-brand-primary": "#0b62a4",
        "color-brand-content": "#0b62a4",
        "color-brand-visited": "#5b4a9c",
        "color-announcement-background": "#fff6e0",
        "color-announcement-text": "#5c3c00",
        "font-stack": 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
        "font-stack--monospace": 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
    },
    "dark_css_variables": {
        "color-brand-primary": "#6db5ee",
        "color-brand-content": "#6db5ee",
        "color-brand-visited": "#b9a7f0",
        "color-announcement-background": "#2d2514",
        "color-announcement-text": "#f0c36a",
    },
}
copybutton_exclude = ".linenos, .gp, .go"

if (FOLDER / "gallery").is_dir():
    extensions.append("sphinx_gallery.gen_gallery")
    sphinx_gallery_conf = {
        "examples_dirs": ["gallery"],
        "gallery_dirs": ["generated/gallery"],
        "within_subsection_order": "FileNameSortKey",
        "download_all_examples": False,
        "show_memory": False,
        "show_signature": False,
        "capture_repr": (),  # no value of the last line under a figure
        "abort_on_example_error": True,
        "write_computation_times": False,
        "remove_config_comments": True,
        "copyfile_regex": r"$.^",
    }
