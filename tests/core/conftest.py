"""Small federations and models that the tests of the core share."""

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd


def make_federation(nodes=6, rows=60, seed=0, test=0.2, split=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, 4)).astype("f"), np.arange(rows) % 3
    return fd.data.arrays(x, y, test=test).split(fd.data.IID(), nodes=nodes, seed=split)


@pytest.fixture
def federation():
    return make_federation


@pytest.fixture
def data():
    return make_federation()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 3)))
