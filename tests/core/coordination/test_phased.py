"""Reductions in several phases: an aggregator that brings its own exchange, under any program that takes one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import pytest
import torch

import foedus as fd
from foedus.core.coordination.federation import Phased
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.keys import Key
from foedus.testing import small

SCALE = 2**20
LOCAL = fd.LocalSGD(epochs=2, batch_size=None, lr=0.1)


@dataclass(frozen=True)
class PublicKey:
    """Phase 1: a node draws a number for every pair that it is in. (A toy: the field has key agreements.)"""

    def work(self, rows):
        return fd.Work()

    def parts(self, model):
        return {"key": ((1,), torch.int64)}

    def __call__(self, node, args):
        key = torch.tensor([node.key.child("pair").integer() >> 2], dtype=torch.int64)
        return fd.Update({"key": key}, 1.0, {}, node.id), {"key": key}


@dataclass(frozen=True)
class Masked:
    """Phase 2: the given job's answer, times its weight, as integers mod 2^64, under masks that cancel in the sum.

    ``own`` holds the keys of the others, for this node alone.
    """

    job: object

    def work(self, rows):
        return self.job.work(rows)

    def parts(self, model):
        announced = self.job.parts(model)
        return {**{k: (tuple(s), torch.int64) for k, s in announced.items()}, "weight": ((1,), torch.int64)}

    def __call__(self, node, args):
        theirs, ids = args["theirs"], args["ids"]
        update, _ = self.job(replace(node, state={}), {"w": args["w"]})
        weight = 1.0 if update.summed else update.weight
        clear = {k: (v.double() * weight * SCALE).round().to(torch.int64) for k, v in update.parts.items()}
        clear["weight"] = torch.tensor([round(update.weight * SCALE)], dtype=torch.int64)
        mine = int(node.state["key"])
        for other, key in zip(ids.tolist(), theirs.tolist(), strict=True):
            sign = 1 if node.id < other else -1
            for name, v in clear.items():
                mask = torch.from_numpy(Key(mine ^ key).child("mask", name).numpy().integers(-(2**62), 2**62, v.shape))
                v += sign * mask
        SEEN.append({k: v.clone() for k, v in clear.items()})
        return fd.Update(clear, 1.0, dict(update.metrics), node.id, summed=True), {"key": node.state["key"]}


SEEN: list = []


@dataclass(frozen=True)
class MaskedMean(fd.Mean):
    """The mean by rows, of which the coordinator sees the sums alone."""

    async def exchange(self, fed, job, args, nodes, *, each, transforms, until):
        keys = await fed.map(PublicKey(), {}, nodes)
        there = [u.node for u in keys if isinstance(u, fd.Update)]
        key = {u.node: u["key"] for u in keys if isinstance(u, fd.Update)}
        each = {
            n: {
                "theirs": torch.cat([key[o] for o in there if o != n]),
                "ids": torch.tensor([o for o in there if o != n]),
            }
            for n in there
        }
        total = await fed.map_reduce(Masked(job), args, there, fd.aggregators.Sum(), each=each, until=until)
        weight = float(total["weight"]) / SCALE
        parts = {k: (v.double() / SCALE / weight).float() for k, v in total.parts.items() if k != "weight"}
        return replace(total, parts=MappingProxyType(parts), weight=weight)


def train(aggregate, program=None, **options):
    program = program or fd.FedAvg(3, local=LOCAL, aggregate=aggregate)
    data = small(5).data
    # Nothing is drawn in training: a node has two jobs a round where it has one without masks.
    torch.manual_seed(0)
    return fd.train(program, fd.Model(torch.nn.Linear(data.x.shape[1], data.classes)), data, **options)


def test_masks_cancel_under_any_program_that_takes_an_aggregator():
    assert isinstance(MaskedMean(), Phased)
    assert isinstance(MaskedMean(), Aggregator)
    assert not isinstance(fd.Mean(), Phased)
    for program in (fd.FedAvg(3, local=LOCAL), fd.SyncSGD(3, lr=0.1)):
        clear, masked = (train(None, replace(program, aggregate=a)) for a in (fd.Mean(), MaskedMean()))
        assert torch.allclose(masked.vector, clear.vector, atol=50 / SCALE, rtol=0)
        assert masked.sha256 != clear.sha256


def test_what_one_node_sends_says_nothing():
    """Its numbers are those of the masks: half of them are negative, whatever the update is."""
    SEEN.clear()
    train(MaskedMean())
    sent = torch.cat([s["delta"].double() for s in SEEN]) / 2.0**63
    assert sent.abs().mean() > 0.3


def test_a_phased_run_keeps_every_law():
    whole = train(MaskedMean())
    assert train(MaskedMean(), runtime=fd.Simulation(workers=2)).sha256 == whole.sha256
    assert train(MaskedMean(), runtime=fd.Local(workers=2)).sha256 == whole.sha256
    part = train(MaskedMean(), stop=fd.AfterCommits(1))
    assert train(MaskedMean(), resume=part).sha256 == whole.sha256


@pytest.mark.parametrize("exchange", ["server", "tree"])
def test_integers_pass_through_processes(exchange):
    assert train(MaskedMean(), runtime=fd.Processes(exchange=exchange)).sha256 == train(MaskedMean()).sha256


def test_what_is_for_one_node_is_paid_for_by_that_node():
    run = train(MaskedMean(), per_node=True)
    d = run.vector.numel()
    # 3 rounds: nothing, and the model with four keys and ids; back come one key, and all numbers with the weight
    assert {c.bytes_down for n, c in run.ledger.nodes.items()} == {3 * (4 * d + 4 * 8 + 4 * 8)}
    assert {c.bytes_up for n, c in run.ledger.nodes.items()} == {3 * (8 + 8 * d + 8)}
