"""Who does what, and when: one paper, one file."""

from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.feature_parallel import FeatureParallel
from foedus.programs.fedavg import FedAvg
from foedus.programs.sync_sgd import SyncSGD
from foedus.programs.tensor_parallel import TensorParallel

__all__ = ["Centralized", "FeatureParallel", "FedAvg", "LocalOnly", "SyncSGD", "TensorParallel"]
