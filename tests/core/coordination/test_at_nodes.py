"""Commits whose evaluation takes place at the nodes, metrics beside the evaluated ones, and a program's own draws."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import check_program, small


@dataclass(frozen=True)
class Shift:
    """Evaluates ``args["w"]`` plus the node's id times ``args["by"]``."""

    def work(self, rows):
        return fd.Work(evaluated=rows)

    def parts(self, model):
        return {}

    def __call__(self, node, args):
        return fd.Evaluate(held_out=True)(node, {"w": args["w"] + node.id * args["by"]})


@dataclass(frozen=True)
class Personal:
    rounds: int = 3
    node_evaluation = Shift()

    async def __call__(self, fed):
        s = await fed.begin(lambda w: fd.State(w=w))
        for t in fed.rounds(self.rounds):
            s = s.replace(w=s.w + 0.01 * torch.randn(len(s.w), generator=fed.draw("step").torch()))
            await fed.commit(s, at_nodes={"w": s.w, "by": torch.tensor(0.1)}, extra={"sent": float(t)})
        return s.w


def test_the_record_is_of_all_nodes_rows() -> None:
    problem = small()
    run = fd.train(Personal(1), problem.model, problem.data)

    found = []

    @dataclass(frozen=True)
    class ByHand:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=run.vector))
            u = await fed.map(Shift(), {"w": s.w, "by": torch.tensor(0.1)}, range(fed.nodes))
            found.extend(u)
            await fed.commit(s)

    fd.train(ByHand(), problem.model, problem.data)
    rows = sum(problem.data.sizes)
    for name in ("loss", "accuracy"):
        expected = sum(u.metrics[name] * u.weight for u in found) / rows
        assert getattr(run.history[0], name) == pytest.approx(expected)
        assert run.node_metrics[name] == [u.metrics[name] for u in found]
    assert run.history[0].metrics["sent"] == 0.0
    assert "node_worst_decile_accuracy" in run.history[0].metrics
    assert run.ledger.total.jobs == 0  # a measurement costs nobody


def test_it_takes_place_when_an_evaluation_is_due_and_once() -> None:
    problem = small()
    run = fd.train(Personal(5), problem.model, problem.data, evaluate_every=2)
    assert [r.accuracy is not None for r in run.history] == [False, True, False, True, True]
    assert [r.metrics["sent"] for r in run.history] == [0.0, 1.0, 2.0, 3.0, 4.0]
    # Asked for at the nodes more often, it is done more often; at the end of a stopped run in any case.
    run = fd.train(Personal(5), problem.model, problem.data, evaluate_every=4, evaluate_nodes=2)
    assert [r.accuracy is not None for r in run.history] == [False, True, False, True, True]
    run = fd.train(Personal(5), problem.model, problem.data, evaluate_every=9, stop=fd.AfterCommits(2))
    assert [r.accuracy is not None for r in run.history] == [False, True]


def test_draws_of_a_program_are_part_of_the_checkpoint() -> None:
    check_program(Personal(), workers=(1,))
