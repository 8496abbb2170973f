"""A few standard networks, and what one does with any network before and after training.

The networks are plain ``nn.Module`` objects whose first weights depend on ``seed`` alone.
"""

from foedus.models.char_lstm import char_lstm
from foedus.models.cnn import cnn
from foedus.models.freeze import freeze
from foedus.models.linear import linear, logistic
from foedus.models.mlp import mlp, two_nn
from foedus.models.resnet import resnet
from foedus.models.to_onnx import to_onnx
from foedus.models.warm_start import warm_start

__all__ = [
    "char_lstm", "cnn", "freeze", "linear", "logistic", "mlp", "resnet", "to_onnx", "two_nn", "warm_start",
]  # fmt: skip
