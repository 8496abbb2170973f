"""Report: the page, pictures, the live table, and what the command line prints."""

from foedus.report.graph import draw
from foedus.report.live import Live, LiveTable, Row
from foedus.report.machine import as_json
from foedus.report.page import holdings_page, page
from foedus.report.plot import holdings_figure, plot
from foedus.report.seeds import by_setting
from foedus.report.show import comparison, holdings_text, show
from foedus.report.summary import On
from foedus.report.terminal import Sheet
from foedus.report.units import human_bytes, human_count, human_seconds, percent

__all__ = [
    "Live",
    "LiveTable",
    "On",
    "Row",
    "Sheet",
    "as_json",
    "by_setting",
    "comparison",
    "draw",
    "holdings_figure",
    "holdings_page",
    "holdings_text",
    "human_bytes",
    "human_count",
    "human_seconds",
    "page",
    "percent",
    "plot",
    "show",
]
