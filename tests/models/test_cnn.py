"""The CNN of the FedAvg paper."""

import pytest
import torch

from foedus.models import cnn


def test_parameters_layer_by_layer():
    sizes = [p.numel() for p in cnn().parameters()]
    assert sizes == [5 * 5 * 32, 32, 5 * 5 * 32 * 64, 64, 3136 * 512, 512, 512 * 10, 10]
    assert sum(sizes) == 1_663_370
    assert sum(p.numel() for p in cnn(62).parameters()) == 1_663_370 + 52 * 513


def test_flat_images_and_square_ones_give_the_same():
    module, x = cnn(), torch.rand(3, 784)
    out = module(x)
    assert out.shape == (3, 10)
    assert torch.equal(module(x.view(3, 1, 28, 28)), out)


@pytest.mark.parametrize("shape", [(2, 64), (2, 1568), (2, 2, 28, 28)])
def test_other_shapes_are_an_error_and_never_another_batch(shape):
    with pytest.raises(RuntimeError, match="28"):
        cnn()(torch.zeros(shape))
