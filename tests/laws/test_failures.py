"""When a node's job raises or answers NaN: abort, skip, retry; and what of the run is kept."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import Raises, small

N = 6


@dataclass(frozen=True)
class _Faulty:
    """Answers ones; at one node its ``bad``-th job (counted from 0) raises, or answers NaN."""

    node: int = 3
    bad: tuple[int, ...] = (1,)
    poison: bool = False

    def work(self, rows: int) -> fd.Work:
        return fd.Work(trained=rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (2,)}

    def __call__(self, node: fd.NodeView, args):
        delta = torch.full((2,), float(node.id))
        if node.id == self.node and node.key.path[-1] in self.bad:
            if not self.poison:
                raise RuntimeError("the disk is full")
            delta[1] = math.nan
        return fd.Update({"delta": delta}, 1.0, {}, node.id), {"jobs": torch.ones(1)}


class _Calls:
    """One map_reduce a round; keeps what came. The model only counts rounds."""

    def __init__(self, job, until=None, aggregate=None, rounds: int = 3) -> None:
        self.job, self.until, self.rounds = job, until or fd.All(), rounds
        self.aggregate = aggregate or fd.Mean()
        self.came: list[fd.Reduced] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            self.came.append(
                await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), self.aggregate, until=self.until)
            )
            s = s.replace(w=s.w + 1)
            await fed.commit(s)


def _train(program, **options) -> fd.Run:
    problem = small(N)
    return fd.train(program, problem.model, problem.data, **options)


def test_abort_names_the_node_and_keeps_the_run(tmp_path) -> None:
    with pytest.raises(fd.NodeFailed, match=r"node 3 failed in round 2: RuntimeError: the disk is full") as caught:
        _train(_Calls(_Faulty()), out=tmp_path / "run")
    run = caught.value.run
    assert (len(run.history), run.status) == (1, "failed")
    assert torch.equal(run.vector, small(N).model.initial + 1)
    assert "_faulty" in caught.value.log.lower() or "RuntimeError" in caught.value.log
    assert "the disk is full" in (tmp_path / "run" / "error.log").read_text()


def test_abort_leaves_the_run_as_its_last_commit_had_it() -> None:
    """It can be resumed, and goes on as if nothing had happened: the same counters, books and time."""
    with pytest.raises(fd.NodeFailed) as caught:
        _train(_Calls(_Faulty()))
    resumed = _train(_Calls(_Faulty(bad=())), resume=caught.value.run)
    whole = _train(_Calls(_Faulty(bad=())))
    assert resumed.sha256 == whole.sha256
    assert resumed.ledger.total == whole.ledger.total
    assert [r.virtual_s for r in resumed.history] == [r.virtual_s for r in whole.history]


@pytest.mark.parametrize("job", [fd.LocalSGD(lr=0.1), Raises(node=5)], ids=["fits", "raises"])
def test_raises_only_at_its_node(job) -> None:
    if isinstance(job, Raises):
        with pytest.raises(fd.NodeFailed, match="node 5 failed in round 1"):
            _train(_Calls(job))
    else:
        assert len(_train(_Calls(job)).history) == 3


def test_skip_goes_on_without() -> None:
    program = _Calls(_Faulty(), fd.All("skip"))
    run = _train(program)
    assert [t.arrived for t in program.came] == [(0, 1, 2, 3, 4, 5), (0, 1, 2, 4, 5), (0, 1, 2, 3, 4, 5)]
    [failed] = program.came[1].missing.values()
    assert isinstance(failed, fd.Failed)
    assert (failed.node, failed.reason) == (3, "RuntimeError: the disk is full")
    assert float(program.came[1]["delta"][0]) == pytest.approx((0 + 1 + 2 + 4 + 5) / 5)
    assert [r.cohort for r in run.history] == [6, 5, 6]
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (18, 1)


def test_retry_tries_once_more() -> None:
    program = _Calls(_Faulty(), fd.All("retry"))
    run = _train(program)
    assert all(t.arrived == tuple(range(N)) for t in program.came)
    assert float(program.came[1]["delta"][0]) == 2.5
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (19, 1)


def test_retry_then_skip() -> None:
    program = _Calls(_Faulty(bad=(1, 2)), fd.All("retry"))
    run = _train(program)
    assert program.came[1].arrived == (0, 1, 2, 4, 5)
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (19, 2)


@pytest.mark.parametrize("failure", ["skip", "retry"])
def test_quorum_asks_on_for_a_node_that_failed(failure: str) -> None:
    program = _Calls(_Faulty(bad=(0, 1, 2, 3, 4, 5)), fd.Quorum(5, failure))
    _train(program)
    for total in program.came:
        assert total.arrived == (0, 1, 2, 4, 5)
        # Not asked again it did not come late: it failed. Asked again, its second answer is late or fails as well.
        reasons = {"RuntimeError: the disk is full"} | ({"late"} if failure == "retry" else set())
        assert list(total.missing) == [3]
        assert total.missing[3].reason in reasons


def test_map_answers_with_the_failure_in_its_place() -> None:
    answers: list[fd.Answer] = []

    class Asks:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                for until in (fd.All("skip"), fd.Quorum(5, "skip")):
                    answers.extend(await fed.map(_Faulty(bad=(0, 1)), {"w": s.w}, (5, 4, 3, 2, 1, 0), until=until))
                await fed.commit(s)

    _train(Asks())
    for i in (2, 8):
        assert isinstance(answers[i], fd.Failed)
        assert "the disk is full" in answers[i].reason
    assert [a.node for a in answers] == [5, 4, 3, 2, 1, 0] * 2


def test_nan_stops_a_mean_and_not_a_median() -> None:
    with pytest.raises(fd.Diverged, match=r"round 2.*node 3") as caught:
        _train(_Calls(_Faulty(poison=True)))
    assert len(caught.value.run.history) == 1
    program = _Calls(_Faulty(poison=True), aggregate=fd.Median())
    _train(program)
    assert program.came[1].arrived == (0, 1, 2, 4, 5)
    assert float(program.came[1]["delta"][0]) == 2.0


@dataclass(frozen=True)
class _Heavy(_Faulty):
    """Reports a weight that is no weight."""

    weight: float = math.nan

    def __call__(self, node: fd.NodeView, args):
        u, state = _Faulty.__call__(self, node, args)
        return fd.Update(u.parts, self.weight if node.id == 3 else 1.0, {}, node.id), state


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0])
def test_a_weight_that_is_no_weight_names_its_node(weight: float) -> None:
    with pytest.raises((fd.NodeFailed, fd.Diverged), match="node 3"):
        _train(_Calls(_Heavy(bad=(), weight=weight)))


@dataclass(frozen=True)
class _Liar(_Faulty):
    """Announces fewer numbers than it answers: its cost would be wrong."""

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (1,)}


@pytest.mark.parametrize("transforms", [(), (fd.Clip(1.0),)], ids=["plain", "clip"])
def test_an_answer_that_was_not_announced_is_refused(transforms) -> None:
    class Asks:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                await fed.map_reduce(_Liar(bad=()), {"w": s.w}, (0,), fd.Mean(), transforms=transforms)
                await fed.commit(s)

    with pytest.raises(fd.NodeFailed, match="announced"):
        _train(Asks())


# -- an update, a loss or a weight that is NaN -----------------------------------------------------------------

RUNTIMES = {
    "workers": fd.Simulation(workers=2),
    "wall clock": fd.Local(workers=2),
    "server": fd.Processes(),
    "tree": fd.Processes(exchange="tree"),
}


@dataclass(frozen=True)
class _Nan(fd.LocalSGD):
    """``LocalSGD``, whose second job at node 3 goes wrong: in its update, its loss or its weight."""

    what: str = "update"

    def __call__(self, node: fd.NodeView, args):
        u, state = fd.LocalSGD.__call__(self, node, args)
        if node.id == 3 and node.key.path[-1] == 1:
            match self.what:
                case "update":
                    u["delta"][0] = math.nan
                case "loss":
                    u.metrics["loss"] = math.inf
                case "raise":
                    raise RuntimeError("the disk is full")
                case "weight":
                    u = fd.Update(u.parts, math.nan, u.metrics, node.id)
        return u, state


LEFT_OUT = {
    "update": "node 3 failed in round 2 and was left out: loss or update is NaN or infinite",
    "loss": "node 3 failed in round 2 and was left out: loss or update is NaN or infinite",
    "weight": "node 3 failed in round 2 and was left out: weight is nan",
}


@pytest.mark.parametrize("transforms", [(), (fd.Clip(1.0),)], ids=["plain", "clip"])
@pytest.mark.parametrize("what", LEFT_OUT)
def test_skip_leaves_out_what_is_nan_and_says_so(what: str, transforms) -> None:
    program = fd.FedAvg(rounds=3, local=_Nan(what=what), until=fd.All("skip"), transforms=transforms)
    run = _train(program, per_node=True)
    assert [r.cohort for r in run.history] == [6, 5, 6]
    assert bool(torch.isfinite(run.vector).all())
    assert (run.ledger.total.failed, run.ledger.nodes[3].failed) == (1, 1)
    assert run.notices == [LEFT_OUT[what]]
    raised = fd.FedAvg(rounds=3, local=_Nan(what="raise"), until=fd.All("skip"), transforms=transforms)
    assert run.sha256 == _train(raised).sha256


@pytest.mark.parametrize("what", LEFT_OUT)
def test_without_skip_the_error_names_the_ways_that_help(what: str) -> None:
    with pytest.raises(fd.Diverged, match=r'node 3.*lr.*Clip.*failure is "skip"') as caught:
        _train(fd.FedAvg(rounds=3, local=_Nan(what=what)))
    assert "\n" not in str(caught.value)
    assert len(caught.value.run.history) == 1


@pytest.mark.parametrize(
    "name", ["server", "tree", *(pytest.param(n, marks=pytest.mark.slow) for n in ("workers", "wall clock"))]
)
def test_every_runtime_goes_on_without_an_update_that_is_nan(name: str) -> None:
    run = _train(fd.FedAvg(rounds=3, local=_Nan(), until=fd.All("skip")), runtime=RUNTIMES[name])
    assert [r.cohort for r in run.history] == [6, 5, 6]
    assert run.sha256 == _train(fd.FedAvg(rounds=3, local=_Nan(), until=fd.All("skip"))).sha256
    assert run.notices[-1] == LEFT_OUT["update"]


def test_retry_asks_again_for_an_update_that_is_nan() -> None:
    run = _train(fd.FedAvg(rounds=3, local=_Nan(), until=fd.All("retry")))
    assert [r.cohort for r in run.history] == [6, 6, 6]
    assert (run.ledger.total.failed, run.notices) == (1, [])


@pytest.mark.parametrize("program", [fd.FedAsync, fd.FedBuff, fd.EASGD], ids=lambda p: p.__name__)
def test_a_stream_goes_on_without_an_update_that_is_nan(program) -> None:
    options = {"buffer": 2} if program is fd.FedBuff else {}
    run = _train(program(rounds=12, local=_Nan(), failure="skip", **options), per_node=True)
    assert run.ledger.nodes[3].failed == 1
    assert bool(torch.isfinite(run.vector).all())
    [notice] = run.notices
    assert notice.startswith("node 3 failed in round ")
    with pytest.raises(fd.Diverged, match=r'node 3.*failure is "skip"'):
        _train(program(rounds=12, local=_Nan(), **options))


@pytest.mark.parametrize(
    "runtime", [fd.Simulation(), pytest.param(fd.Processes(), marks=pytest.mark.slow)], ids=["one", "all"]
)
def test_a_peer_whose_update_is_nan_is_named(runtime) -> None:
    with pytest.raises(fd.Diverged, match=r"round 2.*node 3's loss or update is NaN"):
        _train(fd.Gossip(rounds=3, local=_Nan()), runtime=runtime)


def test_a_run_that_goes_on_says_once_who_was_left_out(tmp_path) -> None:
    program = fd.FedAvg(rounds=4, local=_Nan(), until=fd.All("skip"))
    _train(program, out=tmp_path / "run", stop=fd.AfterCommits(3))
    run = _train(program, out=tmp_path / "run", resume=True)
    assert run.notices == [LEFT_OUT["update"]]
    assert fd.Run.load(tmp_path / "run").notices == run.notices


def test_many_nodes_that_are_left_out_are_not_all_named() -> None:
    problem = small(12)

    @dataclass(frozen=True)
    class All(fd.LocalSGD):
        def __call__(self, node: fd.NodeView, args):
            u, state = fd.LocalSGD.__call__(self, node, args)
            return (u.with_parts({k: v * math.nan for k, v in u.parts.items()}) if node.id else u), state

    run = fd.train(fd.FedAvg(rounds=1, local=All(), until=fd.All("skip")), problem.model, problem.data)
    assert len(run.notices) == 11
    assert run.notices[0].startswith("node 1 failed")
    assert "ledger" in run.notices[10]
