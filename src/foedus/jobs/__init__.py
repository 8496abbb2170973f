"""What is computed: jobs that nodes are given."""

from foedus.core.coordination.evaluation import Evaluate
from foedus.jobs.clustered import ClusteredSGD, EvaluateBest
from foedus.jobs.controlled import ControlledSGD
from foedus.jobs.division import BatchNorms, LastLayer, Named, Own
from foedus.jobs.dynamic import DynamicSGD
from foedus.jobs.fair import FairSGD
from foedus.jobs.gradient import Gradient
from foedus.jobs.local_sgd import LocalSGD
from foedus.jobs.model_parallel import BackwardPart, CheckPart, CollectPart, ForwardPart, OutputGradient
from foedus.jobs.normalized import NormalizedSGD
from foedus.jobs.personal import DittoSGD, EvaluateOwn, PersonalSGD, TuneAndEvaluate
from foedus.jobs.schedules import Cosine, ExponentialDecay, InverseTime, Schedule

__all__ = [
    "BackwardPart", "BatchNorms", "CheckPart", "ClusteredSGD", "CollectPart", "ControlledSGD", "Cosine", "DittoSGD",
    "DynamicSGD", "Evaluate", "EvaluateBest", "EvaluateOwn", "ExponentialDecay", "FairSGD", "ForwardPart", "Gradient",
    "InverseTime", "LastLayer", "LocalSGD", "Named", "NormalizedSGD", "OutputGradient", "Own", "PersonalSGD",
    "Schedule", "TuneAndEvaluate",
]  # fmt: skip
