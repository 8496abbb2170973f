"""CHOCO-SGD: the copies of an estimate are the same bits, and without a compressor it is gossip."""

import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Identity
from foedus.programs import Choco, Gossip
from foedus.testing import check_program, integers, small
from foedus.topologies import Exponential, Hypercube, OnePeer, Ring, Star, Uniform


@pytest.mark.parametrize("compress", [fd.TopK(0.1), Identity(), fd.Clip(0.01)])
@pytest.mark.parametrize("topology", [Ring(), Star(), Exponential()])
def test_all_copies_of_an_estimate_are_the_same_bits(topology, compress, held):
    problem = small()  # with float buffers, which are sent uncompressed
    run = fd.train(Choco(4, topology, compress=compress), problem.model, problem.data)
    states = held(run)
    copies = 0
    for i, s in enumerate(states):
        for j, estimate in s.estimates.items():
            assert torch.equal(estimate, states[j].estimates[j])
            copies += i != j
    assert copies == run.ledger.total.messages_up / 4
    assert len({s.w.numpy().tobytes() for s in states}) == len(states)  # although all models differ


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_without_compressor_and_with_gamma_one_it_is_gossip(rounds):
    problem = integers((4,) * 8)
    job = fd.LocalSGD(steps=1, batch_size=None, lr=0.5)
    plain = fd.train(Choco(rounds, Hypercube(), gamma=1.0, compress=Identity(), local=job), problem.model, problem.data)
    gossip = fd.train(Gossip(rounds, Hypercube(), local=job), problem.model, problem.data)
    for a, b in zip(*(r.checkpoint.tree["extra"]["peers"]["books"] for r in (plain, gossip)), strict=True):
        assert torch.equal(a["state"].w, b["state"].w)
    assert torch.equal(plain.vector, gossip.vector)
    assert plain.ledger.bytes_up == gossip.ledger.bytes_up


def test_the_same_on_real_data():
    job = fd.LocalSGD(epochs=1, batch_size=10, lr=0.1)
    runs = []
    for program in (Choco(3, gamma=1.0, compress=Identity(), local=job), Gossip(3, local=job)):
        problem = small()
        runs.append(fd.train(program, problem.model, problem.data))
    torch.testing.assert_close(runs[0].vector, runs[1].vector, rtol=0, atol=1e-6)


def test_disagreement_vanishes_although_little_is_sent(starting_at):
    start = starting_at(torch.randn(8, 20, generator=torch.Generator().manual_seed(0)))
    job = fd.LocalSGD(steps=1, batch_size=None, lr=start.once)
    mean = torch.randn(8, 20, generator=torch.Generator().manual_seed(0)).mean(0)
    run = fd.train(Choco(150, gamma=0.3, compress=fd.TopK(0.1), local=job), start.model, start.data, evaluate_every=150)
    distance = [r.metrics["consensus_distance"] for r in run.history]
    assert distance[-1] < 1e-6 * distance[0]
    torch.testing.assert_close(run.vector, mean, rtol=0, atol=1e-5)
    # 2 of 20 numbers with their places: 16 of 80 bytes.
    assert run.ledger.bytes_up == 150 * 8 * 2 * 16


@pytest.mark.parametrize("gamma", [0.0, 1.1, float("nan")])
def test_gamma_is_checked(gamma):
    with pytest.raises(fd.BadInput, match="gamma lies in"):
        Choco(1, gamma=gamma)


def test_what_does_not_fit():
    problem = small()
    with pytest.raises(fd.BadInput, match="use a graph that stays"):
        fd.train(Choco(1, OnePeer()), problem.model, problem.data)
    with pytest.raises(fd.BadInput, match="Use Metropolis"):
        fd.train(Choco(1, Star(), Uniform()), problem.model, problem.data)


def test_laws():
    check_program(Choco(4), workers=(1,), runtime=fd.Simulation(network=fd.network.WAN))
