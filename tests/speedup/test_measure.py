"""Half rounds and whole ones: what they do, and that a measurement is whole, or as far as it came."""

import math
import statistics

import pytest
import torch

from foedus import experiment
from foedus.core.errors import Interrupted
from foedus.report.speedup.found import KINDS, Spread
from foedus.runtimes import Local
from foedus.speedup.measure import computing, empty_rounds, processes, shares, spread_of_logs, timed, together
from foedus.speedup.measurement import Measurement, Plan
from foedus.speedup.parts import Echoes
from foedus.speedup.pingpong import pingpong
from foedus.speedup.subject import subject

from .conftest import SMALL, inline


def test_jobs_of_all_sizes_are_timed(small):
    found = computing(small, 2, Local(), 3)
    assert [rows for rows, _ in found] == [small.rows // 2, small.rows // 8, small.rows // 128]
    for _, seconds in found:
        assert len(seconds) == 2
        assert all(len(s) == 3 and min(s) > 0 for s in seconds)


def test_parts_of_a_batch_are_timed_as_such():
    s = subject(experiment.parse(SMALL, ["program.sync_sgd.batch_size=64"]))
    assert [rows for rows, _ in computing(s, 1, Local(), 2)] == [64, 16, 1]


def test_local_training_is_timed_by_the_rows_it_passes_through():
    fedavg = "[program.fedavg]\nlocal = { epochs = 2, batch_size = 32, lr = 0.1 }\nrounds = 5"
    s = subject(experiment.parse(SMALL.replace("[program.sync_sgd]\nrounds = 5\nlr = 0.1", fedavg)))
    assert computing(s, 1, Local(), 1)[0][0] == 2 * s.rows


def test_an_empty_round_changes_nothing_and_echoes_what_was_sent(small):
    rounds = empty_rounds(small, 2, Local(), 2)
    assert [r.nbytes for r in rounds] == [small.nbytes, small.nbytes // 16 * 4, 64.0]
    run = timed(Echoes((3, 5), 2, small.program.aggregate), small, small.shared(2), Local()).run
    assert torch.equal(run.vector, small.model.initial)
    assert run.ledger.bytes_up == 2 * 2 * 4 * (3 + 5)


def test_a_round_waits_for_its_slowest():
    jobs = [(1.0, 1.0, 1.0), (1.0, 3.0, 2.0)]
    assert together(jobs, oversubscribed=False) == 2.0  # of 1, 3 and 2
    assert together(jobs, oversubscribed=True) == 2.0  # the mean of the slower one
    assert shares({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}
    assert shares({"a": 0.0}) == {}


def test_the_spread_of_logarithms_is_that_of_a_normal_distribution():
    normal = statistics.NormalDist(0, 0.2)
    seconds = [math.exp(normal.inv_cdf((i + 0.5) / 999)) for i in range(999)]
    assert spread_of_logs(seconds) == pytest.approx(0.2, rel=0.02)


def test_two_real_processes_are_timed_and_their_time_is_accounted_for(small):
    found = timed(small.sized(6, 2), small, small.shared(2), processes(exchange="server", wire="shared"))
    assert len(found.rounds) == 3
    assert all(0 < s < 10 for s in found.rounds)
    assert set(found.kinds) == set(KINDS)
    # A node's time is of one kind at any moment, so that of a round is at most the round.
    assert 0 < sum(found.kinds.values()) <= 1.2 * found.run.history[-1].wall_s / 6
    # The same bits as without processes.
    again = timed(small.sized(6, 2), small, small.shared(2), Local())
    assert found.run.sha256 == again.run.sha256


def test_two_real_processes_play_ping_pong(small):
    alpha, beta = pingpong("sockets", small)
    assert 0 < alpha < 0.1
    assert 0 <= beta < 1e-3


def test_a_measurement_is_whole(small, monkeypatch):
    monkeypatch.setattr("foedus.speedup.measurement.pingpong", lambda wire, s: (1e-5, 1e-9))
    said = []
    plan = Plan(processes=(1, 2), exchanges=("server", "ring"), rounds=2, repeats=2, nodes_max=4)
    m = Measurement(small, plan, said.append, inline)
    assert m.found() is None
    found = m.run()
    assert found.complete
    assert [c.exchange for c in found.curves] == ["server", "ring"]
    for c in found.curves:
        assert [p.p for p in c.strong] == [p.p for p in c.weak] == [1, 2]
        one, two = c.strong
        assert (one.speedup, one.limit) == (1, 1)
        assert two.speedup == pytest.approx(one.seconds.median / two.seconds.median)
        assert c.weak[1].speedup == pytest.approx(2 * c.weak[0].seconds.median / c.weak[1].seconds.median)
        assert all(p.predicted > 0 and p.seconds.n == 4 for p in c.strong)
        assert 0 <= c.amdahl <= 1
        assert 0 <= c.gustafson <= 1
        assert (one.rows, two.rows, c.weak[0].rows) == (small.rows, small.rows // 2, small.rows // 2)
    assert [j.p for j in found.jobs] == [1, 2]
    assert {(t.exchange, t.wire) for t in found.traffic} == {
        *((e, w) for e in ("server", "tree", "ring") for w in ("shared", "sockets")),
        ("gloo", "sockets"),
    }
    # The inline runtime sends what a server does, whatever it is asked for.
    assert found.traffic[0].messages == found.traffic[0].formula_messages == 6
    assert found.traffic[0].vectors == found.traffic[0].formula_vectors == 6
    assert {s.program for s in found.simulated} == {
        "synchronous", "asynchronous", "decentralised", "synchronous, ring"
    }  # fmt: skip
    assert len(found.stragglers) >= 2
    assert len(said) >= 10


def test_what_was_measured_before_it_was_stopped_is_kept(small):
    calls = []

    def stops(**options):
        calls.append(options)
        if len(calls) == 3:  # the runs and the jobs of one process, then the run of two
            raise Interrupted("stopped")
        return Local()

    m = Measurement(small, Plan(processes=(1, 2), rounds=2), make=stops)
    with pytest.raises(KeyboardInterrupt):
        m.run()
    found = m.found()
    assert not found.complete
    assert [p.p for p in found.curves[0].strong] == [1]
    assert found.curves[0].amdahl is None


def test_quartiles():
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0, 1)
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 100.0]) == Spread(3.0, 2.0, 4.0, 5)


def test_more_processes_than_cores_are_marked_and_in_no_fit(small, monkeypatch):
    monkeypatch.setattr("foedus.speedup.measurement.cores", lambda: 1)
    m = Measurement(small, Plan(processes=(1, 2), rounds=2, repeats=1), make=inline)
    for p in (1, 2):
        m._measure(p, "1/1")
    [curve] = m.found().curves
    assert [p.oversubscribed for p in curve.strong] == [False, True]
    assert [p.oversubscribed for p in curve.weak] == [False, True]
    assert (curve.amdahl, curve.gustafson) == (None, None)


def test_what_transforms_save_is_in_the_formula_of_a_server_alone():
    s = subject(experiment.parse(SMALL, ["program.sync_sgd.transforms=[{ top_k = 0.25 }]"]))
    m = Measurement(s, Plan(processes=(1, 2), rounds=2), make=inline)
    found = m._sent("server", "shared", 3)
    assert found.vectors == pytest.approx(found.formula_vectors)
    assert 3 < found.vectors < 6
    assert s.message("ring") == s.nbytes
