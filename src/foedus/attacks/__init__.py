"""What dishonest nodes do: attacks on data, on models, and of nodes that collude."""

from foedus.attacks.adversary import Adversary, Dishonest
from foedus.attacks.alie import ALIE
from foedus.attacks.attack import Aim, Attack, Attacker
from foedus.attacks.backdoor import Backdoor
from foedus.attacks.clean_label_noise import CleanLabelNoise
from foedus.attacks.colluding import Colluding, Known
from foedus.attacks.constrain_and_scale import ConstrainAndScale
from foedus.attacks.dissensus import Dissensus
from foedus.attacks.distributed_backdoor import DistributedBackdoor
from foedus.attacks.edge_case import EdgeCase
from foedus.attacks.free_rider import FreeRider
from foedus.attacks.gaussian import Gaussian
from foedus.attacks.ipm import IPM
from foedus.attacks.label_flip import LabelFlip
from foedus.attacks.measure import Success, success
from foedus.attacks.mimic import Mimic
from foedus.attacks.min_max import MinMax
from foedus.attacks.min_sum import MinSum
from foedus.attacks.model_replacement import ModelReplacement
from foedus.attacks.not_finite import NotFinite
from foedus.attacks.numbers import value, with_value
from foedus.attacks.optimised import Optimised
from foedus.attacks.scaling import Scaling
from foedus.attacks.sign_flip import SignFlip
from foedus.attacks.sybils import Sybils
from foedus.attacks.trigger import Columns, Patch, Trigger
from foedus.attacks.wrong_shape import WrongShape
from foedus.attacks.wrong_weight import WrongWeight

__all__ = [
    "ALIE", "Adversary", "Aim", "Attack", "Attacker", "Backdoor", "CleanLabelNoise", "Colluding", "Columns",
    "ConstrainAndScale", "Dishonest", "Dissensus", "DistributedBackdoor", "EdgeCase", "FreeRider", "Gaussian", "IPM",
    "Known", "LabelFlip", "Mimic", "MinMax", "MinSum", "ModelReplacement", "NotFinite", "Optimised", "Patch",
    "Scaling", "SignFlip", "Success", "Sybils", "Trigger", "WrongShape", "WrongWeight", "success", "value",
    "with_value",
]  # fmt: skip
