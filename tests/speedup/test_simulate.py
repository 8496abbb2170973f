"""The simulator, calibrated, meets its closed forms where jobs take exactly their time."""

import pytest

from foedus.speedup.model import JobCosts, RoundCosts
from foedus.speedup.simulate import ASYNC, PEERS, SYNC, Machine, by_law, law, simulate
from foedus.speedup.stragglers import theory_of_loss

JOB, SERVER = JobCosts(1, ((1.0, 1.1e-3), (10.0, 2e-3))), RoundCosts(2e-4, 5e-5, 1e-9)


def curves(subject, machine, most, notes, budget=60.0):
    *_, last = (), *simulate(subject, machine, most, budget, lambda _: None, notes)
    return {s.program: s for s in last}


def test_without_jitter_simulated_and_closed_form_agree(small):
    notes = []
    found = curves(small, Machine(JOB, SERVER, 2e-5, 1e-9), 16, notes)
    assert set(found) == {SYNC, ASYNC, PEERS}
    assert notes == []
    for name, s in found.items():
        assert s.nodes == (1, 2, 4, 8, 16)
        assert s.speedups[0] == 1
        for measured, closed in zip(s.speedups, s.law, strict=True):
            # Sizes differ by a row, and a server that is asked at any time has a queue, of which the law knows nothing.
            assert measured == pytest.approx(closed, rel=0.05) or (name == ASYNC and 0.5 * closed < measured < closed)


def test_no_program_is_faster_than_ideal_and_a_server_bounds_who_uses_it(small):
    slow = RoundCosts(0.0, 5e-3, 0.0)
    found = curves(small, Machine(JOB, slow, 2e-5, 1e-9), 32, [])
    for s in found.values():
        assert all(y <= n * 1.001 for n, y in zip(s.nodes, s.speedups, strict=True))
    # Each answer keeps the server busy for 10 ms, down and up.
    rows = small.rows
    assert found[ASYNC].speedups[-1] * law(Machine(JOB, slow, 2e-5, 1e-9), ASYNC, 1, rows, small.nbytes) <= (
        rows / 32 / 10e-3 * 2.0
    )
    assert found[PEERS].speedups[-1] > found[SYNC].speedups[-1]


def test_more_nodes_than_rows_is_said(small):
    notes = []
    few = small.__class__(small.name, small.program, small.model, small.data, small.index[:6], small.seed)
    found = curves(few, Machine(JOB, SERVER, 2e-5, 1e-9), 8, notes)
    assert found[SYNC].nodes[-1] == 8
    assert any("6" in n and "more than once" in n for n in notes)


def test_a_budget_ends_it_and_says_so(small):
    notes = []
    found = curves(small, Machine(JOB, SERVER, 2e-5, 1e-9), 4, notes, budget=0.0)
    assert found == {}
    assert len(notes) == 3


def test_a_ring_by_its_law_alone():
    ring = by_law("ring", JOB, RoundCosts(0.0, 0.0, 0.0), 1024.0, 100.0, 8)
    one, two = JOB.seconds(1024), JOB.seconds(512)
    assert ring.speedups == ()
    assert ring.law[:2] == (1.0, pytest.approx(one / two))


@pytest.mark.parametrize("p", [2, 4, 10])
def test_what_one_slow_process_costs(p):
    # The rates themselves: all at 1, one at 1/4.
    assert theory_of_loss(ASYNC, p, 4.0) == pytest.approx(1 - (p - 1 + 0.25) / p)
    assert theory_of_loss(SYNC, p, 4.0) == pytest.approx(1 - (p * 0.25) / p)
