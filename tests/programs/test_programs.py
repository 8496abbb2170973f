"""The programs that ship keep the laws of programs."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import check_program, integers, quadratic, small

LOCAL = fd.LocalSGD(epochs=2, batch_size=7, lr=0.1)


@pytest.mark.parametrize(
    ("program", "synchronous"),
    [
        (fd.SyncSGD(3, lr=0.1, batch_size=4), True),
        (fd.SyncSGD(3, lr=0.1, batch_size=4, backup=2), False),
        (fd.SyncSGD(3, cohort=fd.Fixed(3), aggregate=fd.Median(), transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)), True),
        (fd.FedAvg(3, fd.Fixed(4), LOCAL, until=fd.Deadline(1e-3)), False),
        (fd.FedAvg(3, fd.Fixed(4), LOCAL, until=fd.Quorum(3)), False),
        (fd.Centralized(3, LOCAL), True),
        (fd.LocalOnly(3, LOCAL), False),
    ],
    ids=["sync", "backup", "median", "deadline", "quorum", "centralized", "local"],
)
def test_programs_keep_their_laws(program, synchronous: bool) -> None:
    check_program(program, workers=(1,), synchronous=synchronous)


@pytest.mark.parametrize("make", [integers, quadratic])
def test_deterministic_programs_do_not_look_at_the_seed(make) -> None:
    problem = make()
    program = fd.FedAvg(3, local=fd.LocalSGD(batch_size=None))
    check_program(program, problem.model, problem.data, workers=(1,), seeds_matter=False, synchronous=True)
    with pytest.raises(AssertionError, match="another seed gives another run"):
        check_program(program, problem.model, problem.data, workers=(1,))


def test_baselines_send_nothing() -> None:
    problem = small()
    for program in (fd.Centralized(2, LOCAL), fd.LocalOnly(2, LOCAL)):
        run = fd.train(program, problem.model, problem.data)
        assert (run.ledger.bytes_up, run.ledger.bytes_down, run.ledger.messages) == (0, 0, 0)
        assert run.history[-1].epochs == 4.0


def test_records_of_the_baselines_say_how_training_went() -> None:
    problem = small()
    for program in (fd.Centralized(2, LOCAL), fd.LocalOnly(2, LOCAL)):
        run = fd.train(program, problem.model, problem.data)
        assert all(r.train_loss is not None and r.cohort > 0 for r in run.history)


def test_local_only_is_every_node_by_itself() -> None:
    problem = small()
    run = fd.train(fd.LocalOnly(2, LOCAL), problem.model, problem.data)
    models = run.checkpoint.tree["state"].models
    assert torch.equal(run.vector, torch.stack(models).mean(0))

    class Evaluates:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            self.accuracy = [(await fed.evaluate(w))["accuracy"] for w in models]
            await fed.commit(s)

    program = Evaluates()
    fd.train(program, problem.model, problem.data)
    assert run.history[-1].accuracy == pytest.approx(sum(program.accuracy) / len(models))


def test_backup_that_leaves_nobody_is_refused() -> None:
    problem = small()
    with pytest.raises(fd.BadInput, match="at least 0"):
        fd.SyncSGD(1, backup=-1)
    with pytest.raises(fd.BadInput, match="spare"):
        fd.train(fd.SyncSGD(1, backup=6), problem.model, problem.data)


@dataclass(frozen=True)
class _Forgets:
    """Keeps its iterate in a local variable: what lives across a commit is not in the State."""

    rounds: int = 3

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        momentum = torch.zeros_like(s.w)
        for _ in fed.rounds(self.rounds):
            total = await fed.map_reduce(LOCAL, {"w": s.w}, range(fed.nodes), fd.Mean())
            momentum = momentum / 2 + torch.cat([total["delta"], total["buffers"]])
            s = s.replace(w=s.w + momentum)
            await fed.commit(s)


class _Wanders:
    """Draws from a generator of its own, that no key names."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(2):
            s = s.replace(w=s.w + torch.randn(len(s.w), generator=self.generator))
            await fed.commit(s)


@pytest.mark.parametrize(
    ("program", "law"),
    [(_Forgets(), r"stop after commit 1, resume"), (_Wanders(), "the same seed gives the same run")],
    ids=["forgets", "wanders"],
)
def test_programs_that_break_a_law_are_found(program, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_program(program, workers=(1,))
