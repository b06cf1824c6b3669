"""The documentation site: `sphinx-build -W docs build/docs`, or `tox run -e docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import Any

project = "turnkeep"
author = "The turnkeep authors"
copyright = author
version = release = version_of("turnkeep")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
]
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
suppress_warnings = ["myst.header"]  # README begins its sections on the third level

# Docstrings put names between single backticks, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
nitpicky = False

html_theme = "furo"
html_title = "turnkeep"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False


def _link_to_source(_app: object, page: str, source: list[str]) -> None:
    """Let links to files of the repository that are no pages of the site lead to GitHub."""
    above = re.escape("../" * (page.count("/") + 1))
    source[0] = re.sub(
        rf"\]\({above}(?P<path>[^.)][^)]*)\)",
        r"](https://github.com/turnkeep/turnkeep/blob/main/\g<path>)",
        source[0],
    )


def _as_rst(
    _app: object, _what: str, name: str, _obj: Any, _options: object, lines: list[str]
) -> None:
    """Make reStructuredText of a docstring: its fenced blocks become literal ones."""
    # What a framework calls by itself, with the framework's own text.
    if name.startswith("turnkeep_discord.") and any("|maybecoro|" in line for line in lines):
        lines[:] = ["discord.py calls it."]
    made, fenced = list[str](), False
    for line in lines:
        if line.strip().startswith("```"):
            fenced = not fenced
            made += ["", "::", ""] if fenced else [""]
        else:
            made.append(f"    {line}" if fenced else line)
    lines[:] = made


def setup(app: Any) -> None:
    app.connect("source-read", _link_to_source)
    app.connect("autodoc-process-docstring", _as_rst)
