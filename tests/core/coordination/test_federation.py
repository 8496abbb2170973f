"""Federation: jobs, answers, rounds, commits and the books, in virtual time."""

import asyncio
import gc
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.time.cost import Link


@dataclass(frozen=True)
class Net:
    """Node k computes ``base + step * k`` seconds; its link has a latency of a second and 100 bytes per second."""

    base: float = 1.0
    step: float = 1.0
    server_up: float = math.inf
    server_down: float = math.inf

    def link(self, node, key):
        return Link(1.0, 100.0, 100.0)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return self.base + self.step * node


SIM = fd.Simulation(network=Net())


@dataclass(frozen=True)
class Tell:
    """Answers its node's id, how often it was asked (its state), and its draw; some nodes fail."""

    failing: tuple[int, ...] = ()
    nan: tuple[int, ...] = ()
    draws_that_fail: float = 0.0

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"u": (2,)}

    def __call__(self, node, args):
        draw = node.key.uniform()
        if node.id in self.failing or draw < self.draws_that_fail:
            raise RuntimeError(f"node {node.id} is broken\nsecond line")
        asked = node.state.get("asked", torch.zeros(1)) + 1
        value = math.nan if node.id in self.nan else float(node.id)
        u = torch.tensor([value, asked.item()])
        return fd.Update({"u": u}, float(len(node.rows)), {"loss": 1.0, "draw": draw}, node.id), {"asked": asked}


def train(body, model, data, rounds=1, **options):
    """Run ``await body(fed, s, t)`` in every round, which may return the next state."""

    return fd.train(Program(rounds, body), model, data, **{"runtime": SIM, **options})


@dataclass(frozen=True)
class Program:
    rounds: int
    body: Callable

    async def __call__(self, fed):
        s = await fed.begin(lambda w: fd.State(w=w))
        for t in fed.rounds(self.rounds):
            s = await self.body(fed, s, t) or s
            await fed.commit(s)
        return s.w


# -- map -----------------------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_nodes(model, data):
    async def body(fed, s, t):
        answers = await fed.map(Tell(), {"w": s.w}, [4, 0, 5, 2])
        assert [a.node for a in answers] == [4, 0, 5, 2]
        assert [a["u"][0].item() for a in answers] == [4, 0, 5, 2]
        assert await fed.map(Tell(), {"w": s.w}, []) == []
        assert (fed.nodes, len(fed.sizes), fed.layout.size) == (6, 6, len(s.w))

    train(body, model, data)


def test_node_state_counts_only_answers_that_were_used(model, data):
    async def body(fed, s, t):
        first = await fed.map(Tell(), {"w": s.w}, range(6), until=fd.Quorum(2))
        assert [a["u"][1].item() for a in first[:2]] == [1, 1]
        assert first[2:] == [fd.Late(n) for n in (2, 3, 4, 5)]
        second = await fed.map(Tell(), {"w": s.w}, range(6))
        assert [a["u"][1].item() for a in second] == [2, 2, 1, 1, 1, 1]

    train(body, model, data)


def test_every_job_has_a_draw_of_its_own(model, data):
    draws = []

    async def body(fed, s, t):
        for nodes in ((0, 1), (1, 0)):
            draws.extend(a.metrics["draw"] for a in await fed.map(Tell(), {"w": s.w}, nodes))

    train(body, model, data)
    assert len(set(draws)) == 4
    assert draws[0] == fd.Key(0).child("job", 0, 0).uniform()
    assert draws[3] == fd.Key(0).child("job", 0, 1).uniform()


@pytest.mark.parametrize("failure", ["skip", "retry"])
def test_a_failed_node_is_a_failed_answer_in_its_place(model, data, failure):
    async def body(fed, s, t):
        answers = await fed.map(Tell(failing=(1,)), {"w": s.w}, [2, 1, 0], until=fd.All(failure=failure))
        assert [type(a).__name__ for a in answers] == ["Update", "Failed", "Update"]
        assert answers[1].node == 1
        assert answers[1].reason == "RuntimeError: node 1 is broken"
        assert "Traceback" in answers[1].log

    run = train(body, model, data, per_node=True)
    assert run.ledger.total.dropped == (1 if failure == "skip" else 2)
    assert run.ledger.nodes[1].jobs == (1 if failure == "skip" else 2)
    assert run.ledger.nodes[1].samples > 0


@pytest.mark.parametrize("until", [fd.Quorum(3, failure="skip"), fd.Deadline(60.0, failure="skip"), fd.All("skip")])
def test_who_failed_and_who_was_late_are_told_apart(model, data, until):
    async def body(fed, s, t):
        job = Tell(failing=(0, 1))
        answers = await fed.map(job, {"w": s.w}, range(6), until=until)
        assert [type(a).__name__ for a in answers[:5]] == ["Failed", "Failed", "Update", "Update", "Update"]
        total = await fed.map_reduce(job, {"w": s.w}, range(6), fd.Mean(), until=until)
        late = {5: "late"} if isinstance(until, fd.Quorum) else {}
        broken = {n: f"RuntimeError: node {n} is broken" for n in (0, 1)}
        assert {n: m.reason for n, m in total.missing.items()} == broken | late
        assert total.arrived == ((2, 3, 4) if late else (2, 3, 4, 5))
        assert total["u"][0].item() == pytest.approx(sum(total.arrived) / len(total.arrived), rel=0.1)

    run = train(body, model, data)
    assert run.ledger.total.jobs == 12
    assert run.ledger.total.dropped == (6 if isinstance(until, fd.Quorum) else 4)


def test_retry_asks_once_more_with_a_new_draw(model, data):
    # Draws are fixed by the keys: pick a limit that lets some nodes fail once and then pass.
    first = {n: fd.Key(0).child("job", n, 0).uniform() for n in range(6)}
    second = {n: fd.Key(0).child("job", n, 1).uniform() for n in range(6)}
    limit = sorted(first.values())[2] + 1e-9
    expected = {n for n in range(6) if first[n] >= limit or second[n] >= limit}
    assert any(first[n] < limit for n in expected)

    async def body(fed, s, t):
        job = Tell(draws_that_fail=limit)
        total = await fed.map_reduce(job, {"w": s.w}, range(6), fd.Mean(), until=fd.All(failure="retry"))
        assert set(total.arrived) == expected
        assert set(total.missing) == set(range(6)) - expected

    run = train(body, model, data, per_node=True)
    failed_once = sum(first[n] < limit for n in range(6))
    assert run.ledger.total.jobs == 6 + failed_once
    assert run.ledger.total.dropped == failed_once + 6 - len(expected)
    length = run.history[-1].virtual_s
    for n in expected:
        c = run.ledger.nodes[n]
        assert c.compute_s + c.wire_s + c.waiting_s == pytest.approx(length)


def test_an_abort_names_node_and_round_and_keeps_the_log(model, data):
    async def body(fed, s, t):
        await fed.map(Tell(failing=(3,) if t == 2 else ()), {"w": s.w}, range(6))
        return s.replace(w=s.w * 2)

    with pytest.raises(fd.NodeFailed, match=r"node 3 failed in round 3: RuntimeError: node 3 is broken") as e:
        train(body, model, data, rounds=5)
    assert "\n" not in str(e.value)
    assert "second line" in e.value.log
    assert e.value.run.status == "failed"
    assert len(e.value.run.history) == 2
    assert torch.equal(e.value.run.vector, model.initial * 4)


@pytest.mark.parametrize("failure", ["abort", "skip"])
def test_nan_stops_the_run_unless_the_aggregator_is_robust_or_it_is_to_be_skipped(model, data, failure):
    async def body(fed, s, t):
        until = fd.All(failure=failure)
        robust = await fed.map_reduce(Tell(nan=(2,)), {"w": s.w}, range(6), fd.Median(), until=until)
        assert robust.arrived == (0, 1, 3, 4, 5)
        assert "NaN" in robust.missing[2].reason
        assert robust["u"][0].item() == 3
        mean = await fed.map_reduce(Tell(nan=(2,)), {"w": s.w}, range(6), fd.Mean(), until=until)
        assert mean.arrived == robust.arrived

    if failure == "skip":
        train(body, model, data)
        return
    with pytest.raises(fd.Diverged, match=r"round 1: node 2's.*learning rate"):
        train(body, model, data)


@pytest.mark.parametrize(
    ("nodes", "says"), [([0, 1, 0], "twice"), ([6], "no node 6.*0..5"), ([-3], "no node -3"), ([0, 99], "no node 99")]
)
def test_nodes_that_are_not_there_or_stand_twice_are_refused(model, data, nodes, says):
    async def body(fed, s, t):
        await fed.map(Tell(), {"w": s.w}, nodes)

    with pytest.raises(fd.ProgramError, match=says):
        train(body, model, data)


def test_an_answer_other_than_announced_is_refused_before_it_is_sent(model, data):
    @dataclass(frozen=True)
    class Wrong(Tell):
        def parts(self, model):
            return {"u": (3,)}

    async def body(fed, s, t):
        await fed.map_reduce(Wrong(), {"w": s.w}, [0], fd.Mean(), transforms=(fd.TopK(0.5),))

    with pytest.raises(fd.NodeFailed, match="announced"):
        train(body, model, data)


def test_a_job_may_answer_what_it_was_given(model, data):
    """Arguments and node state are the coordinator's: a fold that works in place must not change them."""

    @dataclass(frozen=True)
    class Echo:
        def work(self, rows):
            return fd.Work(trained=rows)

        def parts(self, model):
            return {"u": (model.layout.size,), "c": (2,)}

        def __call__(self, node, args):
            c = node.state.get("c", torch.ones(2))
            return fd.Update({"u": args["w"], "c": c}, 2.0, {}, node.id), {"c": c}

    async def body(fed, s, t):
        for _ in range(3):
            total = await fed.map_reduce(Echo(), {"w": s.w}, range(4), fd.Mean())  # powers of two: exact
            assert torch.equal(total["u"], s.w)
            assert total["c"].tolist() == [1, 1]
        assert torch.equal(s.w, model.initial)

    train(body, model, data)


def test_a_job_may_answer_the_models_own_memory(model, data):
    @dataclass(frozen=True)
    class Weights:
        def work(self, rows):
            return fd.Work(trained=rows)

        def parts(self, model):
            return {"u": (model.layout.size,)}

        def __call__(self, node, args):
            node.model.load(args["w"])
            node.model.flat.fill_(float(node.id))
            return fd.Update({"u": node.model.flat}, 1.0, {}, node.id), {}

    async def body(fed, s, t):
        answers = await fed.map(Weights(), {"w": s.w}, range(6))
        assert [a["u"][0].item() for a in answers] == [0, 1, 2, 3, 4, 5]
        total = await fed.map_reduce(Weights(), {"w": s.w}, range(6), fd.Median())
        assert total["u"][0].item() == 2.5

    train(body, model, data)


def test_a_node_may_remember_its_answer(model, data):
    """An answer may be a view of the resident model, which the next node's job writes over."""

    @dataclass(frozen=True)
    class Remembers(fd.LocalSGD):
        def __call__(self, node, args):
            u, _ = super().__call__(node, args)
            before = node.state.get("last", torch.zeros(1))
            return fd.Update(u.parts, 1.0, {"before": float(before.sum())}, node.id), {"last": u["delta"]}

    async def body(fed, s, t):
        for aggregator in (fd.Mean(), fd.Median()):
            job = Remembers(batch_size=None)
            first = await fed.map(job, {"w": s.w}, range(6))
            expected = [float(u["delta"].sum()) for u in first]
            assert len(set(expected)) == 6
            await fed.map_reduce(job, {"w": s.w}, range(6), aggregator)
            last = await fed.map(job, {"w": s.w}, range(6))
            assert [u.metrics["before"] for u in last] == pytest.approx(expected, abs=0.2)
            assert len({u.metrics["before"] for u in last}) == 6
            await fed.map_reduce(job, {"w": s.w}, range(6), aggregator, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),))
            kept = [u.metrics["before"] for u in await fed.map(job, {"w": s.w}, range(6))]
            assert len(set(kept)) == 6

    train(body, fd.Model(nn.Linear(4, 3)), data)


# -- several at once -----------------------------------------------------------------------------------------------


def test_maps_gathered_run_side_by_side(model, data):
    async def body(fed, s, t):
        a, b = await asyncio.gather(fed.map(Tell(), {"w": s.w}, [0, 2]), fed.map(Tell(), {"w": s.w}, [5]))
        assert ([u.node for u in a], [u.node for u in b]) == ([0, 2], [5])

    run = train(body, model, data)
    down, up = 4 * model.layout.size / 100, 8 / 100
    assert run.history[0].virtual_s == pytest.approx(down + 1 + 6 + up + 1)  # node 5's, not the sum of both


def test_a_commit_while_a_map_is_open_is_refused(model, data):
    async def body(fed, s, t):
        async def other():
            await fed.sleep(0.1)
            await fed.commit(s)

        await asyncio.gather(fed.map(Tell(), {"w": s.w}, [0]), other())

    with pytest.raises(fd.ProgramError, match=r"1 map call.*await them first"):
        train(body, model, data)


@pytest.mark.parametrize("group", [True, False])
def test_a_failure_in_a_group_of_maps_is_the_runs_failure(model, data, group):
    async def body(fed, s, t):
        calls = [fed.map(Tell(failing=(1,)), {"w": s.w}, [n]) for n in range(3)]
        if not group:
            await asyncio.gather(*calls)
            return
        async with asyncio.TaskGroup() as tasks:
            for c in calls:
                tasks.create_task(c)

    with pytest.raises(fd.NodeFailed, match="node 1") as e:
        train(body, model, data)
    assert e.value.run.status == "failed"
    gc.collect()


def test_sleep_takes_virtual_time_only(model, data):
    seen = []

    async def body(fed, s, t):
        await fed.sleep(1e6)
        seen.append(fed.now)

    run = train(body, model, data, rounds=2)
    assert seen == [1e6, 2e6]
    assert run.history[-1].virtual_s == 2e6
    assert run.history[-1].wall_s < 60


# -- rounds and commits ----------------------------------------------------------------------------------------


def test_a_round_without_a_commit_is_refused(model, data):
    class Program:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(3):
                pass
            return s.w

    with pytest.raises(fd.ProgramError, match=r"round 0 ended without fed\.commit"):
        fd.train(Program(), model, data)


def test_begin_needs_a_state(model, data):
    class Program:
        async def __call__(self, fed):
            await fed.begin(lambda w: w)

    with pytest.raises(fd.ProgramError, match=r"a function that returns a State, .* got one that returns a Tensor"):
        fd.train(Program(), model, data)


def test_the_initial_vector_is_a_copy(model, data):
    before = model.initial.clone()

    async def body(fed, s, t):
        s.w.add_(1)

    run = train(body, model, data)
    assert torch.equal(model.initial, before)
    assert torch.equal(run.vector, before + 1)


@pytest.mark.parametrize(("every", "evaluated"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (10, [5])])
def test_evaluation_has_a_cadence_and_the_last_round_is_evaluated(model, data, every, evaluated):
    run = fd.train(fd.FedAvg(rounds=5), model, data, evaluate_every=every)
    assert [r.round for r in run.history if r.accuracy is not None] == evaluated
    assert [r.round for r in run.history if r.loss is not None] == evaluated
    assert all(r.train_loss is not None for r in run.history)


def test_the_last_round_is_evaluated_if_a_rule_ended_the_run(model, data):
    run = fd.train(fd.FedAvg(rounds=9), model, data, evaluate_every=4, stop=fd.AfterCommits(6))
    assert [r.round for r in run.history if r.accuracy is not None] == [4, 6]


def test_stop_rules_and_best(model, data):
    run = fd.train(fd.FedAvg(rounds=40, local=fd.LocalSGD(lr=0.1)), model, data, stop=fd.Target(0.0))
    assert (run.status, len(run.history)) == ("stopped", 1)
    run = fd.train(fd.FedAvg(rounds=8), model, data, stop=[fd.AfterCommits(30), fd.Target(9.0, "loss")])
    assert len(run.history) == 1
    run = fd.train(fd.FedAvg(rounds=8), model, data)
    assert run.best.round in run.judged.rounds
    prefix = fd.train(fd.FedAvg(rounds=run.best.round), model, data)
    assert run.best_vector.equal(prefix.vector)


def test_evaluation_takes_no_virtual_time_and_leaves_training_alone(model, data):
    often = fd.train(fd.FedAvg(rounds=4), model, data, runtime=SIM)
    seldom = fd.train(fd.FedAvg(rounds=4), model, data, runtime=SIM, evaluate_every=4)
    assert often.sha256 == seldom.sha256
    assert [r.virtual_s for r in often.history] == [r.virtual_s for r in seldom.history]
    assert often.ledger.total == seldom.ledger.total


def test_without_a_test_set_the_training_rows_are_evaluated(model, federation):
    data = federation(test=None)
    run = fd.train(fd.FedAvg(rounds=1), model, data)
    assert run.evaluated_on.rows == "train"
    with torch.no_grad():
        hits = (run.model()(data.x).argmax(1) == data.y).double().mean().item()
    assert run.history[-1].accuracy == pytest.approx(hits)


def test_a_model_that_becomes_nan_at_the_server_is_not_committed(model, data):
    async def body(fed, s, t):
        return s.replace(w=s.w * (math.nan if t == 2 else 2.0))

    with pytest.raises(fd.Diverged, match=r"round 3.*round 2, is kept") as e:
        train(body, model, data, rounds=5)
    assert torch.equal(e.value.run.vector, model.initial * 4)
    assert len(e.value.run.history) == 2


# -- the ledger --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [Net(), Net(server_up=150.0, server_down=120.0), fd.network.WAN, fd.network.LAN])
@pytest.mark.parametrize("until", [fd.All(), fd.Quorum(3), fd.Deadline(8.0)])
def test_compute_wire_and_waiting_are_the_length_of_the_round(model, data, network, until):
    program = fd.FedAvg(rounds=1, until=until)
    run = fd.train(program, model, data, runtime=fd.Simulation(network=network), per_node=True)
    led, length = run.ledger, run.history[0].virtual_s
    assert length > 0
    used = [n for n, c in led.nodes.items() if not c.dropped]
    assert len(used) == run.history[0].cohort
    for n, c in led.nodes.items():
        spent = c.compute_s + c.wire_s + c.waiting_s
        assert spent == pytest.approx(length, rel=1e-9), n
    total = type(led.total)()
    for n in sorted(led.nodes):
        total.add(led.nodes[n])
    for name, value in total.as_dict().items():
        assert value == pytest.approx(getattr(led.total, name), rel=1e-12), name
    assert run.history[0].bytes_up == led.bytes_up
    if isinstance(until, fd.All):
        size = 4 * model.layout.size
        assert led.bytes_up == led.bytes_down == 6 * size
        assert led.messages == 12
        assert run.history[0].epochs == 1.0
        assert min(c.waiting_s for c in led.nodes.values()) == pytest.approx(0.0, abs=1e-9)


def test_the_books_are_cumulative_and_those_of_a_failed_round_are_struck_out(model, data):
    async def body(fed, s, t):
        await fed.map(Tell(failing=(5,) if t == 2 else ()), {"w": s.w}, range(6))

    with pytest.raises(fd.NodeFailed) as e:
        train(body, model, data, rounds=4, per_node=True)
    run = e.value.run
    one, two = run.history
    assert two.bytes_up == 2 * one.bytes_up == run.ledger.bytes_up
    assert two.virtual_s == pytest.approx(2 * one.virtual_s)
    assert run.ledger.total.jobs == 12
    assert run.ledger.virtual_s == two.virtual_s


def test_transforms_with_state_side_by_side(model, data):
    """Every transform keeps a node state of its own, and a resumed run finds them all."""
    transforms = (fd.Clip(0.1), fd.ErrorFeedback(fd.TopK(0.5)), fd.Clip(1e6))
    program = fd.FedAvg(rounds=4, transforms=transforms, server=fd.optimizers.Adam())
    whole = fd.train(program, model, data)
    for k in (1, 2, 3):
        part = fd.train(program, model, data, stop=fd.AfterCommits(k))
        assert fd.train(program, model, data, resume=part).sha256 == whole.sha256
    plain = fd.train(fd.FedAvg(rounds=4, server=fd.optimizers.Adam()), model, data)
    assert plain.sha256 != whole.sha256


def test_an_empty_cohort_is_a_round_all_the_same(model, data):
    run = fd.train(fd.FedAvg(rounds=30, cohort=fd.Poisson(0.1)), model, data, runtime=SIM)
    assert len(run.history) == 30
    empty = [r.round for r in run.history if r.cohort == 0]
    assert empty
    again = fd.train(
        fd.FedAvg(rounds=30, cohort=fd.Poisson(0.1)),
        model,
        data,
        runtime=SIM,
        resume=fd.train(
            fd.FedAvg(rounds=30, cohort=fd.Poisson(0.1)), model, data, runtime=SIM, stop=fd.AfterCommits(empty[0])
        ),
    )
    assert again.sha256 == run.sha256


# -- Ctrl-C ------------------------------------------------------------------------------------------------------


class Stops(nn.Module):
    """Raises Ctrl-C in its n-th forward pass of a kind."""

    passes = 0
    at = None
    training_pass = True

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, x):
        if self.training == Stops.training_pass:
            Stops.passes += 1
            if Stops.passes == Stops.at:
                raise KeyboardInterrupt
        return self.lin(x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_ctrl_c_anywhere_loses_nothing_that_was_committed(data, tmp_path, training, kind):
    model = fd.Model(Stops())
    program = fd.FedAvg(rounds=3, cohort=fd.Fixed(4), server=fd.optimizers.Adam())
    Stops.training_pass, Stops.at = training, None
    for _ in range(2):  # a model counts its operations once
        Stops.passes = 0
        whole = fd.train(program, model, data, runtime=SIM)
    for at in range(1, Stops.passes + 1):
        out = tmp_path / str(at) if kind == "folder" else None
        Stops.at, Stops.passes = at, 0
        try:
            fd.train(program, model, data, runtime=SIM, out=out)
        except fd.Interrupted as e:
            stopped = e
        except KeyboardInterrupt:
            continue  # in the check of the model, before anything ran
        else:
            pytest.fail("nothing happened")
        Stops.at = None
        run = stopped.run
        assert run.status == "interrupted"
        if not run.history:
            assert out is None or not out.exists()
            assert "resume" not in str(stopped)
            continue
        assert f"stopped at commit {len(run.history)}" in str(stopped)
        assert "resume" in str(stopped)
        again = fd.train(program, model, data, runtime=SIM, out=out, resume=True if out else run)
        assert again.sha256 == whole.sha256, at
        assert [r.virtual_s for r in again.history] == [r.virtual_s for r in whole.history], at
        assert [r.round for r in again.history] == [1, 2, 3]
        assert again.ledger.total == whole.ledger.total
        del stopped, run


def test_ctrl_c_between_checkpoints_can_be_resumed_as_it_says(data, tmp_path):
    model, program = fd.Model(nn.Linear(4, 3)), fd.FedAvg(rounds=6)
    whole = fd.train(program, model, data)
    for at in (1, 2, 4, 5):

        def stop(record, at=at):
            if record.round == at:
                raise KeyboardInterrupt

        out = tmp_path / str(at)
        with pytest.raises(fd.Interrupted, match=f"commit {at}; .*resume=True"):
            fd.train(program, model, data, out=out, checkpoint_every=3, progress=stop)
        again = fd.train(program, model, data, out=out, resume=True)
        assert again.sha256 == whole.sha256
