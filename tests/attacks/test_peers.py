"""What dishonest nodes say to their neighbours where there is no server, and what they answer in a stream."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.attacks import (
    ALIE,
    IPM,
    Adversary,
    Backdoor,
    Dissensus,
    FreeRider,
    Gaussian,
    LabelFlip,
    Mimic,
    MinMax,
    ModelReplacement,
    Optimised,
    Scaling,
    SignFlip,
    Sybils,
)  # fmt: skip
from foedus.core.types.policy import Gathered, Said
from foedus.testing import small
from foedus.topologies import Complete

SPEAKS = [
    SignFlip(), Gaussian(), Scaling(2.0), ModelReplacement(), IPM(), ALIE(z=1.0), MinMax(), Mimic(), Sybils(),
    Optimised(IPM()), Dissensus(),
]  # fmt: skip
PROBLEM = small()


def gossip(attack, program=None, nodes=(1, 4), problem=PROBLEM, **options):
    program = fd.Gossip(3, topology=Complete(), lr=0.1) if program is None else program
    return fd.train(program, problem.model, problem.data, adversary=Adversary(nodes, attack), **options)


def said(attack, parts, heard, node=1, to=2, members=(1, 4)):
    policy = Adversary(members, attack).policy(6, 0)
    assert policy.speaks == attack.speaks
    return policy.says(Said(node, to, "", 0, fd.Key(0)), parts, heard)


HEARD = {
    0: {"w": torch.tensor([1.0, 3.0])},
    2: {"w": torch.tensor([3.0, 5.0])},
    4: {"w": torch.tensor([99.0, 99.0])},  # its fellow
    5: {"q": torch.tensor([7.0])},  # another message
}
OWN = {"w": torch.tensor([2.0, 1.0]), "step": torch.tensor(3)}


def test_messages_are_made_from_what_was_heard_of_honest_nodes():
    near = {n: {**p, "step": torch.tensor(2)} for n, p in HEARD.items()}
    seen = torch.tensor([[1.0, 3.0], [3.0, 5.0]])  # of 0 and 2
    made = {
        SignFlip(2.0): -2 * OWN["w"],
        IPM(0.5): -0.5 * seen.mean(0),
        ALIE(z=1.0): seen.mean(0) - seen.std(0, correction=0),
        Mimic(node=2): seen[1],
        Scaling(3.0): torch.tensor([2.0, 4.0]) + 3 * (OWN["w"] - torch.tensor([2.0, 4.0])),
        MinMax(): MinMax()(seen)[0],
    }
    for attack, wanted in made.items():
        sent = said(attack, OWN, near)
        assert torch.allclose(sent["w"], wanted), attack
        assert torch.equal(sent["step"], OWN["step"])
    assert said(SignFlip(), OWN, near, node=0) is OWN
    assert said(LabelFlip(), OWN, near) is OWN
    assert torch.equal(said(IPM(1.0), {"w": OWN["w"]}, {})["w"], -OWN["w"])  # nobody heard yet


def test_dissensus_stops_gossip_and_drives_models_apart():
    """On a complete graph with equal weights and one dishonest node the mean at i is x_i for eps = 1."""
    x = {n: torch.randn(4, generator=torch.Generator().manual_seed(n)) for n in (0, 2, 3, 5)}
    heard = {n: {"w": v} for n, v in x.items()}

    def next_of(i, eps):
        sent = said(Dissensus(eps), {"w": torch.zeros(4)}, heard, to=i, members=(1,))["w"]
        return (sum(x.values()) + sent) / 5

    mean = sum(x.values()) / 4
    for i in x:
        assert torch.allclose(next_of(i, 1.0), x[i], atol=1e-6)
        assert float((next_of(i, 2.0) - mean).norm()) > float((x[i] - mean).norm())
    assert torch.equal(said(Dissensus(), {"w": mean}, {}, members=(1,))["w"], mean)


@pytest.mark.parametrize("attack", SPEAKS, ids=repr)
def test_gossip_has_the_same_bits_after_any_stop(attack):
    whole = gossip(attack)
    part = gossip(attack, stop=fd.AfterCommits(2))
    assert gossip(attack, resume=part).sha256 == whole.sha256
    assert whole.sha256 != gossip(attack, nodes=()).sha256


def test_gossip_has_the_same_bits_with_workers_and_in_processes():
    whole = gossip(ALIE(z=1.0))
    assert gossip(ALIE(z=1.0), runtime=fd.Simulation(workers=2)).sha256 == whole.sha256
    assert gossip(Gaussian(0.1), runtime=fd.Processes()).sha256 == gossip(Gaussian(0.1)).sha256


@dataclass(frozen=True)
class Mute(fd.Attack):
    """Would lie in its update, and has nothing to say."""

    speaks = True

    def sends(self, honest, who):
        raise AssertionError("an update of a peer is its own")


def test_what_a_peer_trains_on_is_poisoned_and_its_own_model_no_wreck():
    """An attack on data needs no words; one on the model is in words alone, and its own training is honest."""
    honest = gossip(SignFlip(), nodes=())
    for attack in (LabelFlip(), Backdoor(), FreeRider()):
        assert gossip(attack).sha256 != honest.sha256
    assert gossip(Mute()).sha256 == honest.sha256


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [SignFlip(), LabelFlip(), IPM(), ALIE(z=1.0), Mimic(), Sybils()], ids=repr)
def test_a_stream_has_the_same_bits_after_any_stop(attack):
    program = fd.ParameterServer(6, lr=0.1)

    def run(nodes=(1, 4), **options):
        return fd.train(program, PROBLEM.model, PROBLEM.data, adversary=Adversary(nodes, attack), **options)

    whole = run()
    assert run(resume=run(stop=fd.AfterCommits(3))).sha256 == whole.sha256
    if isinstance(attack, ALIE):
        assert run(runtime=fd.Simulation(workers=2)).sha256 == whole.sha256
    assert run(nodes=()).sha256 != whole.sha256


def test_in_a_stream_a_lie_begins_with_the_node_s_own_job():
    """What others do meanwhile does not count, and only who has just answered sends anything."""
    ring = Adversary((2, 4), IPM(1.0), start=1).policy(6, 0).collusion
    updates = {n: fd.Update({"delta": torch.full((2,), float(n))}, 1.0, node=n) for n in (0, 2, 4)}

    def answer(node, memory):
        job = fd.LocalSGD()
        return ring.answers(Gathered(job, {}, None, updates, (node,), fd.Key(0)), memory)

    memory, sent = {}, []
    for node in (4, 4, 2, 2):
        answers, memory = answer(node, memory)
        sent.append(sorted(answers))
    assert sent == [[], [4], [], [2]]
    assert answers[2]["delta"].tolist() == [0.0, 0.0]  # what was heard of node 0, the only honest one


def test_a_peer_lies_from_the_round_that_was_said():
    program = fd.Gossip(3, topology=Complete(), lr=0.1)

    def lying(start):
        adversary = Adversary((1, 4), SignFlip(), start=start)
        return fd.train(program, PROBLEM.model, PROBLEM.data, adversary=adversary).history

    honest = fd.train(program, PROBLEM.model, PROBLEM.data).history
    assert [r.loss for r in lying(2)[:2]] == [r.loss for r in honest[:2]]
    assert lying(2)[2].loss != honest[2].loss
    assert lying(0)[0].loss != honest[0].loss
