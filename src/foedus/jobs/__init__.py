"""What is computed: jobs that nodes are given."""

from foedus.core.evaluation import Evaluate
from foedus.jobs.clustered import ClusteredSGD, EvaluateBest
from foedus.jobs.controlled import ControlledSGD
from foedus.jobs.dynamic import DynamicSGD
from foedus.jobs.fair import FairSGD
from foedus.jobs.gradient import Gradient
from foedus.jobs.local_sgd import LocalSGD
from foedus.jobs.normalized import NormalizedSGD
from foedus.jobs.personal import DittoSGD, EvaluateOwn, PersonalSGD, TuneAndEvaluate
from foedus.jobs.schedules import Cosine, ExponentialDecay, InverseTime, Schedule
from foedus.jobs.slots import BatchNorms, LastLayer, Named, Own

__all__ = [
    "BatchNorms", "ClusteredSGD", "ControlledSGD", "Cosine", "DittoSGD", "DynamicSGD", "Evaluate", "EvaluateBest",
    "EvaluateOwn", "ExponentialDecay", "FairSGD", "Gradient", "InverseTime", "LastLayer", "LocalSGD", "Named",
    "NormalizedSGD", "Own", "PersonalSGD", "Schedule", "TuneAndEvaluate",
]  # fmt: skip
