"""Who does what, and when: one paper, one file."""

from foedus.programs.ad_psgd import AdPsgd
from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.choco import Choco
from foedus.programs.fedavg import FedAvg
from foedus.programs.gossip import Gossip
from foedus.programs.push_sum import PushSum
from foedus.programs.sync_sgd import SyncSGD

__all__ = ["AdPsgd", "Centralized", "Choco", "FedAvg", "Gossip", "LocalOnly", "PushSum", "SyncSGD"]
