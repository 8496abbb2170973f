"""What jobs and transforms hand over may share memory with what they keep; the fold must not write through it."""

from dataclasses import dataclass

import torch

import foedus as fd
from foedus.core.types.data import FederatedDataset
from foedus.core.types.transform import Identity
from foedus.testing import Problem, integers


@dataclass(frozen=True)
class _Keeps:
    """Answers the very tensor that it keeps as its state, or that it was given."""

    what: str

    def work(self, rows: int) -> fd.Work:
        return fd.Work(trained=rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (model.layout.parameters,)}

    def __call__(self, node: fd.NodeView, args):
        if self.what == "args":
            return fd.Update({"delta": args["w"]}, len(node.rows), {}, node.id), node.state
        kept = node.state.get("kept", torch.ones(node.model.layout.parameters))
        return fd.Update({"delta": kept}, len(node.rows), {}, node.id), {"kept": kept}


@dataclass(frozen=True)
class _Remembers(Identity):
    """Keeps the update that it sends."""

    def encode(self, u, state, key):
        return u, {"last": u["delta"]}


class _Calls:
    def __init__(self, job, transforms=()) -> None:
        self.job, self.transforms = job, transforms
        self.deltas: list[torch.Tensor] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w + 1))
        for _ in fed.rounds(3):
            total = await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), fd.Mean(), transforms=self.transforms)
            self.deltas.append(total["delta"].clone())
            await fed.commit(s)


def _deltas(job, transforms=()) -> list[list[float]]:
    problem = integers()
    program = _Calls(job, transforms)
    run = fd.train(program, problem.model, problem.data)
    for state in run.checkpoint.tree["node_states"].values():
        for owner in state.values():
            for name, t in owner.items():
                assert torch.equal(t, torch.ones(4)), f"the fold wrote into the node state {name!r}: {t}"
    return [d.tolist() for d in program.deltas]


def test_a_job_may_answer_what_it_keeps() -> None:
    assert _deltas(_Keeps("state")) == [[1.0] * 4] * 3


def test_a_job_may_answer_what_it_was_given() -> None:
    assert _deltas(_Keeps("args")) == [[1.0] * 4] * 3


def test_a_transform_may_keep_what_it_sends() -> None:
    assert _deltas(_Keeps("args"), (_Remembers(),)) == [[1.0] * 4] * 3


@dataclass(frozen=True)
class _KeepsItsDelta:
    """Trains, and keeps what it answers: both are views of the resident model, which the next node overwrites."""

    local: fd.LocalSGD = fd.LocalSGD(batch_size=None, lr=0.5)

    def work(self, rows: int) -> fd.Work:
        return self.local.work(rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: fd.NodeView, args):
        u, _ = self.local(node, args)
        return u, {"delta": u["delta"]}


def test_a_job_may_keep_the_delta_of_local_sgd() -> None:
    answers: list[fd.Update] = []

    class Asks:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                answers.extend(await fed.map(_KeepsItsDelta(), {"w": s.w}, range(fed.nodes)))
                await fed.commit(s)

    problem = integers()
    run = fd.train(Asks(), problem.model, problem.data)
    alone = [
        fd.train(fd.FedAvg(1, local=_KeepsItsDelta.local), problem.model, _only(problem, n)).vector for n in range(6)
    ]
    for n, u in enumerate(answers):
        assert torch.equal(u["delta"], alone[n])
        assert torch.equal(run.checkpoint.tree["node_states"][n]["job"]["delta"], alone[n])


def _only(problem: Problem, node: int) -> FederatedDataset:
    rows = problem.data.rows(node).index
    return FederatedDataset(problem.data.x, problem.data.y, rows, torch.tensor([0, len(rows)]))
