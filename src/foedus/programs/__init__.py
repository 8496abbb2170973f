"""Who does what, and when: one paper, one file."""

from foedus.programs.baselines import Centralized, LocalOnly
from foedus.programs.discounts import Constant, Discount, Hinge, Polynomial, StalenessAware
from foedus.programs.easgd import EASGD
from foedus.programs.fedasync import FedAsync
from foedus.programs.fedavg import FedAvg
from foedus.programs.fedbuff import FedBuff
from foedus.programs.parameter_server import DelayCompensation, ParameterServer
from foedus.programs.stale_synchronous import StaleSynchronous
from foedus.programs.sync_sgd import SyncSGD

__all__ = [
    "Centralized", "Constant", "DelayCompensation", "Discount", "EASGD", "FedAsync", "FedAvg", "FedBuff", "Hinge",
    "LocalOnly", "ParameterServer", "Polynomial", "StaleSynchronous", "StalenessAware", "SyncSGD",
]  # fmt: skip
