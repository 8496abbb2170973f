"""AD-PSGD: no step is lost, both sides are learned from, and a graph on which it could deadlock is refused."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.time.cost import Link
from foedus.network import CostModel, Device, Links, LogNormal
from foedus.programs import AdPsgd, Gossip
from foedus.programs.ad_psgd import active_side
from foedus.testing import check_program
from foedus.topologies import Complete, Edges, Exponential, Hypercube, Ring, Star, Torus, graph_of

INF = float("inf")


@dataclass(frozen=True)
class Net:
    """Node k computes ``seconds[k]`` a job, times an exponential draw if ``jitter``; a message takes ``latency``."""

    seconds: tuple[float, ...]
    latency: float = 0.0
    jitter: bool = False
    server_up = server_down = INF

    def link(self, node, key):
        return Link(self.latency / 2, INF, INF)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return self.seconds[node] * (job_key.exponential() if self.jitter else 1.0)


NETWORKS = {
    "equal": Net((1.0,) * 8),
    "late": Net((1.0,) * 8, latency=2.5),
    "uneven": Net(tuple(1.0 + k for k in range(8)), latency=0.5),
    "jitter": Net((1.0,) * 8, latency=0.1, jitter=True),
}


def slope(output, target):
    """A loss whose gradient is the target, wherever the model is."""
    return (output * target).flatten()


def constant_gradients(values):
    n = len(values)
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    data = fd.data.arrays(torch.ones(n, 1), torch.tensor(values)[:, None], node=list(range(n)))
    return fd.Model(module, slope), data.split(fd.data.Natural())


STEP = fd.LocalSGD(steps=1, batch_size=None, lr=1.0)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("topology", [Ring(), Star(), Hypercube(), Torus(2, 4)])
def test_no_step_is_lost_and_averaging_conserves_the_sum(topology, network):
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
    model, data = constant_gradients(values)
    rounds = 5
    run = fd.train(AdPsgd(rounds, topology, STEP), model, data, runtime=fd.Simulation(network=NETWORKS[network]))
    # The steps are the same wherever they are taken, so the mean has moved by all of them.
    assert float(run.vector) == pytest.approx(-rounds * sum(values) / 8, rel=1e-6)
    assert run.history[-1].metrics["steps"] == rounds
    assert run.ledger.total.jobs == 8 * rounds


@pytest.mark.parametrize("network", NETWORKS)
def test_no_step_is_lost_where_nobody_waits(network, held):
    # Late: a peer takes steps while its average is under way, which the answer must not undo.
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
    model, data = constant_gradients(values)
    program, runtime = AdPsgd(4, Ring(), STEP, seconds=6.0), fd.Simulation(network=NETWORKS[network])
    run = fd.train(program, model, data, runtime=runtime)
    taken = [s.steps for s in held(run)]
    moved = sum(n * v for n, v in zip(taken, values, strict=True))
    assert float(run.vector) == pytest.approx(-moved / 8, rel=1e-6)
    # Whoever is as fast takes as many steps, whichever side it is on: the way of a message slows nobody down.
    assert network not in ("equal", "late") or taken == [24] * 8


STAGGERED = CostModel(Links(1e-4, 1e9, 1e9), Device(samples_per_second=1e4, spread=1.0, jitter=LogNormal(0.3)))
UNEQUAL = {"ideal": fd.network.IDEAL, "lan": fd.network.LAN, "wan": fd.network.WAN, "staggered": STAGGERED}


@pytest.mark.parametrize("network", UNEQUAL)
@pytest.mark.parametrize(("topology", "nodes"), [(Ring(), 6), (Star(), 5)])
def test_it_ends_where_gossip_does_whatever_the_network(topology, nodes, network, starting_at):
    # f_i = (x - i)^2 / 2: the mean of all optima, not of those whose messages or steps take longest.
    start = starting_at(torch.arange(float(nodes)))
    job = fd.LocalSGD(steps=1, batch_size=None, lr=0.05)
    run = fd.train(
        AdPsgd(100, topology, job), start.model, start.data, evaluate_every=100,
        runtime=fd.Simulation(network=UNEQUAL[network]),
    )  # fmt: skip
    assert float(run.vector) == pytest.approx((nodes - 1) / 2, abs=0.1)


def test_it_learns_the_labels_of_both_sides(halves):
    model, data = halves(6)
    found = {}
    for program in (AdPsgd, Gossip):
        job = fd.LocalSGD(steps=1, batch_size=32, lr=0.3)
        run = fd.train(program(100, local=job), model, data, evaluate_every=100)
        found[program] = run.history[-1].accuracy
    assert found[AdPsgd] > found[Gossip] - 0.05


@pytest.mark.parametrize("bound", [0, 1, 3])
def test_nobody_is_further_ahead_of_a_neighbour_than_the_bound(bound):
    model, data = constant_gradients([1.0] * 8)
    log, neighbours = [], Ring().neighbours

    @dataclass(frozen=True)
    class Logged(AdPsgd):
        async def __call__(self, peer: fd.Peer):
            run = peer.run

            async def noted(job, args):
                log.append(("begins", peer.id))
                update = await run(job, args)
                log.append(("ends", peer.id))
                return update

            peer.run = noted
            return await super().__call__(peer)

    network = Net((1.0,) * 7 + (9.0,), latency=0.5)
    fd.train(Logged(6, Ring(), STEP, bound), model, data, runtime=fd.Simulation(network=network))
    taken, furthest = [0] * 8, 0
    for what, i in log:
        if what == "ends":
            taken[i] += 1
        else:
            furthest = max(furthest, *(taken[i] - taken[j] for j in neighbours(i, 8)))
    assert taken == [6] * 8
    assert furthest == bound


def test_staleness_is_measured():
    # Two nodes: one asks when both begin, so that either gradient is one average old when it is applied.
    model, data = constant_gradients([1.0, 2.0])
    run = fd.train(AdPsgd(4, Ring(), STEP), model, data, runtime=fd.Simulation(network=NETWORKS["equal"]))
    assert [r.metrics["staleness"] for r in run.history] == [1.0] * 4
    # A star: three leaves ask the hub, which is three averages behind, and each of them one.
    model, data = constant_gradients([1.0, 2.0, 3.0, 4.0])
    run = fd.train(AdPsgd(4, Star(), STEP), model, data, runtime=fd.Simulation(network=NETWORKS["equal"]))
    assert [r.metrics["staleness"] for r in run.history] == [(3 + 1 + 1 + 1) / 4] * 4


def test_the_fast_do_more():
    model, data = constant_gradients([1.0] * 8)
    network = Net(tuple(1.0 + k for k in range(8)))
    run = fd.train(AdPsgd(3, Ring(), STEP, seconds=8.0), model, data, runtime=fd.Simulation(network=network))
    # A step that is under way at the end of a slice is finished: after 24 seconds node k has taken ceil(24 / (k + 1)).
    assert run.history[-1].metrics["steps"] == sum(-(-24 // (k + 1)) for k in range(8)) / 8
    assert run.history[-1].virtual_s < 24 + 8
    steady = fd.train(AdPsgd(3, Ring(), STEP), model, data, runtime=fd.Simulation(network=network))
    assert steady.history[-1].virtual_s >= 3 * 8


def test_a_slow_peer_slows_nobody_down():
    model, data = constant_gradients([1.0] * 8)
    fast, slow = Net((1.0,) * 8), Net((1.0,) * 7 + (50.0,))
    steps = []
    for network in (fast, slow):
        run = fd.train(AdPsgd(1, Ring(), STEP, seconds=40.0), model, data, runtime=fd.Simulation(network=network))
        steps.append([b["state"].steps for b in run.checkpoint.tree["extra"]["peers"]["books"]])
    assert steps[0] == [40] * 8
    assert steps[1] == [40] * 7 + [1]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("program", [AdPsgd(4, Ring()), AdPsgd(3, Star(), seconds=2.0)])
def test_laws(program, network):
    check_program(program, workers=(1,), runtime=fd.Simulation(network=NETWORKS[network]))


def test_it_learns():
    data = fd.data.load("digits").split(fd.data.IID(), nodes=8, seed=0)
    torch.manual_seed(0)
    run = fd.train(
        AdPsgd(150, local=fd.LocalSGD(steps=1, batch_size=32, lr=0.3)),
        fd.Model(fd.models.mlp(64, 32, 10)), data, evaluate_every=150,
        runtime=fd.Simulation(network=NETWORKS["jitter"]),
    )  # fmt: skip
    assert run.history[-1].accuracy > 0.93
    assert run.history[-1].metrics["single_worst_accuracy"] > 0.9


def test_it_ends_on_the_real_clock():
    model, data = constant_gradients([1.0, 2.0, 3.0, 4.0])
    run = fd.train(AdPsgd(5, Ring(), STEP), model, data, runtime=fd.Local())
    assert float(run.vector) == pytest.approx(-5 * 2.5, rel=1e-6)


@pytest.mark.parametrize(("topology", "nodes"), [(Ring(), 5), (Complete(), 3), (Torus(3, 4), 12)])
def test_graphs_with_odd_circles_are_refused(topology, nodes):
    model, data = constant_gradients([1.0] * nodes)
    with pytest.raises(fd.BadInput, match=r"bipartite.*form an odd circle.*even number of nodes"):
        fd.train(AdPsgd(1, topology), model, data)


def test_what_else_does_not_fit():
    model, data = constant_gradients([1.0] * 4)
    with pytest.raises(fd.BadInput, match="one way only"):
        fd.train(AdPsgd(1, Exponential()), model, data)
    with pytest.raises(fd.BadInput, match=r"2 pieces: \{0,1\}, \{2,3\}"):
        fd.train(AdPsgd(1, Edges([(0, 1), (2, 3)])), model, data)
    with pytest.raises(fd.BadInput, match="more than 0"):
        AdPsgd(1, seconds=0.0)
    with pytest.raises(fd.BadInput, match="bound is how many steps"):
        AdPsgd(1, bound=-1)
    with pytest.raises(fd.BadInput, match="a step takes time"):
        fd.train(AdPsgd(1, seconds=1.0), model, data, runtime=fd.Simulation(network=Net((0.0,) * 4)))


def test_the_larger_side_asks():
    assert active_side(graph_of(Star(hub=2), 5)) == {0, 1, 3, 4}
    assert active_side(graph_of(Ring(), 6)) == {0, 2, 4}
