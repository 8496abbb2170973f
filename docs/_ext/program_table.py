"""``{program-table}``: every program of ``foedus.programs``, what it is, and the page that is about it.

A page is about a program if it is called like it (``push-sum.md``, ``fine_tune.md``) or has its name in a headline.
Of a program without a page the API reference is linked.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.util.docutils import SphinxDirective

from foedus import programs


def page_of(program: str, folder: Path) -> Path | None:
    """The page about a program in a folder of pages."""
    pages = [p for p in sorted(folder.glob("*.md")) if p.stem != "index"]
    for page in pages:
        if re.sub("[-_]", "", page.stem).lower() == program.lower():
            return page
    headline = re.compile(rf"^#.*\b{program}\b", re.MULTILINE)
    return next((page for page in pages if headline.search(page.read_text(encoding="utf-8"))), None)


def table(folder: Path) -> str:
    """The table, as Markdown."""
    rows = ["| program | what it is |", "|---|---|"]
    for name in sorted(programs.__all__, key=str.lower):
        what = getattr(programs, name)
        if not isinstance(what, type):
            continue
        summary = " ".join((what.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
        page = page_of(name, folder)
        link = f"[`{name}`]({page.name})" if page is not None else f"{{py:obj}}`foedus.programs.{name}`"
        rows.append(f"| {link} | {summary} |")
    return "\n".join(rows)


class ProgramTable(SphinxDirective):
    """The directive."""

    def run(self) -> list[Any]:
        self.env.note_reread()  # the classes can have changed where the page has not
        return list(self.parse_text_to_nodes(table(Path(self.env.doc2path(self.env.docname)).parent)))


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("program-table", ProgramTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
