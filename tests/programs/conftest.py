"""What several tests of programs need: models that start where one wants, what every peer holds, workers in time."""

import math
from dataclasses import dataclass, fields

import pytest
import torch

import foedus as fd
from foedus.network import CostModel, Device, Exponential, Links, Steady
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
def halves():
    """``halves(nodes)``: the digits 0-4 at even nodes and 5-9 at odd ones, and a network that learns them."""

    def make(nodes):
        digits = fd.data.load("digits")
        pair = torch.arange(len(digits)) % (nodes // 2)
        data = fd.data.arrays(digits.x, digits.y, node=(2 * pair + (digits.y >= 5)).tolist(), test=0.2)
        torch.manual_seed(0)
        return fd.Model(fd.models.mlp(64, 32, 10)), data.split(fd.data.Natural())

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

        return Failing(**{f.name: getattr(program, f.name) for f in fields(program)})

    return make


@dataclass(frozen=True)
class Liars(fd.Policy):
    """Nodes that answer, and as peers send, what they would times ``factor``."""

    nodes: tuple[int, ...]
    factor: float = -4.0
    as_peers: bool = False

    @property
    def speaks(self):
        return self.as_peers

    def lie(self, parts):
        return {k: v * self.factor for k, v in parts.items()}

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        lies = asked.node in self.nodes and not self.as_peers  # a peer's answer is for itself
        return (update.with_parts(self.lie(update.parts)) if lies else update), state

    def says(self, said, parts, heard):
        return self.lie(parts) if said.node in self.nodes else parts


@pytest.fixture
def liars():
    """``liars(nodes, factor, as_peers)``: a policy by which these nodes lie."""
    return Liars
