"""How the documentation is built: ``make docs``. Nothing is fetched, and a warning is an error."""

import sys
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE / "_ext")]

import foedus  # noqa: E402

project = "foedus"
author = "The foedus authors"
copyright = "the foedus authors, Apache-2.0"
version = release = foedus.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "api_pages", "mathml", "plain_docstrings", "program_table"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
smartquotes = False  # quotes and dashes are those of files and commands

html_theme = "furo"
html_title = "foedus"
html_static_path = ["_static"]
html_css_files = ["foedus.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"


def setup(app: object) -> None:
    """Blocks of examples end in a blank line, which doctest needs and readers do not."""

    def trim(_app: object, doctree: nodes.document) -> None:
        for block in doctree.findall(nodes.literal_block):
            text = block.astext().rstrip("\n")
            block.children = [nodes.Text(text)]
            block.rawsource = text

    app.connect("doctree-read", trim)  # type: ignore[attr-defined]


# A name that a package exports again has two homes in the reference, and either will do.
suppress_warnings = ["ref.python"]
