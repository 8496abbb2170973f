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


@pytest.mark.parametrize(
    ("inputs", "channels", "last"), [((3, 32, 32), 3, 64 * 8 * 8), ((1, 10, 7), 1, 128), (64, 1, 256)]
)
def test_other_images(inputs, channels, last):
    module = cnn(5, inputs=inputs)
    shape = (channels, 8, 8) if inputs == 64 else inputs
    assert module[2].in_channels == channels
    assert module[9].in_features == last
    x = torch.rand(2, *shape)
    assert module(x).shape == (2, 5)
    assert torch.equal(module(x.flatten(1)), module(x))


def test_the_default_is_the_papers():
    assert torch.equal(cnn(inputs=(1, 28, 28))[9].weight, cnn()[9].weight)
    assert torch.equal(cnn(inputs=784)[9].weight, cnn()[9].weight)
