"""Who is asked, and when to stop."""

from foedus.core.federation import Cohort
from foedus.core.until import All, Deadline, Quorum, Until
from foedus.sampling.cohorts import Fixed, Fraction, Poisson
from foedus.sampling.stopping import AfterCommits, StopRule, Target

__all__ = [
    "AfterCommits", "All", "Cohort", "Deadline", "Fixed", "Fraction", "Poisson", "Quorum", "StopRule", "Target",
    "Until",
]  # fmt: skip
