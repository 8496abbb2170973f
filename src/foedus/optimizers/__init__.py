"""How the server steps: an aggregated update is a pseudo-gradient (Reddi et al. 2021, arXiv:2003.00295)."""

from foedus.optimizers.adagrad import Adagrad
from foedus.optimizers.adam import Adam
from foedus.optimizers.base import ServerOptimizer
from foedus.optimizers.sgd import SGD
from foedus.optimizers.yogi import Yogi

__all__ = ["SGD", "Adagrad", "Adam", "ServerOptimizer", "Yogi"]
