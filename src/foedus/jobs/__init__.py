"""What is computed: jobs that nodes are given."""

from foedus.core.evaluation import Evaluate
from foedus.jobs.gradient import Gradient
from foedus.jobs.local_sgd import LocalSGD
from foedus.jobs.model_parallel import BackwardPart, CheckPart, CollectPart, ForwardPart, OutputGradient
from foedus.jobs.schedules import Cosine, ExponentialDecay, InverseTime, Schedule

__all__ = [
    "BackwardPart", "CheckPart", "CollectPart", "Cosine", "Evaluate", "ExponentialDecay", "ForwardPart", "Gradient",
    "InverseTime", "LocalSGD", "OutputGradient", "Schedule",
]  # fmt: skip
