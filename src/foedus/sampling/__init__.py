"""Who is asked, and when to stop."""

from foedus.core.coordination.population import Cohort, Drawn, Looks, Population, Selection, TooFew
from foedus.core.coordination.until import All, Deadline, Quorum, Until
from foedus.sampling.cohorts import Available, BySize, Fixed, Fraction, OverSelect, Poisson
from foedus.sampling.stopping import AfterCommits, Budget, Patience, StopRule, Target

__all__ = [
    "AfterCommits", "All", "Available", "Budget", "BySize", "Cohort", "Deadline", "Drawn", "Fixed", "Fraction",
    "Looks", "OverSelect", "Patience", "Poisson", "Population", "Quorum",
    "Selection", "StopRule", "Target", "TooFew", "Until",
]  # fmt: skip
