"""The report: one self-contained HTML file that says what working together bought and what it cost."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, overload

from foedus.report.clock import clock
from foedus.report.curves import curves
from foedus.report.files import write_whole
from foedus.report.goodness import goodness
from foedus.report.holdings import figure, headline, holdings, split_tiles, who_holds_what
from foedus.report.looks import styles
from foedus.report.markup import text
from foedus.report.networks import networks
from foedus.report.nodes import each_node
from foedus.report.notebook import Page
from foedus.report.origin import origin
from foedus.report.prepared import prepared, prepared_data
from foedus.report.race import TRAFFIC, WORK, race
from foedus.report.sendable import without_places
from foedus.report.staleness import staleness
from foedus.report.stragglers import stragglers
from foedus.report.summary import TOGETHER, Comparison, Runs, compare
from foedus.report.suspects import suspects
from foedus.report.table import table
from foedus.report.verdict import Tile, tiles, troubles, verdict

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


_HERE = Path(__file__).parent


TITLE = "What working together bought, and what it cost"


@overload
def page(
    runs: Runs, path: None = None, *, title: str = ..., target: float | None = ..., notes: Sequence[str] = ...
) -> Page: ...
@overload
def page(
    runs: Runs, path: str | Path, *, title: str = ..., target: float | None = ..., notes: Sequence[str] = ...
) -> Path: ...
def page(
    runs: Runs,
    path: str | Path | None = None,
    *,
    title: str = TITLE,
    target: float | None = None,
    notes: Sequence[str] = (),
) -> Path | Page:
    """Write the report of one run or several as one self-contained HTML file and return its path; or without a path
    return the page, which a notebook's cell shows.

    ``runs``    a run, a list of runs, or a dict from label to a run or to the runs of several seeds.
    ``path``    a file that ends in ``.html``, or a folder, which then gets ``report.html``.
    ``target``  the quality whose price is compared (accuracy as a share, 0 to 1); by default 95 % of the best
                federated accuracy, in whole per cents.
    ``notes``   sentences for the end of the page.
    Errors: ``BadInput`` for no runs, a target out of range, or a path that cannot be written.
    """
    html = render(compare(runs, target), title, notes)
    if path is None:
        return Page(html)
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        file = file / "report.html"
    return write_whole(file, html.encode(), "the report")


def render(c: Comparison, title: str, notes: Sequence[str] = ()) -> str:
    """The page's HTML."""
    roles = [s.role if s in c.shown else "rest" for s in c.programs]
    looks = dict(zip((s.label for s in c.programs), styles(roles), strict=True))
    sections = [
        networks(c, looks),
        table(c, looks),
        curves(c, looks),
        goodness(c, looks),
        each_node(c, looks),
        clock(c),
        staleness(c, looks),
        stragglers(c, looks),
        suspects(c),
        who_holds_what(c),
        prepared(c),
        origin(c),
    ]
    return filled(
        title=title,
        verdict=verdict(c),
        more=_more(c),
        tiles=tiles(c),
        sections=sections,
        notes=notes,
    )


def holdings_page(data: FederatedDataset, path: str | Path, *, notes: Sequence[str] = ()) -> Path:
    """Write who holds what as one self-contained HTML file and return its path.

    ``path``   a file that ends in ``.html``, or a folder, which then gets ``data.html``.
    ``notes``  sentences for the end of the page. Errors: ``BadInput`` for a path that cannot be written.
    """
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        file = file / "data.html"
    from foedus.report.measured import of_data

    split = of_data(data)
    page = filled(
        title=f"{data.name}: who holds what",
        verdict=headline(data, split),
        more="",
        tiles=split_tiles(split),
        sections=[figure(holdings(split)), prepared_data(data)],
        notes=notes,
    )
    return write_whole(file, page.encode(), "the page")


def filled(
    *, title: str, verdict: str, more: str, tiles: Sequence[Tile], sections: Sequence[str], notes: Sequence[str]
) -> str:
    """The HTML of a page: a verdict and whatever is said below it, big numbers, sections one below the other."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    # The page's policy forbids every request, and every script but the one with this digest.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    said = [f'<ul class="notes">{"".join(f"<li>{text(n)}</li>" for n in notes)}</ul>'] if notes else []
    return Template((_HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        js=script,
        script_hash=f"sha256-{digest}",
        verdict=text(verdict),
        more=more,
        tiles="\n".join(_tile(t) for t in tiles),
        body="\n".join(s for s in [*sections, *said] if s),
    )


def _more(c: Comparison) -> str:
    """What comes after the verdict: how the federated programs compare (one alone is no race), and what went wrong."""
    said = race(c, TRAFFIC, WORK) if len(c.with_role(TOGETHER)) > 1 else ""
    lines = [f'<p class="more">{text(said)}</p>'] if said else []
    return "\n".join(lines + [f'<p class="trouble">{text(without_places(t))}</p>' for t in troubles(c)])


def _tile(t: Tile) -> str:
    number, _, unit = t.number.partition(" ")
    # A duration has two units ("2 min 5 s"): those stay as large as the number.
    if " " in unit:
        number, unit = t.number, ""
    small = f' <span class="unit">{escape(unit)}</span>' if unit else ""
    return (
        f'<div class="tile"><dt>{text(t.what)}</dt><dd class="number">{text(number)}{small}</dd>'
        f'<dd class="context">{text(t.context)}</dd></div>'
    )
