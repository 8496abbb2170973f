"""The runtime ``Processes``: the bits of a simulation where an order is defined, and what it costs counted on the wire.

To start processes takes seconds, so that each test here looks at many things.
"""

import itertools
import math
import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.coordination.federation import Federation
from foedus.core.records.ledger import Costs
from foedus.core.types.job import Work
from foedus.core.types.state import State
from foedus.core.types.update import Update
from foedus.network import CostModel, Device, Exponential, Links
from foedus.testing import small
from foedus.training import Run

WAYS = [("server", "shared"), ("server", "sockets"), ("tree", "shared"), ("tree", "sockets")]
ROUNDING = [("ring", "shared"), ("ring", "sockets"), ("gloo", "sockets")]


def way(exchange, wire, **more):
    return fd.Processes(wire=wire, exchange=exchange, **more)


def digits(nodes, partition=None):
    data = fd.data.load("digits").split(partition or fd.data.IID(), nodes=nodes, seed=0)
    return fd.Model(fd.models.mlp(64, 16, 10)), data


@dataclass(frozen=True)
class All:
    """One program that asks for everything: sums, robust rules, transforms with memory, node state, answers one by one,
    a job that fails once and is asked again."""

    rounds: int = 3
    one_by_one: bool = True

    async def __call__(self, fed: Federation):
        job, rule = fd.LocalSGD(epochs=1, batch_size=7, lr=0.1, momentum=0.5), fd.aggregators.Mean()
        s = await fed.begin(lambda w: State(w=w, c=w.new_zeros(fed.layout.parameters)))
        for _ in fed.rounds(self.rounds):
            nodes = await fed.sample(fd.Fixed(3))
            total = await fed.map_reduce(job, {"w": s.w}, nodes, rule)
            w = s.w + fd.join(total, fed.layout)
            total = await fed.map_reduce(
                fd.programs.scaffold.ControlledSGD(job), {"w": w, "c": s.c}, nodes, fd.aggregators.Mean(weighted=False)
            )
            w = w + 0.5 * fd.join(total, fed.layout)
            s = s.replace(c=s.c + total["control"])
            total = await fed.map_reduce(
                Flaky(), {"w": w}, range(fed.nodes), rule, until=fd.All(failure="retry"), transforms=()
            )
            w[0] += total["gradient"][0]
            if self.one_by_one:
                compress = (fd.ErrorFeedback(fd.TopK(0.1)),)
                total = await fed.map_reduce(job, {"w": w}, nodes, fd.aggregators.Median(), transforms=compress)
                w = w + fd.join(total, fed.layout)
                for u in await fed.map(fd.Gradient(batch_size=5), {"w": w}, nodes):
                    w[: fed.layout.parameters] -= 0.01 * u.value()["gradient"]
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w


@dataclass(frozen=True)
class Flaky:
    """Fails at node 1 in its first attempt of every round."""

    def work(self, rows):
        return Work(trained=1)

    def parts(self, model):
        return {"gradient": (1,)}

    def __call__(self, node, args):
        tries = int(node.state.get("tries", torch.zeros(1)))
        if node.id == 1 and node.key.integer() % 2:
            raise RuntimeError("not today")
        return Update({"gradient": torch.ones(1) * node.id}, 1.0, {}, node.id), {"tries": torch.tensor([tries + 1])}


@pytest.mark.parametrize(("exchange", "wire"), WAYS)
def test_bits_are_those_of_a_simulation(exchange, wire, leftovers):
    """All ways of asking nodes, through a parameter server and over a tree: the same model, the same history."""
    problem = small(nodes=4, rows=100)
    expected = fd.train(All(), problem.model, problem.data)
    with leftovers():
        run = fd.train(All(), problem.model, problem.data, runtime=way(exchange, wire))
    assert run.sha256 == expected.sha256
    for a, b in zip(expected.history, run.history, strict=True):
        assert (a.loss, a.accuracy, a.train_loss, a.cohort, a.epochs) == (
            b.loss,
            b.accuracy,
            b.train_loss,
            b.cohort,
            b.epochs,
        )
    assert run.history[-1].wall_s > 0


@pytest.mark.parametrize(("exchange", "wire"), ROUNDING)
def test_sums_in_another_order_agree_to_rounding(exchange, wire, leftovers):
    """Round a ring and with gloo: 1e-6, and the bytes of the formula: 2 (n - 1) / n of the vector a rank and call."""
    model, data = digits(nodes=3)
    program = fd.SyncSGD(rounds=4, lr=0.5)
    expected = fd.train(program, model, data)
    with leftovers():
        run = fd.train(program, model, data, runtime=way(exchange, wire), per_node=True)
    assert (run.vector - expected.vector).abs().max() <= 1e-6 * expected.vector.abs().max()
    assert [r.accuracy for r in run.history] == [r.accuracy for r in expected.history]
    vector = 4 * model.layout.parameters
    total = run.ledger.total
    assert total.bytes_up == total.bytes_down == pytest.approx(4 * 3 * 2 * 2 / 3 * vector, abs=4 * 3 * 2)
    assert total.messages_up == total.messages_down == 4 * 3 * 4
    assert all(c.bytes_up == pytest.approx(4 * 2 * 2 / 3 * vector, abs=16) for c in run.ledger.nodes.values())
    if (exchange, wire) != ("ring", "shared"):
        return
    # What nodes remember and answers of several parts go the same way.
    problem = small(nodes=3, rows=100)
    program = All(one_by_one=False)
    expected, run = fd.train(program, problem.model, problem.data), None
    run = fd.train(program, problem.model, problem.data, runtime=way(exchange, wire))
    assert torch.allclose(run.vector, expected.vector, rtol=1e-5, atol=1e-6)


def test_what_is_counted_on_the_wire():
    """Through a server every node gets the model and answers with a vector, each in one message; a tree moves 2 (n - 1)
    vectors. The seconds of a node are all accounted for."""
    model, data = digits(nodes=3)
    vector, rounds = 4 * model.layout.parameters, 5
    for exchange, wire, vectors in (("server", "sockets", 3), ("tree", "shared", 4)):
        run = fd.train(
            fd.SyncSGD(rounds=rounds), model, data, runtime=way(exchange, wire), evaluate_every=rounds, per_node=True
        )
        total = run.ledger.total
        assert total.bytes_up == total.bytes_down == rounds * vectors * vector
        assert total.messages_up == total.messages_down == rounds * vectors
        assert 0 < total.framing < 400 * 2 * rounds * vectors
        spent = total.compute_s + total.wire_s + total.serial_s + total.waiting_s
        assert spent <= 3 * run.history[-1].wall_s * 1.2 + 0.05
        assert min(total.compute_s, total.wire_s, total.serial_s, total.waiting_s) > 0
    if len(os.sched_getaffinity(0)) < 3:
        assert any(n.startswith("oversubscribed: 3 processes") for n in run.notices)
    assert sum(c.samples for c in run.ledger.nodes.values()) == total.samples == rounds * data.rows_owned


def test_model_parallel_programs_run_for_real():
    """Nodes that hold columns of the data, or parts of every layer."""
    model, data = digits(nodes=3, partition=fd.data.Replicated())
    linear = fd.Model(fd.models.logistic(64, 10))
    for one, program, exchange in (
        (model, fd.TensorParallel(rounds=2, lr=0.1), "tree"),
        (model, fd.TensorParallel(rounds=2, lr=0.1), "server"),
        (linear, fd.FeatureParallel(rounds=2, lr=0.1), "tree"),
    ):
        expected = fd.train(program, one, data)
        assert fd.train(program, one, data, runtime=way(exchange, "shared")).sha256 == expected.sha256


def test_a_run_goes_on_elsewhere(tmp_path):
    """Stopped among processes and resumed in a simulation, and the other way round: the same bits."""
    problem = small(nodes=3, rows=100)
    whole = fd.train(All(rounds=4), problem.model, problem.data)
    pairs = ((fd.Simulation(), way("tree", "shared")), (way("server", "sockets"), fd.Simulation()))
    for i, (first, then) in enumerate(pairs):
        out = tmp_path / str(i)
        stopped = fd.train(All(rounds=4), problem.model, problem.data, runtime=first, out=out, stop=fd.AfterCommits(2))
        assert len(stopped.history) == 2
        run = fd.train(All(rounds=4), problem.model, problem.data, runtime=then, out=out, resume=True)
        assert run.sha256 == whole.sha256


def test_arguments_too_long_for_a_wire_leave_while_nodes_are_waited_for(leftovers):
    """Evaluation waits for nodes without the loop, which else writes what a socket did not take at once."""
    model = fd.Model(torch.nn.Linear(1000, 3000))
    data = fd.data.arrays(np.ones((40, 1000), "f"), [i % 2 for i in range(40)], test=0.2).split(fd.data.IID(), nodes=2)
    program = fd.SyncSGD(rounds=1)
    expected = fd.train(program, model, data, evaluate_nodes=1)
    with leftovers():
        run = fd.train(program, model, data, evaluate_nodes=1, runtime=way("server", "sockets"))
    assert run.node_metrics == expected.node_metrics


def test_commits_that_are_not_due_are_recorded_all_the_same(tmp_path):
    """Ranks tell of them together; records, checkpoints and the last model are as with every commit told."""
    model, data = digits(nodes=2)
    program = fd.SyncSGD(rounds=7)
    expected = fd.train(program, model, data, evaluate_every=3)
    run = fd.train(
        program, model, data, runtime=way("ring", "shared"), evaluate_every=3, checkpoint_every=2, out=tmp_path / "run"
    )
    assert [r.round for r in run.history] == list(range(1, 8))
    assert [r.accuracy is None for r in run.history] == [r.accuracy is None for r in expected.history]
    assert torch.allclose(run.vector, expected.vector, atol=1e-6)
    assert all(a.wall_s < b.wall_s for a, b in itertools.pairwise(run.history))
    assert Run.load(tmp_path / "run").sha256 == run.sha256


# -- asynchronous --------------------------------------------------------------------------------------------------


def staleness_law(nodes, updates, runs, seed):
    """Histograms of staleness of exponential workers: whoever is next is any of them, whatever happened before."""
    rng = np.random.default_rng(seed)
    most = 40
    counts = np.zeros((runs, most + 1), dtype=int)
    for r in range(runs):
        last = np.zeros(nodes, dtype=int)
        for t, node in enumerate(rng.integers(nodes, size=updates)):
            counts[r, min(most, t - last[node])] += 1
            last[node] = t + 1
    return counts


def distance(counts, mean):
    """Between a histogram and the mean of many: chi-square with cells of enough weight."""
    cells = mean >= 5
    return float((((counts - mean) ** 2 / np.maximum(mean, 1e-9)) * cells).sum())


def test_staleness_has_the_distribution_of_a_simulation():
    """Real processes that play exponential devices against 4,000 samples of the law that the simulation has.

    The real run's distance from the mean histogram is beyond the greatest of 4,000 samples' in one of 4,001 cases:
    that is how often this test fails where nothing is wrong. A machine so busy that sleeps of 30 ms mean nothing
    would be another reason, so that it may try again once: 6e-8.
    """
    nodes, rounds = 4, 75
    device = Device(samples_per_second=1 / 0.03, jitter=Exponential())
    x = torch.zeros(nodes, 2)
    data = fd.data.arrays(
        x, torch.zeros(nodes, dtype=torch.int64), test=(x, torch.zeros(nodes, dtype=torch.int64)), classes=2
    )
    data = data.split(fd.data.IID(), nodes=nodes, seed=0)  # a row a node: every job takes 30 ms on average
    model = fd.Model(fd.models.mlp(2, 2))
    program = fd.ParameterServer(rounds=rounds, lr=0.01)
    samples = staleness_law(nodes, nodes * rounds, 4000, seed=1)
    mean = samples.mean(axis=0)
    worst = max(distance(c, mean) for c in samples)
    # The simulation has this law itself.
    free = CostModel(Links(latency=0.0, up=math.inf, down=math.inf), device)
    simulated = fd.train(program, model, data, runtime=fd.Simulation(network=free), seed=11)
    assert distance(histogram(simulated), mean) < worst
    for seed in (12, 13):
        run = fd.train(program, model, data, runtime=fd.Processes(device=device), seed=seed, evaluate_every=rounds)
        assert sum(run.staleness.values()) == nodes * rounds
        if distance(histogram(run), mean) < worst:
            break
    else:
        pytest.fail(f"staleness {run.staleness} is not that of a simulation: mean of the law {mean.round(1).tolist()}")


def histogram(run):
    counts = np.zeros(41)
    for staleness, n in run.staleness.items():
        counts[min(40, int(staleness))] += n
    return counts


def test_who_is_slow_is_waited_for_or_not():
    """A process slowed on purpose: synchronous rounds take its time, asynchronous updates go on meanwhile, and a quorum
    leaves it behind."""
    model, data = digits(nodes=3)
    slow = fd.Processes(device=Device(samples_per_second=100_000), slowdown=(1.0, 1.0, 100.0))
    job = fd.LocalSGD(epochs=1, batch_size=50, lr=0.1)
    sync = fd.train(fd.FedAvg(rounds=3, local=job), model, data, runtime=slow, per_node=True, evaluate_every=3)
    computed = [sync.ledger.nodes[n].compute_s for n in range(3)]
    assert computed[2] > 10 * max(computed[:2])
    assert sync.history[-1].wall_s > computed[2]
    over = fd.OverSelect(2, factor=1.5)
    quick = fd.train(fd.FedAvg(rounds=3, local=job, cohort=over), model, data, runtime=slow, evaluate_every=3)
    assert quick.history[-1].wall_s < sync.history[-1].wall_s
    assert [r.cohort for r in quick.history] == [2, 2, 2]
    steps = fd.train(fd.FedAsync(rounds=12, local=job), model, data, runtime=slow, per_node=True, evaluate_every=12)
    # The slow one may not have answered at all.
    assert steps.ledger.nodes.get(2, Costs()).jobs < steps.ledger.nodes[0].jobs


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wire": "socket"}, "did you mean 'sockets'"),
        ({"exchange": "rings"}, "did you mean 'ring'"),
        ({"lost": "ignore"}, "'abort', 'skip'"),
        ({"exchange": "gloo"}, "wire='sockets'"),
        ({"patience": 0.0}, "at least 1 s|1 s or more"),
        ({"slowdown": (0.5,)}, "from 1 up"),
        ({"device": "fast"}, "must be a Device"),
    ],
)
def test_bad_options(options, says):
    with pytest.raises(fd.BadInput, match=says):
        fd.Processes(**options)


def test_what_cannot_run_is_said_before_anything_does(leftovers):
    model, data = digits(nodes=2)
    with pytest.raises(fd.BadInput, match="3 factors for 2 nodes"):
        fd.train(fd.SyncSGD(rounds=1), model, data, runtime=fd.Processes(slowdown=(1.0, 1.0, 2.0)))
    many = fd.data.arrays(torch.zeros(600, 2), torch.zeros(600, dtype=torch.int64), classes=2)
    with pytest.raises(fd.BadInput, match="600 nodes would be as many processes"):
        fd.train(
            fd.SyncSGD(rounds=1),
            fd.Model(fd.models.mlp(2, 2)),
            many.split(fd.data.IID(), nodes=600),
            runtime=fd.Processes(),
        )
    with leftovers():
        for program, exchange, says in (
            (fd.ParameterServer(rounds=1), "ring", 'exchange="server"'),
            (fd.FedAvg(rounds=1, aggregate=fd.aggregators.Median()), "ring", "only adds"),
            (fd.SyncSGD(rounds=1, backup=1), "tree", 'exchange="server"'),
        ):
            with pytest.raises(fd.BadInput, match=says):
                fd.train(program, model, data, runtime=way(exchange, "shared"))
    with pytest.raises(fd.NodeFailed, match="node 1") as e:
        fd.train(Broken(), model, data, runtime=way("ring", "shared"))
    assert "ZeroDivisionError" in e.value.log
    assert len(e.value.run.history) == 1


@dataclass(frozen=True)
class Broken:
    """Its second round fails at node 1."""

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(3):
            await fed.map_reduce(Raising(t), {"w": s.w}, range(fed.nodes), fd.aggregators.Mean())
            await fed.commit(s)


@dataclass(frozen=True)
class Raising:
    t: int

    def work(self, rows):
        return Work(trained=1)

    def parts(self, model):
        return {"x": (1,)}

    def __call__(self, node, args):
        return Update({"x": torch.ones(1) / (1 if self.t < 1 else 1 // (1 - node.id))}, 1.0, {}, node.id), {}
