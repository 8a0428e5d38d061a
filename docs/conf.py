"""How Sphinx makes a site of these pages: `make site`. The groups of links in index.md are its navigation."""

from __future__ import annotations

import re
from typing import Any

from gsdd_runtime.versions import VERSION

project = "gsdd-rt"
version = release = VERSION
html_title = f"gsdd-rt {VERSION}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False

root_doc = "index"
# `--option` is no dash.
smartquotes = False
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

GROUP = re.compile(r"^## (.+)\n((?:.*\n)*?)(?=^## |\Z)", re.MULTILINE)
PAGE = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", re.MULTILINE)


def groups(index: str) -> dict[str, list[str]]:
    """The pages listed under each heading of index.md, in its order."""
    found = {title: PAGE.findall(body) for title, body in GROUP.findall(index)}
    return {title: pages for title, pages in found.items() if pages}


# A Markdown file beside docs/ is no page: it is offered as a file, like all else that is linked there.
OUTSIDE = re.compile(r"\]\((\.\./[^)#]+\.md)(?:#[^)]*)?\)")


def _for_sphinx(app: Any, page: str, source: list[str]) -> None:
    """What Sphinx needs and GitHub would show as it stands: lists of pages in the index, links marked as to files."""
    source[0] = OUTSIDE.sub(r"](path:\1)", source[0])
    if page == root_doc:
        for title, pages in groups(source[0]).items():
            source[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {title}\n", *pages, "```\n"])


def setup(app: Any) -> None:
    app.connect("source-read", _for_sphinx)
