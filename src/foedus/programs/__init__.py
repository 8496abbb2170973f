"""Who does what, and when: one paper, one file."""

from foedus.programs.ad_psgd import AdPsgd
from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.basgd import BASGD
from foedus.programs.choco import Choco
from foedus.programs.clipped_gossip import ClippedGossip
from foedus.programs.discounts import Constant, Discount, Hinge, Polynomial, StalenessAware
from foedus.programs.ditto import Ditto
from foedus.programs.easgd import EASGD
from foedus.programs.feature_parallel import FeatureParallel
from foedus.programs.fedasync import FedAsync
from foedus.programs.fedavg import FedAvg
from foedus.programs.fedavgm import FedAvgM
from foedus.programs.fedbn import FedBN
from foedus.programs.fedbuff import FedBuff
from foedus.programs.feddyn import FedDyn
from foedus.programs.fednova import FedNova
from foedus.programs.fedopt import FedAdagrad, FedAdam, FedYogi
from foedus.programs.fedper import FedPer
from foedus.programs.fedprox import FedProx
from foedus.programs.fedrep import FedRep
from foedus.programs.fine_tune import FineTune
from foedus.programs.gossip import Gossip
from foedus.programs.hierarchical import Hierarchical
from foedus.programs.ifca import IFCA
from foedus.programs.parameter_server import DelayCompensation, ParameterServer
from foedus.programs.push_sum import PushSum
from foedus.programs.qffl import QFFL
from foedus.programs.robust_gossip import RobustGossip
from foedus.programs.scaffold import Scaffold
from foedus.programs.stale_synchronous import StaleSynchronous
from foedus.programs.sync_sgd import SyncSGD
from foedus.programs.tensor_parallel import TensorParallel
from foedus.programs.zeno import ZenoPlusPlus

__all__ = [
    "AdPsgd", "BASGD", "Centralized", "Choco", "ClippedGossip", "Constant", "DelayCompensation", "Discount",
    "Ditto", "EASGD", "FeatureParallel", "FedAdagrad", "FedAdam", "FedAsync", "FedAvg", "FedAvgM", "FedBN",
    "FedBuff", "FedDyn", "FedNova", "FedPer", "FedProx", "FedRep", "FedYogi", "FineTune", "Gossip", "Hierarchical",
    "Hinge", "IFCA", "LocalOnly", "ParameterServer", "Polynomial", "PushSum", "QFFL", "RobustGossip", "Scaffold",
    "StaleSynchronous", "StalenessAware", "SyncSGD", "TensorParallel", "ZenoPlusPlus",
]  # fmt: skip
