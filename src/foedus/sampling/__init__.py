"""Who is asked, and when to stop."""

from foedus.core.federation import Cohort
from foedus.core.until import All, Deadline, Quorum, Until
from foedus.sampling.cohorts import Fixed, Fraction, Poisson
from foedus.sampling.stopping import AfterCommits, Budget, Patience, StopRule, Target

__all__ = [
    "AfterCommits", "All", "Budget", "Cohort", "Deadline", "Fixed", "Fraction", "Patience", "Poisson", "Quorum",
    "StopRule", "Target", "Until",
]  # fmt: skip
