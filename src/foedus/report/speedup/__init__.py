"""What `foedus speedup` found, as text, a picture, a page and numbers."""

from foedus.report.speedup.found import Found
from foedus.report.speedup.machine import as_csv, as_json
from foedus.report.speedup.page import page
from foedus.report.speedup.plot import plot
from foedus.report.speedup.show import show
from foedus.report.speedup.verdict import verdict

__all__ = ["Found", "as_csv", "as_json", "page", "plot", "show", "verdict"]
