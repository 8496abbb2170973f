"""Fully connected networks."""

import torch
from torch import nn

from foedus.models import mlp, two_nn


def test_all_ways_to_give_widths_are_the_same():
    a, b, c = mlp(64, 32, 10, seed=5), mlp(widths=[64, 32, 10], seed=5), mlp(widths=(64, 32, 10), seed=5)
    d = mlp(inputs=64, hidden=[32], outputs=10, seed=5)
    x = torch.randn(3, 64)
    assert torch.equal(a(x), b(x))
    assert torch.equal(a(x), c(x))
    assert torch.equal(a(x), d(x))


def test_hidden_widths_by_name():
    assert [m.out_features for m in mlp(inputs=9, hidden=(5, 4), outputs=2)[::2]] == [5, 4, 2]
    assert [type(m) for m in mlp(inputs=9, hidden=[], outputs=2)] == [nn.Linear]
    assert [m.out_features for m in mlp(inputs=9, outputs=2)[::2]] == [64, 2]


def test_relu_stands_between_layers_and_not_after_the_last():
    module = mlp(6, 5, 4, 3)
    assert [type(m) for m in module] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [(m.in_features, m.out_features) for m in module[::2]] == [(6, 5), (5, 4), (4, 3)]


def test_two_widths_are_one_layer():
    assert [type(m) for m in mlp(6, 3)] == [nn.Linear]


def test_the_2nn_of_the_paper():
    module = two_nn()
    assert sum(p.numel() for p in module.parameters()) == 199_210
    assert [m.out_features for m in module if isinstance(m, nn.Linear)] == [200, 200, 10]
    assert module(torch.zeros(2, 784)).shape == (2, 10)
    assert two_nn(64, 3)(torch.zeros(2, 64)).shape == (2, 3)
