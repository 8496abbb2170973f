"""Who is asked, and when to stop."""

from foedus.core.crowd import Cohort, Crowd, Drawn, Looks, Selection, TooFew
from foedus.core.until import All, Deadline, Quorum, Until
from foedus.sampling.cohorts import Available, BySize, Fixed, Fraction, OverSelect, Poisson
from foedus.sampling.stopping import AfterCommits, Budget, Patience, StopRule, Target

__all__ = [
    "AfterCommits", "All", "Available", "Budget", "BySize", "Cohort", "Crowd", "Deadline", "Drawn", "Fixed", "Fraction",
    "Looks", "OverSelect", "Patience", "Poisson", "Quorum", "Selection", "StopRule", "Target", "TooFew", "Until",
]  # fmt: skip
