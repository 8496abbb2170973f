"""Residual networks with group norm."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foedus.core.errors import BadInput
from foedus.models import resnet


def count(channels, classes, width, blocks):
    """3x3 kernels, two numbers a channel for every norm, and a linear layer; shortcuts have none."""
    stage = [width, 2 * width, 4 * width]
    first = [9 * a * b + 9 * b * b for a, b in zip([width, *stage], stage, strict=False)]
    others = [(blocks - 1) * 18 * b * b for b in stage]
    norms = 2 * (width + 2 * blocks * sum(stage))
    return 9 * channels * width + sum(first) + sum(others) + norms + (4 * width + 1) * classes


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("channels", "classes", "width"), [(3, 10, 16), (1, 62, 8), (4, 2, 5)])
def test_parameters_by_the_formula(channels, classes, width, blocks):
    module = resnet(channels, classes, width=width, blocks=blocks)
    assert sum(p.numel() for p in module.parameters()) == count(channels, classes, width, blocks)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6 * blocks + 2


def test_resnet_20_has_the_quarter_million_of_the_paper():
    # He et al., 2015, table 6: 0.27 million; a batch norm has as many trained parameters as a group norm.
    assert count(3, 10, 16, 3) == 269_722


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 17), st.integers(8, 17), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4))
def test_any_image_from_eight_pixels(height, width, rows, channels, classes):
    module = resnet(channels, classes, width=4)
    assert module(torch.rand(rows, channels, height, width)).shape == (rows, classes)


@pytest.mark.parametrize("training", [True, False])
def test_a_row_does_not_see_the_others_of_its_batch(training):
    module = resnet(3, 10, width=8).train(training)
    g = torch.Generator().manual_seed(0)
    a, b, row = (torch.rand(n, 3, 12, 9, generator=g) for n in (5, 5, 1))
    out = module(torch.cat([a, row]))
    assert torch.equal(out[5], module(torch.cat([100 * b, row]))[5])
    torch.testing.assert_close(out[5:], module(row), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(out[:5], out[5:], atol=1e-3)


def test_there_is_no_batch_norm_and_no_buffer():
    module = resnet()
    assert not list(module.buffers())
    assert {type(m) for m in module.modules() if "Norm" in type(m).__name__} == {nn.GroupNorm}


def test_a_shortcut_is_the_identity_or_every_second_pixel_and_zeros():
    module = resnet(3, 10, width=4)
    with torch.no_grad():
        for block in module.stages.modules():
            if hasattr(block, "norm2"):
                block.norm2.weight.zero_()  # what stands beside the shortcut is then nothing
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(module.stages[0](x), x)
    y = module.stages[1](x)
    assert torch.equal(y[:, :4], x[:, :, ::2, ::2])
    assert torch.equal(y[:, 4:], torch.zeros(2, 4, 4, 4))


def test_the_shape_of_an_image_says_the_channels():
    assert resnet(inputs=(1, 28, 28)).stem.in_channels == 1
    assert resnet(inputs=[3, 32, 32], classes=5).head.out_features == 5
    assert resnet(inputs=64).stem.in_channels == 1
    assert resnet(2, inputs=(2, 8, 8)).stem.in_channels == 2
    assert resnet().stem.in_channels == 3


@pytest.mark.parametrize(("inputs", "shape"), [(64, (1, 8, 8)), ((2, 9, 11), (2, 9, 11))])
def test_flat_rows_are_images_where_their_shape_is_known(inputs, shape):
    module, x = resnet(inputs=inputs, width=4), torch.rand(3, *shape)
    assert torch.equal(module(x.flatten(1)), module(x))
    with pytest.raises(RuntimeError, match="unflatten"):
        module(torch.rand(3, 63))


@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (2, 1, 8, 8), (2, 192), (3, 8, 8)])
def test_other_shapes_are_named(shape):
    with pytest.raises(BadInput, match=r"\(rows, 3, height, width\) of at least 8 x 8 pixels, got shape"):
        resnet()(torch.zeros(shape))
