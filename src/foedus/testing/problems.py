"""Problems small enough for a law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foedus.core.types.data import FederatedDataset
from foedus.core.types.model import Model
from foedus.core.types.torch_process import seeded
from foedus.data import Dirichlet, Natural, arrays, load


@dataclass(frozen=True)
class Problem:
    """A model and data divided among nodes, small enough for a law."""

    model: Model
    data: FederatedDataset


def half_squares(output: Tensor, target: Tensor) -> Tensor:
    """Half of the squared error of each row (N,): its gradient has no factor 2, so integers stay integers."""
    return (output - target.view_as(output)).square().flatten(1).sum(1) / 2


def quadratic(start: float = 0.0) -> Problem:
    """Two nodes with f1 = x^2 / 2 and f2 = 2 (x - 1)^2: one weight x, equal weights, optimum 0.8.

    A row (s, s b) has the loss (s x - s b)^2 / 2, so node 1 holds the row (1, 0) and node 2 the row (2, 2).
    """
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, start)
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]])
    return Problem(Model(module, half_squares), arrays(x, y, node=[0, 1], name="quadratic").split(Natural()))


def integers(sizes: Sequence[int] = (1, 1, 2, 4, 8, 16)) -> Problem:
    """Linear regression on 32 rows of small integers, divided into uneven nodes: float32 computes it exactly.

    Rows are the 32 patterns of five signs, in four columns, so that the Hessian of the mean loss is the identity:
    with a learning rate of 1/2 a round costs one binary digit, and some ten rounds stay within the 24 that there are.
    ``sizes`` are the rows of each node and sum to 32. Where nodes divide by their own rows they must be powers of two.
    """
    assert sum(sizes) == 32, "the sizes of the nodes must sum to 32"
    order = [(11 * i) % 32 for i in range(32)]  # so that a node's rows are no pattern of their own
    x = torch.tensor([[1.0 if i >> j & 1 else -1.0 for j in range(4)] for i in order])
    noise = torch.tensor([float(7 * i % 5 - 2) for i in range(32)])
    y = (x @ torch.tensor([3.0, -2.0, 1.0, 4.0]) + noise)[:, None]
    node = [k for k, n in enumerate(sizes) for _ in range(n)]
    module = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(module.weight)
    return Problem(Model(module, half_squares), arrays(x, y, node=node, name="integers").split(Natural()))


class _Centre(nn.Module):
    """Subtracts a running mean: a float buffer and an integer one, as batch norm has, that take a batch of one row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.mean: Tensor
        self.batches: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches += 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


def small(nodes: int = 6, rows: int = 150) -> Problem:
    """Digits over uneven nodes, and a network with dropout, a float buffer and an integer one."""
    digits = load("digits")
    assert isinstance(digits.x, Tensor)
    assert isinstance(digits.test_x, Tensor)
    data = arrays(digits.x[:rows, ::4], digits.y[:rows], test=(digits.x[-60:, ::4], digits.y[-60:]), classes=10)
    with seeded(0):
        module = nn.Sequential(nn.Linear(16, 8), _Centre(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 10))
    return Problem(Model(module), data.split(Dirichlet(alpha=1.0), nodes=nodes, seed=0))
