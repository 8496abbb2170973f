"""Difference coding: both ends hold the same bits, also when answers are dropped; and what it is good for."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Transform, shapes_of
from foedus.network import CostModel, Device, Exponential, Links
from foedus.testing import integers
from foedus.transforms import QSGD, Cast, Chain, Difference, ErrorFeedback, PowerSGD, RandomK, Sign, Ternary, TopK

KEY = fd.Key(0)
D = 16


# -- lossy acceptance ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Whole:
    """Answers whole numbers, and remembers the sum of those answers that were accepted."""

    def work(self, rows: int) -> fd.Work:
        return fd.Work(trained=rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (D,)}

    def __call__(self, node, args):
        delta = torch.from_numpy(node.key.numpy().integers(-1000, 1000, D).astype(np.float32))
        wanted = node.state.get("wanted", torch.zeros(D)) + delta
        return fd.Update({"delta": delta}, 1.0, {}, node.id), {"wanted": wanted}


@dataclass(frozen=True)
class _Collects:
    """Asks everybody, takes the first two answers, and adds up what arrives from each."""

    rounds: int
    transforms: tuple[Transform, ...]
    last: dict[int, torch.Tensor] = field(default_factory=dict, compare=False)

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w, received=torch.zeros(fed.nodes, D)))
        for _ in fed.rounds(self.rounds):
            answers = await fed.map(
                _Whole(), {"w": s.w}, range(fed.nodes), transforms=self.transforms, until=fd.Quorum(2)
            )
            received = s.received.clone()
            for u in answers:
                if isinstance(u, fd.Update):
                    received[u.node] += u["delta"]
                    self.last[u.node] = u["delta"].clone()
            s = s.replace(received=received)
            await fed.commit(s)
        return s.w


SLOW = CostModel(Links(0.0, 1e9, 1e9), Device(samples_per_second=1.0, jitter=Exponential()))


def _collect(transform: Transform, rounds: int) -> tuple[_Collects, dict[int, Any], torch.Tensor]:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=5, seed=0)
    program = _Collects(rounds, (transform,))
    runtime = fd.Simulation(workers=1, network=SLOW)
    run = fd.train(program, fd.Model(fd.models.logistic(64, 10)), data, runtime=runtime, evaluate_every=rounds)
    assert run.ledger.total.dropped == 3 * rounds
    tree = run.checkpoint.tree
    return program, tree["node_states"], tree["state"].received


# Where compression rounds nothing, float32 adds these numbers exactly.
EXACT = (TopK(0.2), RandomK(0.2, unbiased=False), Cast("bfloat16"), Sign(), Chain((TopK(0.5), Cast())))


@pytest.mark.parametrize("inner", [*EXACT, QSGD(16), Ternary(), PowerSGD(1)], ids=str)
def test_what_was_accepted_and_what_is_owed_is_what_was_wanted(inner: Transform) -> None:
    """Dropped answers are as if they had never been computed."""
    _, states, received = _collect(ErrorFeedback(inner), rounds=3 if isinstance(inner, Sign) else 8)
    assert len(states) > 1
    for node, state in states.items():
        (kept,) = (s for name, s in state.items() if name.startswith("0:"))
        came, wanted = received[node] + kept["residual:delta"], state["job"]["wanted"]
        if inner in EXACT:
            assert torch.equal(came, wanted)
        else:
            torch.testing.assert_close(came, wanted, rtol=0, atol=1e-6 * 8000)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("inner", [*EXACT, QSGD(16), Ternary(), RandomK(0.2)], ids=str)
def test_both_ends_have_the_same_bits(inner: Transform, alpha: float | None) -> None:
    program, states, _ = _collect(Difference(inner, alpha), rounds=6)
    assert len(states) > 1
    for node, state in states.items():
        (name,) = (n for n in state if n.startswith("0:") and not n.endswith("@received"))
        mine, theirs = state[name]["reference:delta"], state[f"{name}@received"]["reference:delta"]
        assert mine.numpy().tobytes() == theirs.numpy().tobytes()
        if alpha is None and inner in EXACT:
            assert torch.equal(mine, program.last[node])  # the reference is what was last received


# -- by hand -------------------------------------------------------------------------------------------------------


def test_a_constant_arrives_whole_after_d_over_k_rounds() -> None:
    transform, v = Difference(TopK(0.25)), torch.tensor([8.0, 4.0, 2.0, 1.0])
    mine: Any = {}
    theirs: Any = {}
    came = []
    for t in range(5):
        sent, mine = transform.encode(fd.Update({"delta": v}, 1.0), mine, KEY.child(t))
        u, theirs = transform.receive(sent, shapes_of({"delta": v}), theirs)
        came.append(u["delta"].tolist())
    assert came == [[8, 0, 0, 0], [8, 4, 0, 0], [8, 4, 2, 0], [8, 4, 2, 1], [8, 4, 2, 1]]


def test_what_is_sent_shrinks_as_updates_settle() -> None:
    """At a limit that is not zero QSGD stays wrong by a multiple of it; the difference goes to zero."""
    v = torch.randn(200, generator=torch.Generator().manual_seed(0))
    errors = {}
    for transform in (QSGD(16), Difference(QSGD(16))):
        mine: Any = {}
        theirs: Any = {}
        for t in range(60):
            sent, mine = transform.encode(fd.Update({"delta": v}, 1.0), mine, KEY.child(t))
            u, theirs = transform.receive(sent, shapes_of({"delta": v}), theirs)
        errors[transform] = float((u["delta"] - v).norm() / v.norm())
    assert errors[QSGD(16)] > 0.1
    assert errors[Difference(QSGD(16))] < 1e-5


def test_diana_converges_where_random_k_only_hovers() -> None:
    """Nodes whose gradients do not vanish at the common optimum (DIANA, section 1): a constant rate is then enough."""
    problem = integers()
    best = torch.linalg.lstsq(problem.data.x, problem.data.y).solution.flatten()

    def distance(*transforms: Transform) -> float:
        program = fd.SyncSGD(200, lr=0.1, transforms=transforms)
        run = fd.train(program, problem.model, problem.data, evaluate_every=200)
        return float((run.vector - best).norm())

    assert distance(RandomK(0.25)) > 0.05
    assert distance(Difference(RandomK(0.25), alpha=0.25)) < 1e-4  # DIANA: omega = d/k - 1 = 3
    assert distance(Difference(TopK(0.25))) < 1e-4  # EF21
    assert distance(TopK(0.25)) > 0.05


@pytest.mark.parametrize("alpha", [0.0, -1.0, 1.5, float("nan")])
def test_a_step_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(fd.BadInput, match="alpha"):
        Difference(TopK(), alpha)


@dataclass(frozen=True)
class _Calls:
    """Asks for these jobs, one after the other, in every round, always at the first model."""

    jobs: tuple[Any, ...]
    rounds: int = 3

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            for job in self.jobs:
                await fed.map(job, {"w": s.w}, (0, 1), transforms=(ErrorFeedback(TopK(0.1)),))
            await fed.commit(s)
        return s.w


def test_two_calls_of_a_program_do_not_share_what_is_owed() -> None:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=2, seed=0)
    model = fd.Model(fd.models.logistic(64, 10))
    gradient, local = fd.Gradient(), fd.LocalSGD(batch_size=None, lr=0.1)

    def owed(*jobs: Any) -> dict[str, torch.Tensor]:
        states = fd.train(_Calls(jobs), model, data).checkpoint.tree["node_states"][0]
        return {name: v for kept in states.values() for name, v in kept.items() if name.startswith("residual:")}

    both = owed(gradient, local)
    alone = owed(gradient) | owed(local)
    assert set(both) == {"residual:gradient", "residual:delta"}
    assert all(torch.equal(both[k], alone[k]) for k in alone)
