"""Nodes that come and go: drop-out, over-selection, deadlines nobody meets, and who waited for whom."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import foedus as fd
from foedus.core.time.cost import Link, Spell
from foedus.core.types.data import FederatedDataset
from foedus.data import Natural, arrays
from foedus.network import CostModel, DayNight, Device, Exponential, Links, OnOff, Pareto, theory
from foedus.sampling import Available, OverSelect
from foedus.testing import check_program, half_squares, residuals, small

FREE = Links(0.0, math.inf, math.inf)
SECOND = Device(samples_per_second=1.0, jitter=Exponential())
# Four bytes take a second, all share a line that is no faster, and nodes come and go as long as a job takes.
ROUGH = CostModel(
    Links(0.25, up=8.0, down=8.0, spread=0.5), Device(samples_per_second=1.0, jitter=Pareto(1.5)),
    server_up=12.0, server_down=12.0, availability=OnOff(12.0, 4.0), dropout=0.1,
)  # fmt: skip


def _one_row_each(n: int) -> FederatedDataset:
    return arrays(torch.ones(n, 1), torch.zeros(n, 1), node=list(range(n))).split(Natural())


def reasons(total: fd.Reduced) -> dict[int, str]:
    return {node: missing.reason for node, missing in total.missing.items()}


def _model() -> fd.Model:
    return fd.Model(torch.nn.Linear(1, 1), half_squares)


def _train(program, n: int, network, **options) -> fd.Run:
    options = {"evaluate_every": 10**9, "per_node": True, "runtime": fd.Simulation(network=network)} | options
    return fd.train(program, _model(), _one_row_each(n), **options)


@dataclass(frozen=True)
class Scripted:
    """Node k computes ``seconds[k]`` on its own links; it is off during ``off[k]``, spells of (start, end)."""

    seconds: tuple[float, ...]
    off: tuple[tuple[tuple[float, float], ...], ...] = ()
    latency: float = 0.0
    rate: float = math.inf
    server_up: float = math.inf
    server_down: float = math.inf
    dropout: float = 0.0

    @property
    def availability(self):
        return self

    def spell(self, node, when, key, known=None):
        for i, (start, end) in enumerate(self.off[node] if node < len(self.off) else ()):
            if when < start:
                return Spell(True, start, 2 * i)
            if when < end:
                return Spell(False, end, 2 * i + 1)
        return Spell(True, math.inf, 99)

    def link(self, node, key):
        return Link(self.latency, self.rate, self.rate)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return self.seconds[node]


class _Rounds:
    """One map_reduce a round over a cohort; keeps what came, and when."""

    def __init__(self, until=None, rounds: int = 1, cohort=None) -> None:
        self.until, self.rounds, self.cohort = until or fd.All(), rounds, cohort or fd.Fraction(1.0)
        self.came: list[fd.Reduced] = []
        self.took: list[float] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            nodes, before = await fed.sample(self.cohort), fed.now
            self.came.append(await fed.map_reduce(fd.Gradient(), {"w": s.w}, nodes, fd.Mean(), until=self.until))
            self.took.append(fed.now - before)
            await fed.commit(s)


# -- order statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "factor", "asked"), [(10, 1.3, 13), (20, 1.0, 20)])
def test_over_selected_rounds_take_the_kth_order_statistic(k: int, factor: float, asked: int) -> None:
    n, rounds = 40, 300
    program = _Rounds(rounds=rounds, cohort=OverSelect(k, factor))
    run = _train(program, n, CostModel(FREE, SECOND))
    expected = theory.expected_kth(k, asked)
    if factor == 1:
        assert expected == pytest.approx(theory.harmonic(k))
    error = math.sqrt(sum(1 / i**2 for i in range(asked - k + 1, asked + 1)) / rounds)
    assert run.history[-1].virtual_s / rounds == pytest.approx(expected, abs=3 * error)
    assert {len(t.arrived) for t in program.came} == {k}
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (asked * rounds, (asked - k) * rounds)
    # The median of the asked is the order statistic of its rank.
    middle = (asked - 1) // 2 + 1
    error = math.sqrt(sum(1 / i**2 for i in range(asked - middle + 1, asked + 1)) / rounds)
    assert run.history[-1].median_s / rounds == pytest.approx(theory.expected_kth(middle, asked), abs=3 * error)


def test_over_selection_is_a_quorum_of_a_larger_cohort_to_the_bit() -> None:
    local = fd.LocalSGD(epochs=1, lr=0.1)
    problem = small()
    network = CostModel(FREE, Device(samples_per_second=10.0, jitter=Exponential()))
    runs = [
        fd.train(program, problem.model, problem.data, runtime=fd.Simulation(network=network))
        for program in (
            fd.FedAvg(5, OverSelect(3, 1.6), local),
            fd.FedAvg(5, fd.Fixed(5), local, until=fd.Quorum(3)),
        )
    ]
    assert runs[0].sha256 == runs[1].sha256
    assert runs[0].ledger.total == runs[1].ledger.total


def test_a_deadline_bounds_the_wait_for_the_first_k() -> None:
    network = Scripted((1.0, 2.0, 3.0, 9.0))
    program = _Rounds(fd.Deadline(2.5), cohort=OverSelect(3, 4 / 3))
    _train(program, 4, network)
    assert (program.took, program.came[0].arrived) == ([2.5], (0, 1))
    program = _Rounds(fd.Deadline(20.0), cohort=OverSelect(3, 4 / 3))
    _train(program, 4, network)
    assert (program.took, program.came[0].arrived) == ([3.0], (0, 1, 2))


# -- going off -----------------------------------------------------------------------------------------------------


def test_a_node_that_goes_off_has_worked_for_nothing_and_the_rest_goes_on() -> None:
    network = Scripted((2.0, 4.0, 6.0), off=((), ((3.0, 100.0),), ()))
    program = _Rounds(fd.All("skip"))
    run = _train(program, 3, network)
    assert (program.took, program.came[0].arrived, reasons(program.came[0])) == ([6.0], (0, 2), {1: "went off"})
    c = run.ledger.nodes[1]
    assert (c.compute_s, c.lost_s, c.waiting_s, c.dropped, c.samples) == (3.0, 3.0, 0.0, 1, 0.75)
    assert (c.bytes_down, c.bytes_up, c.messages_up) == (8, 0, 0)


@pytest.mark.parametrize(("goes", "down", "up"), [(0.5, 4, 0), (1.5, 8, 0), (3.25, 8, 2), (4.0, 8, 8)])
@pytest.mark.parametrize("shared", [False, True], ids=["own line", "server's line"])
def test_what_was_sent_until_then_is_in_the_ledger(goes: float, down: int, up: int, shared: bool) -> None:
    """Eight bytes take a second each way at 8 bytes a second; computing takes two."""
    limit = 8.0 if shared else math.inf
    rate = math.inf if shared else 8.0
    network = Scripted((2.0,), ((((goes, 50.0)),),), rate=rate, server_up=limit, server_down=limit)
    run = _train(_Rounds(fd.All("skip")), 1, network)
    c = run.ledger.nodes[0]
    assert (c.bytes_down, c.bytes_up) == (down, up)
    # An answer that is there in the very instant is there.
    assert c.dropped == (goes < 4.0)
    assert c.compute_s + c.wire_s == run.history[-1].virtual_s == pytest.approx(goes)


def test_to_abort_is_said_at_once_with_what_to_do() -> None:
    network = Scripted((2.0, 4.0, 6.0), off=((), ((3.0, 100.0),), ()))
    with pytest.raises(fd.NodeFailed, match=r"node 1 failed in round 1: it went off.*failure=\"skip\"") as caught:
        _train(_Rounds(), 3, network)
    assert caught.value.run.history == []


def test_retry_asks_again_when_the_node_is_back() -> None:
    network = Scripted((2.0, 4.0), off=((), ((3.0, 10.0),)))
    program = _Rounds(fd.All("retry"))
    run = _train(program, 2, network)
    assert (program.took, program.came[0].arrived, reasons(program.came[0])) == ([14.0], (0, 1), {})
    c = run.ledger.nodes[1]
    assert (c.jobs, c.dropped, c.compute_s, c.lost_s, c.off_s) == (2, 1, 7.0, 3.0, 7.0)
    twice = Scripted((2.0, 4.0), off=((), ((3.0, 10.0), (12.0, 20.0))))
    program = _Rounds(fd.All("retry"))
    run = _train(program, 2, twice)
    assert (program.took, reasons(program.came[0])) == ([12.0], {1: "went off"})
    assert (run.ledger.nodes[1].jobs, run.ledger.nodes[1].dropped) == (2, 2)


def test_a_job_for_a_node_that_is_off_waits_until_it_comes_on() -> None:
    network = Scripted((2.0, 2.0), off=((), ((0.0, 5.0),)))
    program = _Rounds()
    run = _train(program, 2, network)
    assert program.took == [7.0]
    a, b = run.ledger.nodes[0], run.ledger.nodes[1]
    assert (a.waiting_s, a.awaited_s, a.off_s) == (5.0, 0.0, 0.0)
    assert (b.waiting_s, b.awaited_s, b.off_s, b.compute_s) == (0.0, 5.0, 5.0, 2.0)


def test_a_node_that_is_off_for_good_is_missing_at_once() -> None:
    network = Scripted((2.0, 2.0), off=((), ((0.0, math.inf),)))
    program = _Rounds(fd.All("skip"))
    _train(program, 2, network)
    assert (program.took, reasons(program.came[0])) == ([2.0], {1: "is off for good"})


@pytest.mark.parametrize(
    ("until", "took", "arrived"),
    [
        (fd.Quorum(2), 3.0, (0, 3)),  # two may go: the quorum is met without them, whatever the policy
        (fd.Quorum(3, "skip"), 3.0, (0, 3)),  # cannot be met: all that still come
        (fd.Quorum(3, "retry"), 12.0, (0, 1, 3)),
        (fd.Deadline(2.0), 2.0, (0,)),
        (fd.Deadline(50.0), 3.0, (0, 3)),
    ],
    ids=str,
)
def test_quorum_and_deadline_under_drop_out(until, took: float, arrived: tuple[int, ...]) -> None:
    network = Scripted((1.0, 2.0, 9.0, 3.0), off=((), ((1.0, 10.0),), ((2.5, 99.0),), ()))
    program = _Rounds(until)
    _train(program, 4, network)
    assert (program.took, program.came[0].arrived) == ([took], arrived)


def test_a_quorum_that_cannot_be_met_any_more_aborts_as_soon_as_that_is_known() -> None:
    network = Scripted((1.0, 2.0, 9.0, 3.0), off=((), ((1.0, 10.0),), ((2.5, 99.0),), ()))
    program = _Rounds(fd.Quorum(3))
    with pytest.raises(fd.NodeFailed, match="node 2 failed in round 1: it went off"):
        _train(program, 4, network)


def test_everybody_gone_closes_the_round_empty() -> None:
    network = Scripted((5.0, 5.0), off=(((1.0, 9.0),), ((2.0, 9.0),)))
    for until in (fd.All("skip"), fd.Quorum(1, "skip"), fd.Deadline(100.0)):
        program = _Rounds(until)
        run = _train(program, 2, network)
        assert (program.took, dict(program.came[0])) == ([2.0], {})
        assert run.history[-1].cohort == 0


def test_nodes_drop_out_of_their_jobs_with_the_probability_given() -> None:
    n, rounds, p = 20, 100, 0.2
    program = _Rounds(fd.All("skip"), rounds)
    run = _train(program, n, CostModel(FREE, Device(samples_per_second=1.0), dropout=p))
    dropped, jobs = run.ledger.total.dropped, n * rounds
    assert dropped / jobs == pytest.approx(p, abs=3 * math.sqrt(p * (1 - p) / jobs))
    assert {m.reason for t in program.came for m in t.missing.values()} == {"dropped out"}
    # At a uniform moment of the second that a job takes.
    assert run.ledger.total.lost_s / dropped == pytest.approx(0.5, abs=3 / math.sqrt(12 * dropped))


def test_what_is_never_sent_is_never_lost() -> None:
    """Baselines without communication have their nodes' data at hand, whatever the nodes do."""
    problem = small()
    network = CostModel(FREE, Device(samples_per_second=1000.0), availability=OnOff(0.1, 5.0), dropout=0.5)
    for program in (fd.LocalOnly(2), fd.Centralized(2)):
        runs = [
            fd.train(program, problem.model, problem.data, runtime=fd.Simulation(network=net))
            for net in (network, CostModel(FREE, Device(samples_per_second=1000.0)))
        ]
        assert runs[0].sha256 == runs[1].sha256
        assert [r.virtual_s for r in runs[0].history] == [r.virtual_s for r in runs[1].history]


@dataclass(frozen=True)
class _Server:
    """Applies what comes."""

    updates: int

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        async with fed.stream(fd.Gradient(), commits=self.updates) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for u in updates:
                s = s.replace(w=s.w - 0.1 * u.value()["gradient"])
                updates.publish(s.w)
                updates.send(u.node, {"w": s.w})
                await fed.commit(s)


def test_in_a_stream_a_node_begins_anew_when_it_is_back() -> None:
    network = Scripted((2.0, 4.0), off=((), ((3.0, 10.0),)))
    run = _train(_Server(7), 2, network)
    assert [r.virtual_s for r in run.history] == [2, 4, 6, 8, 10, 12, 14]
    assert run.ledger.nodes[0].jobs == 7
    run = _train(_Server(8), 2, network)
    assert run.history[-1].virtual_s == 14.0
    c = run.ledger.nodes[1]
    assert (c.jobs, c.compute_s, c.lost_s, c.off_s, c.bytes_down, c.bytes_up) == (1, 7.0, 3.0, 7.0, 16, 8)


# -- deadlines nobody meets ----------------------------------------------------------------------------------------


def test_a_deadline_that_no_node_can_meet_ends_the_run_with_the_numbers() -> None:
    network = Scripted((4.0, 3.0, 5.0), latency=0.1)
    program = _Rounds(fd.Deadline(2.0), rounds=9)
    with pytest.raises(fd.BadInput, match=r"in 3 rounds in a row.*fastest of the last cohort takes 3\.2 s; raise") as e:
        _train(program, 3, network)
    assert len(e.value.run.history) == 2
    resumed = _Rounds(fd.Deadline(2.0), rounds=9)
    with pytest.raises(fd.BadInput, match="3 rounds in a row"):
        _train(resumed, 3, network, resume=e.value.run)
    assert len(resumed.came) == 0


def test_empty_rounds_in_between_are_rounds() -> None:
    # Jitter: now and then somebody is in time.
    network = CostModel(FREE, SECOND)
    program = _Rounds(fd.Deadline(0.7), rounds=60)
    run = _train(program, 3, network)
    empty = [r.cohort == 0 for r in run.history]
    assert sum(empty) > 3


def test_a_deadline_missed_for_nodes_that_are_gone_says_so() -> None:
    network = Scripted((1.0, 1.0), off=(((0.5, 99.0),), ((0.0, 99.0),)))
    with pytest.raises(fd.BadInput, match=r"takes 1 s when it is on.*Available"):
        _train(_Rounds(fd.Deadline(2.0), rounds=9), 2, network)


# -- who waited for whom -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.floats(0.1, 10), min_size=1, max_size=7),
    off=st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 5)), max_size=7),
    until=st.sampled_from([fd.All("skip"), fd.All("retry"), fd.Quorum(1, "skip"), fd.Deadline(4.0)]),
    dropout=st.sampled_from([0.0, 0.3]),
)
def test_what_some_waited_others_were_waited_for(seconds, off, until, dropout) -> None:
    spells = tuple(((start, start + length),) for start, length in off)
    network = Scripted(tuple(seconds), spells, latency=0.1, rate=100.0, dropout=dropout)
    program = _Rounds(until)
    run = _train(program, len(seconds), network)
    total = run.ledger.total
    assert total.awaited_s == pytest.approx(total.waiting_s)
    assert total.lost_s <= total.compute_s + 1e-12
    length = run.history[-1].virtual_s
    for n in program.came[0].arrived:
        c = run.ledger.nodes[n]
        assert c.compute_s + c.wire_s + c.waiting_s + c.off_s == pytest.approx(length)
    assert 0 <= run.history[-1].median_s <= length + 1e-12


def test_whoever_waits_waits_for_all_that_are_out_alike() -> None:
    run = _train(_Rounds(), 3, Scripted((1.0, 3.0, 7.0)))
    # From 1 s to 3 s one waits for two, from 3 s to 7 s two wait for one.
    assert [run.ledger.nodes[n].awaited_s for n in range(3)] == [0.0, 1.0, 1.0 + 8.0]
    assert [run.ledger.nodes[n].waiting_s for n in range(3)] == [6.0, 4.0, 0.0]
    assert run.history[-1].median_s == 3.0


# -- reproducible --------------------------------------------------------------------------------------------------

LOCAL = fd.LocalSGD(epochs=1, batch_size=None, lr=0.05)
PROGRAMS = {
    "over-selected": fd.FedAvg(4, Available(OverSelect(2, 1.5)), LOCAL, until=fd.All("skip")),
    "quorum": fd.FedAvg(4, fd.Fixed(4), LOCAL, until=fd.Quorum(2, "skip")),
    "deadline": fd.FedAvg(4, Available(fd.Fixed(2)), LOCAL, until=fd.Deadline(9.0)),
    "retry": fd.FedAvg(4, fd.Fixed(4), LOCAL, until=fd.All("retry")),
    "asynchronous": _Server(12),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_resume_to_the_same_bits_and_instants(name: str) -> None:
    """Whatever goes off, drops out or is late: stop after any commit, resume, and nothing has changed."""
    x = torch.arange(8.0)[:, None]
    data = arrays(torch.ones(8, 1), x, node=[0, 0, 1, 1, 2, 2, 3, 3]).split(Natural())
    run = check_program(PROGRAMS[name], _model(), data, fd.Simulation(network=ROUGH), workers=(1,))
    assert run.ledger.total.off_s + run.ledger.total.lost_s > 0 or name == "deadline"


def test_with_workers_the_same_bits() -> None:
    network = CostModel(FREE, Device(samples_per_second=100.0, jitter=Pareto(1.2)), availability=OnOff(1.0, 0.5))
    program = fd.FedAvg(3, fd.Fixed(5), until=fd.All("skip"), transforms=(fd.ErrorFeedback(fd.TopK(0.1)),))
    run = check_program(program, runtime=fd.Simulation(network=network), workers=(2,))
    assert run.ledger.total.dropped > 0


def test_day_and_night_rule_the_pace() -> None:
    """Everybody is on for a tenth of the day: of jobs that take a quarter of that no more than three fit into one."""
    days = CostModel(FREE, Device(samples_per_second=1.0), availability=DayNight(40.0, 0.1, spread=0.0))
    run = _train(_Rounds(fd.All("retry"), rounds=8), 3, days)
    assert [r.virtual_s for r in run.history] == [1, 2, 3, 4, 41, 42, 43, 44]


@pytest.mark.parametrize("compress", [fd.TopK(0.5), fd.Sign()], ids=str)
def test_residuals_change_only_with_answers_that_were_accepted(compress) -> None:
    """Error feedback under drop-out: what was sent and is kept adds up to what was to be sent, by node."""

    @dataclass(frozen=True)
    class Ones:
        def work(self, rows):
            return fd.Work(trained=rows)

        def parts(self, model):
            return {"u": (4,)}

        def __call__(self, node, args):
            return fd.Update({"u": torch.tensor([4.0, 3.0, 2.0, 1.0])}, 1.0, {}, node.id), {}

    received: dict[int, torch.Tensor] = {}
    accepted: dict[int, int] = {}

    class Sums:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(12):
                answers = await fed.map(
                    Ones(), {"w": s.w}, range(4), transforms=(fd.ErrorFeedback(compress),), until=fd.Quorum(3, "skip")
                )
                for a in answers:
                    if isinstance(a, fd.Update):
                        received[a.node] = received.get(a.node, 0) + a["u"]
                        accepted[a.node] = accepted.get(a.node, 0) + 1
                await fed.commit(s)

    network = CostModel(FREE, SECOND, availability=OnOff(2.0, 0.5), dropout=0.2)
    run = _train(Sums(), 4, network)
    assert run.ledger.total.dropped > 5
    assert min(accepted.values()) < 12
    for node, sent in received.items():
        (kept,) = (s for name, s in run.checkpoint.tree["node_states"][node].items() if name.startswith("0:"))
        residual = residuals(kept)["u"]
        assert sent + residual == pytest.approx(accepted[node] * torch.tensor([4.0, 3.0, 2.0, 1.0]), abs=1e-5)
