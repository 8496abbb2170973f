"""What a rule says of nodes reaches the record, the run, the folder and whoever resumes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import foedus as fd
from foedus.core.types.model import join
from foedus.core.types.suspicion import Suspicion
from foedus.testing import small
from foedus.topologies import Ring


def both():
    problem = small()
    return problem.model, problem.data


@dataclass(frozen=True)
class Doubts(fd.Mean):
    """A mean that suspects node 2, whom it leaves out altogether."""

    weighted: bool = False

    def empty(self) -> Any:
        return {**super().empty(), "seen": []}

    def add(self, acc, u):
        seen = [*acc["seen"], u.node]
        return {**(super().add(acc, u) if u.node != 2 else acc), "seen": seen}

    def merge(self, a, b):
        return {**super().merge(a, b), "seen": a["seen"] + b["seen"]}

    def judge(self, acc, state):
        parts, state = super().read(acc, state)
        told = {n: Suspicion(1.0, math.inf) if n == 2 else Suspicion(0.1 * n, 1.0) for n in acc["seen"]}
        return parts, state, told


PROGRAM = fd.FedAvg(rounds=3, aggregate=Doubts(), local=fd.LocalSGD(batch_size=8))


def test_a_record_says_whom_the_rule_suspects(tmp_path):
    model, data = both()
    run = fd.train(PROGRAM, model, data, out=tmp_path / "run")
    assert run.history[1].suspects[2] == (1.0, math.inf)
    assert run.history[1].suspects[1] == (0.1, 1.0)
    worst = run.suspects[0]
    assert (worst.node, worst.rounds, worst.left_out, worst.distance) == (2, 3, 1.0, math.inf)
    assert len(run.suspects) == data.nodes
    read = fd.Run.load(tmp_path / "run")
    assert read.history[1].suspects == run.history[1].suspects


@pytest.mark.parametrize("runtime", [fd.Processes(), fd.Processes(exchange="tree")], ids=repr)
def test_it_is_said_wherever_the_run_is(runtime):
    model, data = both()
    run = fd.train(PROGRAM, model, data, runtime=runtime)
    assert run.history[2].suspects == fd.train(PROGRAM, model, data).history[2].suspects


def test_a_buffer_that_a_program_joins_itself_is_judged_too():
    model, data = both()

    @dataclass(frozen=True)
    class Own:
        async def __call__(self, fed: fd.Federation) -> torch.Tensor:
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                came = await fed.map(fd.LocalSGD(batch_size=8), {"w": s.w}, range(fed.nodes))
                total, _ = fed.join(Doubts(), [u for u in came if isinstance(u, fd.Update)])
                await fed.commit(s.replace(w=s.w + join(total, fed.layout)))
            return s.w

    assert fd.train(Own(), model, data).history[0].suspects[2] == (1.0, math.inf)


def test_peers_say_whom_they_suspect():
    model, data = both()

    @dataclass(frozen=True)
    class Tells:
        topology: Any = Ring()

        async def __call__(self, peer: fd.Peer) -> torch.Tensor:
            s = await peer.begin(fd.State)
            for _ in peer.rounds(2):
                near = await peer.exchange({"w": s.w})
                await peer.commit(s, suspects={n: Suspicion(n / 10, peer.id) for n in near if n != peer.id})
            return s.w

    told = fd.train(Tells(), model, data).history[-1].suspects
    n = data.nodes
    assert told[2] == pytest.approx((0.2, 2.0))  # from 1 and 3
    assert told[0] == pytest.approx((0.0, n / 2))  # from 1 and the last
