"""Report: the page, the plot and the live table."""

from foedus.report.live import Live, LiveTable, Row
from foedus.report.page import page
from foedus.report.plot import plot
from foedus.report.units import human_bytes, human_count, human_seconds, percent

__all__ = ["Live", "LiveTable", "Row", "human_bytes", "human_count", "human_seconds", "page", "percent", "plot"]
