"""Momentum at workers: a running mean of what a node would have sent."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Identity, Sensitivity, prepare
from foedus.testing import check_transform, small
from foedus.transforms import Clip, Gaussian, RandomK, TopK, WorkerMomentum

KEY = fd.Key(0)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_it_keeps_the_laws(beta: float) -> None:
    check_transform(WorkerMomentum(beta))


def _sent(transform: WorkerMomentum, values: list[float], weights: list[float] | None = None) -> list[float]:
    """What is sent of a node's updates, per unit of weight; of sums over rows where there are weights."""
    state: fd.NodeState = {}
    out = []
    for i, v in enumerate(values):
        w = 1.0 if weights is None else weights[i]
        u = fd.Update({"delta": torch.tensor([v * w]), "buffers": torch.tensor([v * w])}, w, summed=weights is not None)
        came, state = transform.encode(u, state, KEY)
        assert torch.equal(came["buffers"], u["buffers"])
        out.append(float(came.value()["delta"]))
    return out


def test_it_is_a_running_mean_that_begins_with_the_first() -> None:
    assert _sent(WorkerMomentum(0.5), [8.0, 4.0, 0.0, 0.0]) == [8.0, 6.0, 3.0, 1.5]
    assert _sent(WorkerMomentum(0.0), [8.0, 4.0, -2.0]) == [8.0, 4.0, -2.0]


def test_sums_are_means_of_values() -> None:
    """However many rows a round has, a row counts alike."""
    plain = _sent(WorkerMomentum(0.75), [8.0, 4.0, -4.0])
    assert _sent(WorkerMomentum(0.75), [8.0, 4.0, -4.0], [4.0, 1.0, 16.0]) == plain


def test_what_is_noise_becomes_less() -> None:
    """Independent noise is sent with sqrt((1 - beta) / (1 + beta)) of its deviation, once the first is forgotten."""
    draws = torch.randn(4000, generator=torch.Generator().manual_seed(0)).tolist()
    sent = torch.tensor(_sent(WorkerMomentum(0.8), draws))[50:]
    assert float(sent.std()) == pytest.approx(math.sqrt(0.2 / 1.8), rel=0.1)


def test_a_bound_stays_a_bound() -> None:
    bound = Sensitivity("l2", 2.0)
    assert WorkerMomentum(0.9).sensitivity(bound) == bound
    assert WorkerMomentum(0.9).sensitivity(None) is None


@dataclass(frozen=True)
class Together:
    """Node 0 sends what it likes, once it knows what the others send."""

    members = frozenset({0})

    def answers(self, gathered, memory):
        u = gathered.updates[0]
        others = [gathered.updates[n].value()["gradient"] for n in gathered.updates if n]
        return {0: u.with_parts({**u.parts, "gradient": -u.weight * torch.stack(others).mean(0)})}, memory


@dataclass(frozen=True)
class Colludes(fd.Policy):
    collusion = Together()


def test_nodes_that_act_together_send_what_they_like_in_place_of_a_mean() -> None:
    """They know the others' means, and nobody sees that theirs is none: so robust rules are attacked in the papers."""
    assert type(WorkerMomentum(0.9).unbounded()) is Identity
    problem = small(3)
    program = fd.SyncSGD(3, lr=0.5, aggregate=fd.Mean(weighted=False), transforms=(WorkerMomentum(0.9),))
    alone = fd.train(program, problem.model, problem.data)
    attacked = fd.train(program, problem.model, problem.data, policy=Colludes())
    initial = problem.model.initial
    assert float((attacked.vector - initial).norm()) < 0.7 * float((alone.vector - initial).norm())


def test_its_place_is_before_what_compresses() -> None:
    layout = small(2).model.layout
    prepare((Clip(1.0), WorkerMomentum(0.9), Gaussian(0.1), TopK(0.1)), layout)
    with pytest.raises(fd.BadInput, match="cannot come before WorkerMomentum"):
        prepare((RandomK(0.1), WorkerMomentum(0.9)), layout)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, math.nan])
def test_beta_is_a_share(beta: float) -> None:
    with pytest.raises(fd.BadInput, match=r"must lie in \[0, 1\)"):
        WorkerMomentum(beta)


def test_one_node_with_momentum_is_heavy_ball() -> None:
    """w <- w - lr m, m <- beta m + (1 - beta) g is the heavy ball with lr (1 - beta), but for its first step."""
    problem = small(1)
    program = fd.SyncSGD(3, lr=0.5, transforms=(WorkerMomentum(0.5),))
    run = fd.train(program, problem.model, problem.data)

    async def by_hand(fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w, m=torch.zeros(0)))
        for t in fed.rounds(3):
            total = await fed.map_reduce(fd.Gradient(), {"w": s.w}, (0,), fd.Mean())
            m = 0.5 * s.m + 0.5 * total["gradient"] if t else total["gradient"]
            w = s.w.clone()
            w[: len(m)].sub_(m, alpha=0.5)
            w[len(m) :].add_(total["buffers"])
            s = s.replace(w=w, m=m)
            await fed.commit(s)
        return s.w

    other = fd.train(by_hand, problem.model, problem.data)
    torch.testing.assert_close(run.vector, other.vector, rtol=1e-6, atol=1e-7)


def test_a_stopped_run_goes_on_with_its_momentum() -> None:
    problem = small(3)
    program = fd.SyncSGD(4, lr=0.5, transforms=(WorkerMomentum(0.9),))
    whole = fd.train(program, problem.model, problem.data)
    half = fd.train(program, problem.model, problem.data, stop=fd.AfterCommits(2))
    assert fd.train(program, problem.model, problem.data, resume=half).sha256 == whole.sha256
