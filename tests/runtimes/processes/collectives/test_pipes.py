"""Pipes between two ranks, both ends in this process: what goes in comes out, both ways, and ends are noticed."""

import gc
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import pipe
from foedus.runtimes.processes.collectives.pipes import PIECE, Broken, Pump
from foedus.runtimes.processes.collectives.ring_buffer import CELLS

WIRES = pytest.mark.parametrize("wire", ["shared", "sockets"])
SIZES = st.one_of(st.integers(0, 20_000), st.integers(PIECE - 9, PIECE + 9), st.integers(0, 3 * CELLS * PIECE))


class Ends:
    def __init__(self, pair, wire, timeout=20.0):
        a, b = pair(wire)
        self.meters = Meter(), Meter()
        self.pipes = pipe(a, wire, 1, self.meters[0]), pipe(b, wire, 0, self.meters[1])
        self.pumps = [Pump([p], m, False, timeout) for p, m in zip(self.pipes, self.meters, strict=True)]

    def both(self, work):
        """``work(i)`` at both ends at once."""
        out = [None, None]

        def go(i):
            try:
                out[i] = work(i)
            except Exception as e:
                out[i] = e

        threads = [threading.Thread(target=go, args=(i,)) for i in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        return out

    def close(self):
        for p in self.pipes:
            p.close()


def give(ends, data):
    ends.pipes[0].put(data)
    ends.pumps[0].flush()


@pytest.fixture
def ends(pair):
    made = []

    def make(wire, **options):
        made.append(Ends(pair, wire, **options))
        return made[-1]

    yield make
    for e in made:
        e.close()


@WIRES
@settings(max_examples=25, deadline=None)
@given(st.lists(SIZES, max_size=4), st.lists(SIZES, max_size=4), st.sampled_from([1, 1000, 10**9]))
def test_bytes_come_out_as_they_went_in_both_ways_at_once(pair, wire, there, back, at_once):
    e = Ends(pair, wire)
    sizes = there, back
    sent = [[os.urandom(min(n, 1000)) * (n // 1000) + bytes(n % 1000) for n in s] for s in sizes]
    whole = [b"".join(s) for s in sent]

    def work(i):
        e.pipes[i].put(*sent[i])
        got = bytearray()
        for n in map(len, sent[1 - i]):
            # Half of what comes is copied out, half is read where it lies, in parts of any size.
            part = memoryview(bytearray(n // 2))
            e.pumps[i].read_into(e.pipes[i], part)
            got += part
            left = n - n // 2
            while left:
                view = e.pumps[i].borrow(e.pipes[i], min(left, max(at_once, n // 50)))
                got += view
                left -= len(view)
                e.pipes[i].release(len(view))
        e.pumps[i].flush()
        return bytes(got)

    try:
        assert e.both(work) == [whole[1], whole[0]]
        for p, data in zip(e.pipes, whole, strict=True):
            assert p.queued == p.sent == len(data)
            assert not p.waiting
        # Counted are the bytes themselves and, over shared memory, a few for every piece; the same at both ends.
        records = 8 * (1 + sum(n // PIECE + 2 for n in map(len, sent[0] + sent[1]))) if wire == "shared" else 0
        for data, meter in zip(whole, e.meters, strict=True):
            assert len(data) <= meter.bytes_sent <= len(data) + records
    finally:
        e.close()


@WIRES
def test_memory_is_free_when_it_is_gone_and_not_before(ends, wire):
    e = ends(wire)
    n = 40 * CELLS * PIECE  # more than slots and socket buffers hold
    data = bytearray(n)
    e.pipes[0].put(data[:10], memoryview(data)[10:])
    for _ in range(1000):
        e.pipes[0].push()
    assert 0 < e.pipes[0].sent < n
    assert e.pipes[0].waiting


@WIRES
def test_borrowed_numbers_are_whole_whatever_the_pieces(ends, wire):
    e = ends(wire)
    n = 3 * PIECE + 24

    def send(i):
        if i == 0:
            e.pipes[0].put(bytes(range(8)) * (n // 8))
            e.pumps[0].flush()
            return None
        lengths, left = [], n
        while left:
            view = e.pumps[1].borrow(e.pipes[1], left)
            assert bytes(view[:8]) == bytes(range(8))
            lengths.append(len(view))
            left -= len(view)
            e.pipes[1].release(len(view))
        e.pumps[1].flush()
        return lengths

    _, lengths = e.both(send)
    assert all(k % 8 == 0 and k <= PIECE for k in lengths)


@WIRES
def test_the_other_side_closed(ends, wire):
    e = ends(wire)
    e.pipes[1].put(b"last words")
    e.pumps[1].flush()
    e.pipes[1].close()
    assert e.pumps[0].read(e.pipes[0], 10) == b"last words"
    with pytest.raises(Broken, match="rank 1 ") as caught:
        e.pumps[0].read(e.pipes[0], 1)
    assert caught.value.peer == 1
    with pytest.raises(Broken, match="rank 1 is gone"):
        give(e, bytes(64 * CELLS * PIECE))


@WIRES
@pytest.mark.parametrize("what", ["read", "write"])
def test_a_silent_side_is_given_up_after_the_timeout(ends, wire, what):
    e = ends(wire, timeout=0.2)
    begin = time.perf_counter()
    e.pumps[0].start()
    with pytest.raises(Broken, match=r"rank 1 sent and took nothing for 0\.2 s"):
        e.pumps[0].read(e.pipes[0], 1) if what == "read" else give(e, bytes(64 * CELLS * PIECE))
    assert 0.2 <= time.perf_counter() - begin < 10
    assert e.meters[0].waiting_s > 0.15


def test_slow_is_not_silent(ends):
    e = ends("sockets", timeout=0.4)

    def work(i):
        if i == 1:
            return e.pumps[1].read(e.pipes[1], 8)
        for _ in range(8):
            time.sleep(0.1)
            e.pipes[0].put(b"x")
            e.pumps[0].flush()
        return None

    assert e.both(work)[1] == b"x" * 8


@WIRES
def test_slots_given_back_too_late_disturb_nobody(ends, wire):
    e = ends(wire)

    def work(i):
        if i == 0:
            e.pipes[0].put(bytes(3 * PIECE))
            e.pumps[0].flush()
            e.pipes[0].close()
        else:
            e.pumps[1].read_into(e.pipes[1], memoryview(bytearray(3 * PIECE)))
            time.sleep(0.05)
            e.pumps[1].flush()

    assert e.both(work) == [None, None]


@WIRES
def test_nothing_stays_open(pair, wire):
    def once():
        e = Ends(pair, wire)

        def work(i):
            e.pipes[i].put(bytes(2 * PIECE))
            e.pumps[i].read_into(e.pipes[i], memoryview(bytearray(2 * PIECE)))
            e.pumps[i].flush()

        e.both(work)
        e.close()

    once()
    gc.collect()
    descriptors, shm = len(os.listdir("/proc/self/fd")), os.listdir("/dev/shm")
    mapped = Path("/proc/self/maps").read_text().count("memfd:foedus")
    once()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert os.listdir("/dev/shm") == shm
    assert Path("/proc/self/maps").read_text().count("memfd:foedus") == mapped
