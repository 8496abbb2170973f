"""``evaluate_at="nodes"``: every node measures the model that it has, whatever the program."""

import cProfile
import pstats

import numpy as np
import pytest
import torch

import foedus as fd
from foedus import programs
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.types.scoring import values

LOCAL = fd.LocalSGD(lr=0.1)


@pytest.fixture(scope="module")
def model():
    return fd.Model(fd.models.logistic(4, 2), metrics=("accuracy", "auc"))


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(120, 4)).astype("f")
    rows = fd.data.arrays(x[:90], (x[:90, 0] > 0).astype(int), test=(x[90:], (x[90:, 0] > 0).astype(int)))
    return rows.split(fd.data.Dirichlet(alpha=5.0), nodes=3, seed=0, holdout=0.3)


def right(model, data, node, w):
    x, y = data.held_out(node).batch()
    with torch.no_grad():
        return (model.copy_of(w)(x).argmax(1) == y).double().mean().item()


def test_a_shared_model_on_all_rows_that_are_held_out(model, data):
    run = fd.train(fd.FedAvg(2, local=LOCAL), model, data, evaluate_at="nodes")
    assert run.evaluated_on == EvaluatedOn("held out", "nodes", "one")
    held = data.holdout_sizes
    expected = np.average([right(model, data, n, run.vector) for n in range(3)], weights=held)
    assert run.history[-1].accuracy == pytest.approx(expected)
    assert run.history[-1].auc is not None
    plain = fd.train(fd.FedAvg(2, local=LOCAL), model, data)
    assert plain.evaluated_on == EvaluatedOn("test")
    assert plain.sha256 == run.sha256  # measuring changes nothing


def test_nodes_that_train_alone_measure_their_own(model, data):
    run = fd.train(fd.LocalOnly(2, local=LOCAL), model, data, evaluate_at="nodes")
    assert run.evaluated_on == EvaluatedOn("held out", "nodes", "own")
    own = run.checkpoint.tree["state"].models
    expected = np.average([right(model, data, n, own[n]) for n in range(3)], weights=data.holdout_sizes)
    assert run.history[-1].accuracy == pytest.approx(expected)
    assert fd.train(fd.LocalOnly(2, local=LOCAL), model, data).evaluated_on == EvaluatedOn("test", models="each")


@pytest.mark.parametrize(
    "program",
    [programs.FedPer(2, local=LOCAL, personal=("bias",)), programs.Ditto(2, local=LOCAL),
     programs.FineTune(2, local=LOCAL), programs.IFCA(2, local=LOCAL), programs.Gossip(2, lr=0.1)],
    ids=lambda p: type(p).__name__,
)  # fmt: skip
def test_all_programs_with_models_at_nodes_are_measured_alike(program, model, data):
    run = fd.train(program, model, data, evaluate_at="nodes")
    assert run.evaluated_on == EvaluatedOn("held out", "nodes", "own")
    found, held = run.node_metrics["accuracy"], data.holdout_sizes
    assert run.history[-1].accuracy == pytest.approx(np.average(found, weights=held))


def test_a_run_that_has_ended_and_is_resumed_was_measured_where_it_was(model, data):
    program = programs.FedPer(2, local=LOCAL, personal=("bias",))
    run = fd.train(program, model, data)
    again = fd.train(program, model, data, resume=run)
    assert again.sha256 == run.sha256
    assert again.evaluated_on == run.evaluated_on == EvaluatedOn("held out", "nodes", "own")


def test_a_place_that_there_is_not(model, data):
    with pytest.raises(fd.BadInput, match="evaluate_at is 'program' or 'nodes'"):
        fd.train(fd.FedAvg(1), model, data, evaluate_at="moon")


MANY = ["auc", "f1", {"sensitivity": {"specificity": 0.8}}, "average_precision", "balanced_accuracy", "brier"]


@pytest.fixture(scope="module")
def noisy():
    g = np.random.default_rng(1)
    x = g.normal(size=(150, 4)).astype("f")
    y = (x[:, 0] + g.normal(size=150) > 0).astype(int)
    return fd.data.arrays(x, y).split(fd.data.Dirichlet(alpha=5.0), nodes=3, seed=0, holdout=0.4)


def test_what_nodes_send_makes_the_measures_of_all_rows_together(noisy):
    """As one coordinator that has all the rows which nodes hold out would have them, within a bin of the scores."""
    data, model = noisy, fd.Model(fd.models.logistic(4, 2), metrics=MANY)
    run = fd.train(fd.FedAvg(2, local=LOCAL), model, data, evaluate_at="nodes")
    held = [data.held_out(n).batch() for n in range(3)]
    x, y = torch.cat([x for x, _ in held]), torch.cat([y for _, y in held])
    output = run.model()(x).detach()
    pooled = values(model.measures, model.statistics(output, y))
    last = run.history[-1]
    assert {m: last.measured(m) for m in pooled} == pytest.approx(pooled, abs=0.01)
    assert last.measured("f1") == pooled["f1"]
    # Each node's own are exact, and their mean is another number.
    each = [values(model.measures, model.statistics(run.model()(x).detach(), y))["auc"] for x, y in held]
    assert run.node_metrics["auc"] == each
    assert last.metrics["node_mean_auc"] == pytest.approx(np.mean(each)) != last.auc


def test_the_first_metric_is_the_main_one(data):
    order = fd.Model(fd.models.logistic(4, 2), metrics=["brier", "accuracy"])
    run = fd.train(fd.FedAvg(4, local=fd.LocalSGD(lr=2.0)), order, data)
    assert run.judged.by == "brier"


def test_a_function_of_ones_own_sees_all_rows_at_the_coordinator_and_each_node_s_at_nodes(data):
    def hits(outputs, targets):
        return ((outputs[:, 1] > outputs[:, 0]).long() == targets).double().mean()

    model = fd.Model(fd.models.logistic(4, 2), metrics=[hits, "accuracy"])
    for where in ("program", "nodes"):
        run = fd.train(fd.FedAvg(1, local=LOCAL), model, data, evaluate_at=where)
        assert run.history[-1].metrics["hits"] == pytest.approx(run.history[-1].accuracy)
    assert run.node_metrics["hits"] == pytest.approx(run.node_metrics["accuracy"])


def test_no_statistics_of_rows_go_to_a_program_that_asks_for_an_evaluation(data):
    seen = []

    class Asks:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            seen.extend(await fed.map(fd.Evaluate(), {"w": s.w}, range(fed.nodes)))
            await fed.commit(s)

    fd.train(Asks(), fd.Model(fd.models.logistic(4, 2), metrics=MANY), data)
    assert len(seen) == 3
    assert all(not u.sums and not u.parts and "auc" in u.metrics for u in seen)


@pytest.mark.parametrize("where", ["program", "nodes"])
def test_what_always_the_same_answer_would_be_worth_is_measured_on_the_same_rows(data, where):
    model = fd.Model(fd.models.logistic(4, 2), metrics=["accuracy", "auc", "f1"])
    run = fd.train(fd.FedAvg(2, local=LOCAL), model, data, evaluate_at=where)
    counts = np.sum(run.label_counts, axis=0)
    y = data.test_y if where == "program" else torch.cat([data.held_out(n).batch()[1] for n in range(3)])
    often = int(counts.argmax())
    assert run.usual["accuracy"] == pytest.approx((y == often).double().mean().item())
    assert run.usual["auc"] == 0.5
    assert fd.train(fd.FedAvg(2, local=LOCAL), model, data, evaluate_at=where, resume=run).usual == run.usual


@pytest.mark.parametrize("where", ["program", "nodes"])
def test_wherever_jobs_run_the_measures_are_the_same_bits(noisy, where):
    model = fd.Model(fd.models.logistic(4, 2), metrics=MANY)
    runtimes = (fd.Simulation(), fd.Simulation(workers=2), fd.Processes())
    runs = [fd.train(fd.FedAvg(1, local=LOCAL), model, noisy, evaluate_at=where, runtime=r) for r in runtimes]
    first, *others = [(r.history[-1].auc, r.history[-1].metrics, r.usual, r.curves, r.node_metrics) for r in runs]
    assert all(other == first for other in others)


def calls(metric, nodes):
    """How many functions a run calls."""
    g = np.random.default_rng(0)
    rows = fd.data.arrays(g.normal(size=(20 * nodes, 3)).astype("f"), g.integers(0, 2, 20 * nodes))
    data = rows.split(fd.data.IID(), nodes=nodes, seed=0, holdout=0.5)
    model = fd.Model(fd.models.logistic(3, 2), metrics=[metric])
    program = fd.FedAvg(2, cohort=fd.Fixed(1), local=fd.LocalSGD(lr=0.1))
    with cProfile.Profile() as profile:
        fd.train(program, model, data, evaluate_at="nodes")
    return pstats.Stats(profile).total_calls


def test_ranks_of_small_nodes_take_little_more_work_than_accuracy():
    """Of one more node, and counted in calls of functions, which no other load of the machine changes."""
    calls("auc", 2)  # what is done once in a process
    more = {metric: calls(metric, 220) - calls(metric, 20) for metric in ("accuracy", "auc")}
    assert more["auc"] < 1.15 * more["accuracy"], more
