"""FedBuff: its formula, FedAvg as its special case, laws, refusals, failures."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.jobs import InverseTime
from foedus.optimizers import Adam
from foedus.programs import Constant, FedBuff, Polynomial
from foedus.testing import check_program, half_squares, integers, small

MOBILE = fd.Simulation(network=fd.network.MOBILE)
LOCAL = fd.LocalSGD(epochs=2, batch_size=7, lr=0.1)


@pytest.mark.parametrize(
    "program",
    [
        FedBuff(4, 3, local=LOCAL),
        FedBuff(4, 1, local=LOCAL, concurrency=3),
        FedBuff(4, 5, Constant(), LOCAL, fd.Median(), Adam(lr=0.05), concurrency=2),
        FedBuff(4, 3, local=LOCAL, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)),
    ],
    ids=["3", "1", "median", "compressed"],
)
def test_it_keeps_the_laws_of_programs(program) -> None:
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert [r.cohort for r in run.history] == [program.buffer] * 4


@pytest.mark.parametrize("make", [small, integers], ids=["small", "integers"])
@pytest.mark.parametrize("aggregate", [fd.Mean(weighted=False), fd.Mean(), fd.Median()])
@pytest.mark.parametrize("server", [fd.optimizers.SGD(), Adam(lr=0.05)])
def test_with_all_nodes_in_the_buffer_it_is_fedavg_bit_by_bit(make, aggregate, server) -> None:
    problem = make()
    n = len(problem.data.sizes)
    a = fd.train(FedBuff(3, n, local=LOCAL, aggregate=aggregate, server=server), problem.model, problem.data,
                 runtime=MOBILE)  # fmt: skip
    b = fd.train(fd.FedAvg(3, local=LOCAL, aggregate=aggregate, server=server), problem.model, problem.data,
                 runtime=MOBILE)  # fmt: skip
    assert a.sha256 == b.sha256
    assert a.staleness == {0: 3 * n}
    for books in ("virtual_s", "waiting_s", "wire_s", "compute_s"):
        assert [getattr(r, books) for r in a.history] == pytest.approx([getattr(r, books) for r in b.history])


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_step_is_that_of_the_formula(runtimes, power: float) -> None:
    """Three equal nodes and a buffer of two, step by step in Python.

    Two answer and fill the buffer, the third's answer waits for the next to come, one of those that began anew.
    """
    targets, lr = [1.0, -2.0, 4.0], 0.5
    data = fd.data.arrays(torch.ones(3, 1), torch.tensor(targets)[:, None], node=[0, 1, 2]).split(fd.data.Natural())
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 2.0)
    local = fd.LocalSGD(epochs=1, batch_size=None, lr=lr)
    rounds = 7
    run = fd.train(FedBuff(rounds, 2, Polynomial(power), local), fd.Model(module, half_squares), data,
                   runtime=runtimes.even)  # fmt: skip

    w, version, at_work = 2.0, 0, [(1.0, k, 2.0, 0) for k in range(3)]  # when done, node, given, since
    buffer, waiting, steps = [], [], 0
    while steps < rounds:
        at_work.sort()
        now, k, given, since = at_work.pop(0)
        delta = lr * (targets[k] - given)
        buffer.append(delta * (1 + version - since) ** -power)
        waiting.append(k)
        if len(buffer) == 2:
            w += sum(buffer) / 2
            version, steps = version + 1, steps + 1
            at_work += [(now + 1.0, j, w, version) for j in waiting]
            buffer, waiting = [], []
    assert float(run.vector) == pytest.approx(w, abs=1e-6)
    assert max(run.staleness) == 1


@dataclass(frozen=True)
class Fading(fd.Mean):
    """A mean that halves from step to step: it remembers how many there were."""

    def init(self, shapes):
        return {"steps": 0}

    def read(self, acc, state):
        parts, _ = super().read(acc, None)
        return {k: v / 2 ** state["steps"] for k, v in parts.items()}, {"steps": state["steps"] + 1}


def test_what_an_aggregator_remembers_is_in_the_state() -> None:
    problem = small()
    run = check_program(
        FedBuff(4, 6, local=LOCAL, aggregate=Fading()), problem.model, problem.data, MOBILE, workers=(1,)
    )
    assert run.checkpoint.tree["state"].joined == {"steps": 4}
    assert run.sha256 == fd.train(fd.FedAvg(4, local=LOCAL, aggregate=Fading()), *vars(problem).values()).sha256


def test_a_buffer_larger_than_the_nodes_is_refused() -> None:
    problem = small()
    with pytest.raises(fd.BadInput, match="a buffer larger than the nodes: 7 updates never come from 6 nodes"):
        fd.train(FedBuff(1, 7), problem.model, problem.data)


def test_skip_goes_on_until_the_buffer_cannot_fill(with_failures) -> None:
    problem = small()
    program = with_failures(FedBuff(4, 4, local=LOCAL, failure="skip"), (1, 5), after=1)
    run = check_program(program, problem.model, problem.data, MOBILE, workers=(1,))
    assert {n for n, c in run.ledger.nodes.items() if c.dropped} == {1, 5}
    one_by_one = with_failures(FedBuff(4, 4, local=LOCAL, concurrency=1, failure="skip"), (1, 5))
    assert len(check_program(one_by_one, problem.model, problem.data, MOBILE, workers=(1,)).history) == 4
    too_few = with_failures(FedBuff(4, 5, local=LOCAL, failure="skip"), (1, 5), after=1)
    with pytest.raises(fd.NodeFailed, match=r"too few nodes are left.*2 have failed"):
        fd.train(too_few, problem.model, problem.data, runtime=MOBILE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FedBuff(1, 0), "buffer"),
        (lambda: FedBuff(1, concurrency=0), "concurrency"),
        (lambda: FedBuff(1, local=fd.LocalSGD(lr=InverseTime(0.1))), "schedule"),
        (lambda: fd.train(FedBuff(1, 2, concurrency=7), *vars(small()).values()), "only 6: lower concurrency"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)
