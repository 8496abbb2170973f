"""A few standard networks: plain ``nn.Module`` objects whose first weights depend on ``seed`` alone."""

from foedus.models.cnn import cnn
from foedus.models.linear import linear, logistic
from foedus.models.mlp import mlp, two_nn

__all__ = ["cnn", "linear", "logistic", "mlp", "two_nn"]
