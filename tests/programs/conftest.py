"""What tests of decentralised programs share: models that start where one wants, and what every peer holds."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import half_squares


@dataclass(frozen=True)
class Once:
    """A learning rate for the first round alone: the peers start there, and then nothing but mixing moves them."""

    lr: float

    def __call__(self, t: int) -> float:
        return self.lr if t == 0 else 0.0


@dataclass(frozen=True)
class Start:
    """A problem on which one full-batch step with the rate ``once`` takes node i from 0 to row i of a matrix."""

    model: fd.Model
    data: object
    once: Once


@pytest.fixture
def starting_at():
    """``starting_at(values_ND)``. Node i holds D rows, the unit vectors, with the loss (w_k - values_ik)^2 / 2."""

    def make(values):
        values = torch.as_tensor(values, dtype=torch.float32)
        values = values[:, None] if values.dim() == 1 else values
        n, d = values.shape
        module = torch.nn.Linear(d, 1, bias=False)
        torch.nn.init.zeros_(module.weight)
        x, y = torch.eye(d).repeat(n, 1), values.reshape(-1, 1)
        data = fd.data.arrays(x, y, node=[i for i in range(n) for _ in range(d)]).split(fd.data.Natural())
        return Start(fd.Model(module, half_squares), data, Once(float(d)))

    return make


@pytest.fixture
def held():
    """``held(run)``: the state of every peer at the last commit."""
    return lambda run: [b["state"] for b in run.checkpoint.tree["extra"]["peers"]["books"]]


@pytest.fixture
def at_every_commit():
    """``at_every_commit(program, start, rounds)``: one run for every commit, stopped there."""

    def runs(program, start, rounds, **options):
        for t in range(1, rounds + 1):
            yield fd.train(program, start.model, start.data, stop=fd.AfterCommits(t), **options)

    return runs
