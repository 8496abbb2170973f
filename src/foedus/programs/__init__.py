"""Who does what, and when: one paper, one file."""

from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.fedavg import FedAvg
from foedus.programs.sync_sgd import SyncSGD

__all__ = ["Centralized", "FedAvg", "LocalOnly", "SyncSGD"]
