"""Nodes that act together: they answer when it is known what all answer, and no law of a run changes by it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.policy import Gathered
from foedus.testing import small


@dataclass(frozen=True)
class MeanOfOthers:
    """Members answer ``factor`` times the mean of what all others send; they remember how often they did."""

    members: frozenset[int]
    factor: float

    def answers(self, gathered: Gathered, memory):
        honest = [u.parts["delta"] for n, u in gathered.updates.items() if n not in self.members]
        assert list(gathered.updates) == sorted(gathered.updates)
        if not honest:
            return {}, memory
        made = self.factor * torch.stack(honest).mean(0)
        times = memory.get("times", torch.zeros(1)) + 1
        there = self.members & gathered.updates.keys()
        return {n: fd.Update({**gathered.updates[n].parts, "delta": made * times}, 1.0, node=n) for n in there}, {
            "times": times
        }


@dataclass(frozen=True)
class Together(fd.Policy):
    who: tuple[int, ...] = (0, 3)
    factor: float = -1.0

    @property
    def collusion(self):
        return MeanOfOthers(frozenset(self.who), self.factor)


@pytest.fixture
def setting():
    problem = small()
    return problem.model, problem.data


def run(program, setting, **more):
    model, data = setting
    return fd.train(program, model, data, policy=Together(), seed=3, **more)


PROGRAM = fd.FedAvg(rounds=4, aggregate=fd.Mean(weighted=False), local=fd.LocalSGD(batch_size=8))


def test_what_members_send_is_what_is_joined(setting):
    model, data = setting
    one = fd.FedAvg(rounds=1, aggregate=fd.Mean(weighted=False), local=fd.LocalSGD(batch_size=8))
    w0 = model.initial.clone()
    plain = fd.train(one, model, data, seed=3)
    run_ = run(one, setting)
    n, members = data.nodes, 2

    @dataclass(frozen=True)
    class Without(fd.Policy):
        def refuses(self, asked):
            return fd.Refused(asked.node, "no") if asked.node in (0, 3) else None

    honest = fd.train(one, model, data, seed=3, policy=Without()).vector - w0  # the mean of the others
    expected = ((n - members) - members) / n * honest
    p = model.layout.parameters  # members leave float buffers as they are
    torch.testing.assert_close((run_.vector - w0)[:p], expected[:p], rtol=1e-4, atol=1e-6)
    assert not torch.equal(run_.vector, plain.vector)


@pytest.mark.parametrize("runtime", [fd.Simulation(workers=2), fd.Local(workers=2), fd.Processes()], ids=repr)
def test_same_bits_on_every_runtime(setting, runtime):
    assert run(PROGRAM, setting).sha256 == run(PROGRAM, setting, runtime=runtime).sha256


def test_same_bits_after_a_stop(setting, tmp_path):
    whole = run(PROGRAM, setting)
    half = run(PROGRAM, setting, stop=fd.sampling.AfterCommits(2))
    assert run(PROGRAM, setting, resume=half).sha256 == whole.sha256


def test_a_stream_is_attacked_by_what_was_heard_last(setting):
    program = fd.FedBuff(rounds=4, buffer=3, local=fd.LocalSGD(batch_size=8))
    model, data = setting
    whole = run(program, setting)
    assert whole.sha256 != fd.train(program, model, data, seed=3).sha256
    half = run(program, setting, stop=fd.sampling.AfterCommits(2))
    assert run(program, setting, resume=half).sha256 == whole.sha256
    assert run(program, setting, runtime=fd.Simulation(workers=2)).sha256 == whole.sha256


def test_programs_that_want_answers_one_by_one_are_given_what_members_send(setting):
    program = fd.Ditto(rounds=2, local=fd.LocalSGD(batch_size=8), personal=fd.LocalSGD(batch_size=8))
    model, data = setting
    assert run(program, setting).sha256 != fd.train(program, model, data, seed=3).sha256


def test_compression_without_a_memory_is_used_by_members_too(setting):
    lossy = fd.FedAvg(rounds=2, transforms=(fd.TopK(0.25),), local=fd.LocalSGD(batch_size=8))
    got = run(lossy, setting)
    assert got.sha256 == run(lossy, setting, runtime=fd.Simulation(workers=2)).sha256


def test_a_transform_that_remembers_is_refused_with_the_reason(setting):
    with pytest.raises(fd.BadInput, match=r"keep a memory at every node.*a node's own update alone"):
        run(fd.FedAvg(rounds=1, transforms=(fd.ErrorFeedback(fd.TopK(0.5)),)), setting)


def test_an_exchange_without_a_server_is_refused_with_the_reason(setting):
    with pytest.raises(fd.BadInput, match='use exchange="server"'):
        run(fd.SyncSGD(rounds=1), setting, runtime=fd.Processes(exchange="tree"))
