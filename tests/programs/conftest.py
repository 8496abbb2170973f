"""What several tests of programs need."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.network import CostModel, Device, Exponential, Links, Steady

FREE = Links(0.0, math.inf, math.inf)


@dataclass(frozen=True)
class Runtimes:
    """``random``: exponential workers. ``even``: all jobs take a time in proportion to their rows, messages none."""

    random: fd.Simulation = fd.Simulation(network=CostModel(FREE, Device(samples_per_second=1.0, jitter=Exponential())))
    even: fd.Simulation = fd.Simulation(network=CostModel(FREE, Device(samples_per_second=1.0, jitter=Steady())))


@pytest.fixture
def runtimes() -> Runtimes:
    return Runtimes()


@dataclass(frozen=True)
class Breaks:
    """The job ``of``, which raises at the nodes in ``nodes`` from their n-th on (counted from 0)."""

    of: fd.Job
    nodes: tuple[int, ...]
    after: int = 0

    def work(self, rows):
        return self.of.work(rows)

    def parts(self, model):
        return self.of.parts(model)

    def __call__(self, node, args):
        done = int(node.state["done"]) if "done" in node.state else 0
        if node.id in self.nodes and done >= self.after:
            raise ZeroDivisionError("broken on purpose")
        update, state = self.of(node, args)
        return update, {**state, "done": torch.tensor(done + 1)}


@pytest.fixture
def with_failures():
    """``with_failures(program, nodes, after)``: the program, whose stream's jobs break at these nodes."""

    def make(program, nodes, after=0):
        class Failing(type(program)):
            async def __call__(self, fed):
                stream = fed.stream
                fed.stream = lambda job, **options: stream(Breaks(job, nodes, after), **options)
                return await super().__call__(fed)

        return Failing(**{k: getattr(program, k) for k in program.__dataclass_fields__})

    return make
