"""What is computed: jobs that nodes are given."""

from foedus.core.evaluation import Evaluate
from foedus.jobs.gradient import Gradient
from foedus.jobs.local_sgd import LocalSGD
from foedus.jobs.schedules import Cosine, ExponentialDecay, InverseTime, Schedule

__all__ = ["Cosine", "Evaluate", "ExponentialDecay", "Gradient", "InverseTime", "LocalSGD", "Schedule"]
