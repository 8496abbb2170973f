"""Linear models."""

import pytest
import torch

from foedus.core.errors import BadInput
from foedus.core.types.model import Model
from foedus.models import linear, logistic


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (13, 1), (5, 4)])
def test_linear_is_affine_with_as_many_parameters(inputs, outputs):
    module = linear(inputs, outputs)
    assert sum(p.numel() for p in module.parameters()) == (inputs + 1) * outputs
    a, b = torch.randn(2, 3, inputs)
    assert module(a).shape == (3, outputs)
    assert torch.allclose(module(a) - module(b), module(a - b) - module(torch.zeros(1, inputs)), atol=1e-5)


def test_logistic_gives_logits():
    module = logistic(784, 10)
    assert sum(p.numel() for p in module.parameters()) == 7850
    out = module(torch.randn(50, 784))
    assert out.shape == (50, 10)
    assert (out < 0).any()  # logits, not probabilities


def test_one_logit_is_binary_logistic_regression():
    x, y = torch.randn(20, 4), torch.arange(20) % 2
    Model(logistic(4, 1), loss="bce").check(x, y)
    with pytest.raises(BadInput, match="bce needs one output"):
        Model(logistic(4, 2), loss="bce").check(x, y)
