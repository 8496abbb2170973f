"""Our own work is not others'."""

import subprocess
import sys
import time

from foedus.runtimes import warm
from foedus.speedup import others
from foedus.speedup.others import OtherWork, own_seconds


def test_what_we_and_our_children_compute_is_not_counted():
    seen = OtherWork()
    before = others.own_seconds()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert others.own_seconds() - before > 0.2
    share = seen.share()
    assert share is None or 0 <= share <= 1


def test_it_is_a_share_of_all_processors(monkeypatch):
    times = iter([(0.0, 10.0, 5.0), (10.0, 26.0, 9.0)])  # the clock, busy, ours: 12 of 2 x 10 seconds are others'

    def now(which):
        return lambda: state[which]

    state = next(times)
    monkeypatch.setattr(others.time, "monotonic", now(0))
    monkeypatch.setattr(others, "busy_seconds", now(1))
    monkeypatch.setattr(others, "own_seconds", now(2))
    monkeypatch.setattr(others, "_processors", lambda: {0, 1})
    seen = OtherWork()
    state = next(times)
    assert seen.share() == 0.6


def test_what_a_process_computes_that_stays_for_the_next_run_is_not_counted():
    before = own_seconds()
    process = warm.Warm()
    try:
        assert process.can()
        assert own_seconds() - before > 0.5  # it has imported torch
    finally:
        process.end()
    assert own_seconds() - before > 0.5
