"""The clocks: order of events, virtual time, what is refused, and life inside another loop."""

import asyncio
import gc
import logging
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import Deadlock, ProgramError
from foedus.core.time.clock import RealClock, VirtualClock, settle


async def wait_until(clock, when, rank=0):
    done = asyncio.get_running_loop().create_future()
    clock.schedule(when, rank, lambda: settle(done))
    await done


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1e9]), st.integers(0, 3)), max_size=30))
def test_events_happen_by_time_then_rank_then_sequence(events):
    clock, seen = VirtualClock(), []
    for i, (when, rank) in enumerate(events):
        clock.schedule(when, rank, lambda i=i: seen.append(i))
    while clock.advance():
        pass
    assert seen == sorted(range(len(events)), key=lambda i: (*events[i], i))


def test_time_jumps_and_past_events_happen_now():
    clock, seen = VirtualClock(), []
    clock.schedule(3600.0, 0, lambda: clock.schedule(1.0, 0, lambda: seen.append(clock.now)))
    began = time.perf_counter()
    while clock.advance():
        pass
    assert seen == [3600.0]
    assert time.perf_counter() - began < 1.0


def test_a_cancelled_event_does_not_happen_and_takes_no_time():
    clock = VirtualClock()
    clock.schedule(5.0, 0, lambda: pytest.fail("it was cancelled")).cancel()
    assert not clock.advance()
    assert clock.now == 0.0


def test_restart_sets_the_time():
    clock = VirtualClock()
    clock.restart(12.5)

    async def program():
        await wait_until(clock, clock.now + 1)
        return clock.now

    assert clock.run(program()) == 13.5


def test_gather_and_task_groups_work_in_virtual_time():
    clock, order = VirtualClock(), []

    async def nap(seconds, name):
        await wait_until(clock, clock.now + seconds)
        order.append((clock.now, name))
        return name

    async def program():
        first = await asyncio.gather(nap(3, "a"), nap(1, "b"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(nap(s, n)) for s, n in ((2, "c"), (1, "d"))]
        return first + [t.result() for t in tasks]

    assert clock.run(program()) == ["a", "b", "c", "d"]
    assert order == [(1, "b"), (3, "a"), (4, "d"), (5, "c")]


def test_a_task_group_with_an_error_cancels_the_others():
    clock = VirtualClock()

    async def boom():
        raise ValueError("no")

    async def program():
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_until(clock, 1e9))
            group.create_task(boom())

    with pytest.raises(ExceptionGroup) as e:
        clock.run(program())
    assert isinstance(e.value.exceptions[0], ValueError)
    assert clock.now == 0.0


async def _wait(clock):
    await asyncio.wait([asyncio.ensure_future(wait_until(clock, 1.0))])


async def _as_completed(clock):
    for c in asyncio.as_completed([wait_until(clock, 1.0), wait_until(clock, 2.0)]):
        await c


async def _timeout(clock):
    async with asyncio.timeout(5):
        await wait_until(clock, 1.0)


REFUSED = {
    "sleep": (lambda c: asyncio.sleep(1), "fed.sleep"),
    "wait_for": (lambda c: asyncio.wait_for(wait_until(c, 1.0), 5), "fed.sleep"),
    "timeout": (_timeout, "fed.sleep"),
    "to_thread": (lambda c: asyncio.to_thread(time.sleep, 0), "as a job"),
    "wait": (_wait, "asyncio.gather"),
    "as_completed": (_as_completed, "asyncio.gather"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_what_would_depend_on_the_wall_clock_is_refused_with_advice(what):
    use, advice = REFUSED[what]
    clock = VirtualClock()

    async def program():
        await use(clock)

    with pytest.raises(ProgramError, match=advice) as e:
        clock.run(program())
    assert "\n" not in str(e.value)
    gc.collect()


def test_sleep_zero_and_waiting_without_a_limit_are_no_use_of_the_wall_clock():
    clock = VirtualClock()

    async def program():
        await asyncio.sleep(0)
        await asyncio.wait_for(wait_until(clock, 2.0), None)
        return clock.now

    assert clock.run(program()) == 2.0


def test_a_deadlock_says_where_everybody_waits():
    async def stuck():
        await asyncio.get_running_loop().create_future()

    async def program():
        await asyncio.gather(stuck(), stuck())

    with pytest.raises(Deadlock, match="deadlock") as e:
        VirtualClock().run(program())
    message = str(e.value)
    line = stuck.__code__.co_firstlineno + 1
    assert f"{Path(__file__).name}:{line}" in message
    assert f"{Path(__file__).name}:{program.__code__.co_firstlineno + 1}" in message
    assert "\n" not in message


def test_beyond_2e7_seconds_time_is_exact_and_fast():
    # asyncio's own timers have a resolution of 1e-9 s, which a float of 2e7 does not have: its loop would spin.
    clock, step = VirtualClock(3e7), 2.0**-20

    async def program():
        for _ in range(5000):
            await wait_until(clock, clock.now + step)
        return clock.now

    began = time.perf_counter()
    assert clock.run(program()) == 3e7 + 5000 * step
    assert time.perf_counter() - began < 5.0


def test_equal_times_are_served_by_rank_whatever_the_order_of_waiting():
    clock, seen = VirtualClock(), []

    async def one(rank):
        await wait_until(clock, 7.0, rank)
        seen.append(rank)

    async def program():
        await asyncio.gather(*(one(r) for r in (3, 1, 2, 0)))

    clock.run(program())
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("clock", [VirtualClock, RealClock])
def test_runs_inside_a_running_loop_which_goes_on_working(clock):
    async def program():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
        return "inner"

    async def notebook():
        outer, me = asyncio.get_running_loop(), asyncio.current_task()
        ticks = asyncio.ensure_future(asyncio.sleep(0.001, "tick"))
        answers = [clock().run(program()), clock().run(program())]
        assert asyncio.get_running_loop() is outer
        assert asyncio.current_task() is me
        await asyncio.sleep(0.001)
        return [*answers, await asyncio.wait_for(ticks, 5)]

    assert asyncio.run(notebook()) == ["inner", "inner", "tick"]


def test_the_outer_loop_survives_an_error_of_the_inner_program():
    async def program():
        raise ValueError("inner")

    async def notebook():
        with pytest.raises(ValueError, match="inner"):
            VirtualClock().run(program())
        await asyncio.sleep(0.001)
        return True

    assert asyncio.run(notebook())


def test_real_clock():
    clock, seen = RealClock(), []

    async def program():
        clock.schedule(0.02, 0, lambda: seen.append("cancelled")).cancel()
        clock.schedule(0.01, 5, lambda: seen.append("first"))
        await wait_until(clock, 0.03)
        await asyncio.sleep(0)
        return clock.now

    assert 0.03 <= clock.run(program()) < 5
    assert seen == ["first"]
    assert not clock.virtual
    resumed = RealClock()
    resumed.restart(100.0)
    assert 100.0 <= resumed.now < 105
    resumed.run(asyncio.sleep(0))


@pytest.mark.parametrize("where", ["program", "child"])
def test_ctrl_c_in_a_program_leaves_no_warning(where, caplog):
    clock, cleaned = VirtualClock(), []

    async def boom():
        raise KeyboardInterrupt

    async def patient():
        try:
            await wait_until(clock, 1e9)
        finally:
            cleaned.append(True)

    async def program():
        other = asyncio.ensure_future(patient())
        await asyncio.sleep(0)
        if where == "program":
            raise KeyboardInterrupt
        await asyncio.gather(other, boom())

    with caplog.at_level(logging.DEBUG, "asyncio"):
        with pytest.raises(KeyboardInterrupt):
            clock.run(program())
        gc.collect()
    assert cleaned == [True]
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG] == []


def test_a_cleanup_that_waits_ends():
    # A background task is cancelled when the program ends; what it awaits then must come, or be refused, but not spin.
    clock, cleaned = VirtualClock(), []

    async def background():
        try:
            await wait_until(clock, 1e9)
        finally:
            await wait_until(clock, clock.now + 1)
            cleaned.append(clock.now)

    async def program():
        task = asyncio.ensure_future(background())
        await wait_until(clock, 1.0)
        assert not task.done()
        return "done"

    def too_long(*_):
        raise TimeoutError("the loop spins")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(10)
    try:
        assert clock.run(program()) == "done"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert cleaned == [2.0]


def test_an_error_in_an_event_ends_a_run_that_waits_for_it():
    async def main(clock):
        clock.schedule(clock.now, 0, lambda: 1 / 0)
        await asyncio.get_running_loop().create_future()

    for clock in (RealClock(), VirtualClock()):
        with pytest.raises(ZeroDivisionError):
            clock.run(main(clock))
