"""Report: the page, pictures, the live table, and what the command line prints."""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.report.document import holdings_page, page
    from foedus.report.graph import draw
    from foedus.report.live import Live, LiveTable, Row
    from foedus.report.machine import as_json
    from foedus.report.notebook import Page
    from foedus.report.pictures import Picture, holdings_figure, plot
    from foedus.report.seeds import by_setting
    from foedus.report.sheets import comparison, holdings_text, show
    from foedus.report.summary import On
    from foedus.report.terminal import Sheet
    from foedus.report.uncertainty import difference, interval, overfitted
    from foedus.report.units import human_bytes, human_count, human_seconds, percent

__all__ = [
    "Live",
    "LiveTable",
    "On",
    "Page",
    "Picture",
    "Row",
    "Sheet",
    "as_json",
    "by_setting",
    "comparison",
    "difference",
    "draw",
    "holdings_figure",
    "holdings_page",
    "holdings_text",
    "human_bytes",
    "human_count",
    "human_seconds",
    "interval",
    "overfitted",
    "page",
    "percent",
    "plot",
    "show",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.report.graph": "draw",
        "foedus.report.live": "Live LiveTable Row",
        "foedus.report.machine": "as_json",
        "foedus.report.document": "holdings_page page",
        "foedus.report.notebook": "Page",
        "foedus.report.pictures": "Picture holdings_figure plot",
        "foedus.report.seeds": "by_setting",
        "foedus.report.sheets": "comparison holdings_text show",
        "foedus.report.summary": "On",
        "foedus.report.terminal": "Sheet",
        "foedus.report.uncertainty": "difference interval overfitted",
        "foedus.report.units": "human_bytes human_count human_seconds percent",
    },
)
