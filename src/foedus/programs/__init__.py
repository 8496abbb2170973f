"""Who does what, and when: one paper, one file."""

from foedus.programs.ad_psgd import AdPsgd
from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.choco import Choco
from foedus.programs.ditto import Ditto
from foedus.programs.feature_parallel import FeatureParallel
from foedus.programs.fedavg import FedAvg
from foedus.programs.fedavgm import FedAvgM
from foedus.programs.fedbn import FedBN
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
from foedus.programs.push_sum import PushSum
from foedus.programs.qffl import QFFL
from foedus.programs.scaffold import Scaffold
from foedus.programs.sync_sgd import SyncSGD
from foedus.programs.tensor_parallel import TensorParallel

__all__ = [
    "AdPsgd", "Centralized", "Choco", "Ditto", "FeatureParallel", "FedAdagrad", "FedAdam", "FedAvg", "FedAvgM",
    "FedBN", "FedDyn", "FedNova", "FedPer", "FedProx", "FedRep", "FedYogi", "FineTune", "Gossip", "Hierarchical",
    "IFCA", "LocalOnly", "PushSum", "QFFL", "Scaffold", "SyncSGD", "TensorParallel",
]  # fmt: skip
