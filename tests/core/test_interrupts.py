"""Ctrl-C is heard once, and not while something is held back."""

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest

from foedus.core import interrupts
from foedus.core.interrupts import heard_once, held_back, unbroken


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def as_it_was():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_held_back_is_heard_at_the_end_and_once():
    done = []

    def write():
        with held_back():
            for _ in range(3):
                ctrl_c()
            done.append("all of it")
        done.append("and no more")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done == ["all of it"]


def test_an_error_inside_is_the_error_that_is_seen():
    @held_back()
    def fail():
        ctrl_c()
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()


def test_within_another_it_is_heard_at_the_end_of_the_outer_one():
    done = []

    @held_back()
    def write():
        with held_back():
            ctrl_c()
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert done == ["all of it"]


def test_other_signals_whose_handlers_raise_are_held_back_too():
    def end(number, frame):
        raise SystemExit(number)

    done, before = [], signal.signal(signal.SIGTERM, end)

    @held_back()
    def write():
        signal.raise_signal(signal.SIGTERM)
        done.append("all of it")

    try:
        with pytest.raises(SystemExit):
            write()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["all of it"]


def test_several_in_a_row_are_one(monkeypatch):
    monkeypatch.setattr(interrupts, "IMPATIENT", 60.0)  # however busy the machine is
    ended = []
    with heard_once():
        try:
            ctrl_c()
        except KeyboardInterrupt:
            ctrl_c()
            with held_back():
                ctrl_c()
            ended.append("written down")
        monkeypatch.setattr(interrupts, "IMPATIENT", 0.0)
        time.sleep(0.001)
        with pytest.raises(KeyboardInterrupt):  # but nobody has to wait for ever
            ctrl_c()
    assert ended == ["written down"]
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_one_within_another_is_still_one(monkeypatch):
    monkeypatch.setattr(interrupts, "IMPATIENT", 60.0)
    with heard_once():
        with pytest.raises(KeyboardInterrupt), heard_once():
            ctrl_c()
        ctrl_c()


def test_a_handler_that_is_set_meanwhile_stays():
    before = signal.getsignal(signal.SIGINT)
    with heard_once():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    with heard_once(), held_back():  # nothing to hear
        ctrl_c()
    signal.signal(signal.SIGINT, before)


def test_other_threads_hear_nothing_and_may_use_both():
    seen = []

    def both():
        with heard_once(), held_back():
            seen.append(threading.current_thread().name)

    thread = threading.Thread(target=both, name="other")
    thread.start()
    thread.join()
    assert seen == ["other"]


def test_from_outside_a_whole_burst_is_one():
    code = """
import os, signal, sys
from foedus.core import interrupts
from foedus.core.interrupts import heard_once, held_back, unbroken
interrupts.IMPATIENT = 60.0
heard = 0
with heard_once():
    try:
        print("ready", flush=True)
        while True:
            with held_back():
                pass
    except KeyboardInterrupt:
        heard += 1
        print("heard", flush=True)
        sys.stdin.readline()
print(heard)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    for _ in range(200):
        child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "heard\n"
    for _ in range(200):
        child.send_signal(signal.SIGINT)
    assert child.communicate("\n", timeout=30)[0] == "1\n"


# -- steps ---------------------------------------------------------------------------------------------------------


def test_a_step_is_done_before_it_is_heard_also_within_another():
    done = []

    @unbroken()
    def step():
        ctrl_c()
        done.append("all of it")

    @unbroken()
    def steps():
        step()
        done.append("and the outer one")

    @heard_once()
    def run():
        steps()
        done.append("and no more")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["all of it", "and the outer one"]
    steps_after = []
    with heard_once(), unbroken():
        steps_after.append("nothing is left over")
    assert steps_after


def test_a_step_that_does_not_end_is_broken_by_whoever_presses_again(monkeypatch):
    monkeypatch.setattr(interrupts, "IMPATIENT", 0.05)
    done = []

    @heard_once()
    def run():
        with unbroken():
            ctrl_c()
            ctrl_c()  # at once: the same
            done.append("all of it")
            time.sleep(0.1)
            ctrl_c()
            done.append("and no more")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["all of it"]
    with heard_once(), unbroken():
        done.append("nothing is left over")
    assert (unbroken.under_way, unbroken.late) == (0, None)


def test_a_step_in_another_thread_holds_nothing_back():
    inside, over = threading.Event(), threading.Event()

    @unbroken()
    def step():
        inside.set()
        over.wait(10)

    thread = threading.Thread(target=step)
    thread.start()
    inside.wait(10)
    try:
        with pytest.raises(KeyboardInterrupt), heard_once():
            ctrl_c()
    finally:
        over.set()
        thread.join()


def pressed_at(line):
    """Two coroutines in a loop, and Ctrl-C before the so-manieth line of asyncio's own code: whether it was heard, and
    which ends that were begun never came; None where there are fewer lines.
    """
    lines, begun, done, heard = 0, set(), set(), False

    async def part(name, future):
        begun.add(name)
        try:
            await asyncio.sleep(0)
            await future
            await asyncio.sleep(0.0001)
        finally:
            done.add(name)

    def trace(frame, event, arg):
        nonlocal lines
        if frame.f_globals["__name__"].startswith("asyncio") and asyncio._get_running_loop() is not None:
            lines += event == "line"
            if event == "line" and lines == line:
                ctrl_c()
            return trace
        return None

    loop = asyncio.new_event_loop()
    future = loop.create_future()
    tasks = [loop.create_task(part(name, future)) for name in "ab"]
    loop.call_soon(future.set_result, None)
    both = asyncio.gather(*tasks, return_exceptions=True)
    try:
        with heard_once():
            sys.settrace(trace)
            try:
                loop.run_until_complete(both)
            finally:
                sys.settrace(None)
    except KeyboardInterrupt:
        heard = True
    for t in tasks:
        t.cancel()
    loop.stop()  # what was to stop it then does so now
    loop.run_forever()
    loop.run_until_complete(asyncio.wait(tasks, timeout=5))
    loop.close()
    return (heard, begun - done) if lines >= line else None


def test_in_the_middle_of_a_loops_own_step_it_is_heard_when_that_is_over(monkeypatch):
    """What a loop has taken from its queue and not begun would be lost, and whoever waits for it wait for ever."""
    monkeypatch.setattr(
        interrupts, "_HELPERS", (*interrupts._HELPERS, __name__.partition(".")[0])
    )  # the tracer stands in between
    line = 1
    while (found := pressed_at(line)) is not None:
        assert found == (True, set()), line
        line += 1
    assert line > 100
