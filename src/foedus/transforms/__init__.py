"""What happens to an update on its way."""

from foedus.core.types.transform import Identity, Transform
from foedus.transforms.cast import Cast
from foedus.transforms.chain import Chain
from foedus.transforms.clip import Clip
from foedus.transforms.difference import Difference
from foedus.transforms.error_feedback import ErrorFeedback
from foedus.transforms.gaussian import Gaussian
from foedus.transforms.power_sgd import PowerSGD
from foedus.transforms.qsgd import QSGD
from foedus.transforms.random_k import RandomK
from foedus.transforms.sign import Sign
from foedus.transforms.ternary import Ternary
from foedus.transforms.top_k import TopK
from foedus.transforms.worker_momentum import WorkerMomentum

__all__ = [
    "Cast", "Chain", "Clip", "Difference", "ErrorFeedback", "Gaussian", "Identity", "PowerSGD", "QSGD", "RandomK",
    "Sign", "Ternary", "TopK", "Transform", "WorkerMomentum",
]  # fmt: skip
