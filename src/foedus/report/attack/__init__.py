"""What `foedus attack` found, as text, a page and numbers."""

from foedus.report.attack.found import Found, Plan, Tried, found
from foedus.report.attack.machine import as_json
from foedus.report.attack.page import page
from foedus.report.attack.show import show
from foedus.report.attack.verdict import verdict

__all__ = ["Found", "Plan", "Tried", "as_json", "found", "page", "show", "verdict"]
