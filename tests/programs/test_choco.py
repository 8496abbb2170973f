"""CHOCO-SGD: the copies of an estimate are the same bits, and without a compressor it is gossip."""

import math

import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Identity
from foedus.programs import Choco, Gossip
from foedus.programs.choco import consensus_step
from foedus.testing import check_program, integers, small
from foedus.topologies import Complete, Exponential, Hypercube, OnePeer, Ring, Star, Uniform, mixing_matrix
from foedus.topologies.mixing import coupling


@pytest.mark.parametrize("compress", [fd.TopK(0.1), Identity(), fd.Clip(0.01)])
@pytest.mark.parametrize("topology", [Ring(), Star(), Exponential()])
def test_all_copies_of_an_estimate_are_the_same_bits(topology, compress, held):
    problem = small()  # with float buffers, which are sent uncompressed
    run = fd.train(Choco(4, topology, gamma=0.5, compress=compress), problem.model, problem.data)
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


HARSH = (fd.TopK(0.1), fd.RandomK(0.1), fd.QSGD(1), fd.Sign())


@pytest.mark.parametrize("compress", HARSH, ids=str)
def test_by_default_models_come_to_agree_whatever_compresses(compress, starting_at):
    start = starting_at(torch.randn(8, 40, generator=torch.Generator().manual_seed(0)))
    job = fd.LocalSGD(steps=1, batch_size=None, lr=start.once)
    run = fd.train(Choco(40, Complete(), compress=compress, local=job), start.model, start.data, evaluate_every=40)
    distance = [r.metrics["consensus_distance"] for r in run.history]
    # Theorem 2, with rho = 1 on the complete graph; the bound is of disagreement and of what the estimates lack.
    delta = compress.contraction({"delta": ((40,), torch.float32)}).delta
    first = float(torch.randn(8, 40, generator=torch.Generator().manual_seed(0)).square().sum()) / 8
    assert all(d <= 2 * first * (1 - delta / 82) ** t for t, d in enumerate(distance))
    assert distance[-1] < distance[0]


def test_the_step_is_that_of_the_theorem():
    # A ring of 8: I - W has the eigenvalues 2 (1 - cos(2 pi k / 8)) / 3.
    rho, beta = coupling(mixing_matrix(Ring(), 8))
    assert rho == pytest.approx((2 - math.sqrt(2)) / 3)
    assert beta == pytest.approx(4 / 3)
    by_hand = rho**2 * 0.1 / (16 * rho + rho**2 + 4 * beta**2 + 2 * rho * beta**2 - 0.8 * rho)
    assert consensus_step(0.1, rho, beta) == pytest.approx(by_hand)
    problem = small()
    given, found = (
        fd.train(Choco(2, compress=fd.RandomK(0.5), gamma=gamma), problem.model, problem.data)
        for gamma in (_gamma_of(problem, 0.5), None)
    )
    assert given.sha256 == found.sha256


def _gamma_of(problem, delta):
    n, d = problem.data.nodes, problem.model.layout.parameters
    return consensus_step(math.ceil(delta * d) / d, *coupling(mixing_matrix(Ring(), n)))


def test_where_no_step_is_safe_one_has_to_be_given():
    problem = small()
    with pytest.raises(fd.BadInput, match=r"no gamma.*no share is sure to arrive.*gamma=0\.1"):
        fd.train(Choco(1, compress=fd.Clip(1.0)), problem.model, problem.data)


def test_low_rank_knows_the_models_matrices():
    data = fd.data.load("iris").split(fd.data.IID(), nodes=4, seed=0)
    model = fd.Model(fd.models.mlp(4, 16, 3))
    run = fd.train(Choco(2, gamma=0.1, compress=fd.PowerSGD(1)), model, data)
    factors = (16 + 4) + 16 + (3 + 16) + 3
    assert run.ledger.bytes_up == 2 * 4 * 2 * 4 * factors
