"""Frames over sockets: what goes in comes out, whatever the sizes of the pieces, and sending never waits."""

import contextlib
import socket
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.runtimes.channel import Closed
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.wire.socket_channel import Packed, SocketChannel
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.shared_channel import Placed, SharedChannel


def tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        a = socket.create_connection(server.getsockname())
        b, _ = server.accept()
    return a, b


@pytest.fixture
def pair():
    a, b = tcp()
    left, right = SocketChannel(a, Meter()), SocketChannel(b, Meter())
    yield left, right
    left.close()
    right.close()


def receive(channel, n=1):
    """The next frames, so many."""
    got = []
    while len(got) < n:
        got += channel.poll()
    return got


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.int8]


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 40), max_size=3))
    t = torch.randint(0, 2, shape).to(draw(st.sampled_from(DTYPES)))
    return t.t() if t.dim() == 2 and draw(st.booleans()) else t


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
trees = st.recursive(
    tensors() | st.none() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 9), inner, max_size=3),
    max_leaves=6,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(plain, trees, st.none() | tensors()), min_size=1, max_size=5))
def test_frames_come_as_they_went(frames):
    a, b = tcp()
    left, right = SocketChannel(a, Meter()), SocketChannel(b, Meter())
    try:
        for values, tree, args in frames:
            placed = None if args is None else Packed({"w": args})
            left.send(values, tree, placed)
            if placed is not None:
                placed.release()
        got = []
        while len(got) < len(frames):
            left.flush()
            got += right.poll()
        for (values, tree, args), (v, t, p) in zip(frames, got, strict=True):
            assert same(values, v)
            assert same(tree, t)
            assert same(args, None if p is None else p["w"])
        assert left.meter.bytes_sent == right.meter.bytes_received
        assert left.meter.vector_sent == right.meter.vector_received
        assert left.meter.messages_sent == right.meter.messages_received == len(frames)
    finally:
        left.close()
        right.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=6), st.integers(0, 2**32))
def test_any_way_the_bytes_arrive(sizes, seed):
    """The other side may write in pieces of any size: a header cut in two, three frames at once."""
    a, b = tcp()
    right = SocketChannel(b, Meter())
    out, g = bytearray(), torch.Generator().manual_seed(seed)
    frames = [torch.randn(n, generator=g) for n in sizes]
    c, d = socket.socketpair()
    writer, reader = SocketChannel(c), d
    reader.setblocking(False)
    for i, t in enumerate(frames):
        writer.send({"i": i}, t)
        while True:
            writer.flush()
            try:
                out += reader.recv(1 << 20)
            except BlockingIOError:
                if not writer.pending:
                    break
    got, at = [], 0
    a.setblocking(False)
    while len(got) < len(frames):
        n = int(10 ** (5 * torch.rand(1, generator=g).item()))
        with contextlib.suppress(BlockingIOError):
            at += a.send(out[at : at + n]) if at < len(out) else 0
        got += right.poll()
    assert all(m == {"i": i} and torch.equal(t, frames[i]) for i, (m, t, _) in enumerate(got))
    for x in (a, writer, reader, right):
        x.close()


BIG = 4_000_000  # floats: more than any socket's buffers


def test_sending_does_not_wait_and_what_waits_does_not_change(pair):
    left, right = pair
    w, placed = torch.arange(BIG, dtype=torch.float32), Packed({"w": torch.ones(BIG)})
    left.send("one", {"w": w})
    left.send("two", {"w": w}, placed)
    w.zero_()  # the sender goes on with its own
    placed.release()
    assert left.pending
    got = []
    while len(got) < 2:
        left.flush()
        got += right.poll()
        for bytes_, vectors in (
            (left.meter.bytes_sent, left.meter.vector_sent),
            (right.meter.bytes_received, right.meter.vector_received),
        ):
            assert 0 <= bytes_ - vectors < 400 + 65536  # counted as they leave and come, at most a stage later
    assert not left.pending
    expected = torch.arange(BIG, dtype=torch.float32)
    assert [m for m, _, _ in got] == ["one", "two"]
    assert all(torch.equal(t["w"], expected) for _, t, _ in got)
    assert torch.equal(got[1][2]["w"], torch.ones(BIG))
    assert placed.tensors == []  # let go of when the last frame had left
    assert left.meter.vector_sent == 3 * 4 * BIG
    assert right.meter.vector_received == left.meter.vector_sent
    assert 0 < left.meter.bytes_sent - left.meter.vector_sent < 400


def test_two_sides_that_both_send_and_wait_do_not_wait_for_ever(pair):
    def side(channel, value):
        channel.send("here", torch.full((BIG,), value), wait=True)
        return receive(channel)[0][1][0].item()

    answers = {}
    threads = [threading.Thread(target=lambda c=c, i=i: answers.update({i: side(c, i)})) for i, c in enumerate(pair)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert answers == {0: 1, 1: 0}


def test_received_tensors_are_aligned_and_of_their_own(pair):
    left, right = pair
    left.send(None, [torch.ones(n) for n in (1, 3, 17, 1000)])
    [(_, first, _)] = receive(right)
    left.send(None, [torch.zeros(n) for n in (1, 3, 17, 1000)])
    receive(right)
    assert all(t.data_ptr() % 64 == 0 and bool((t == 1).all()) for t in first)


def test_what_came_before_the_end_is_received(pair):
    left, right = pair
    left.send(1, torch.ones(3))
    left.send(2)
    left.close()
    assert [m for m, _, _ in receive(right, 2)] == [1, 2]
    for _ in range(2):
        with pytest.raises(Closed):
            right.poll()


def test_the_other_side_is_gone_in_the_middle(pair):
    left, right = pair
    left.send(1, torch.ones(BIG))
    left.close()
    with pytest.raises(Closed):
        receive(right)


def test_sending_to_nobody(pair):
    left, right = pair
    right.close()

    def send_until_it_is_noticed():
        for _ in range(100):
            left.send(1, torch.ones(1000), wait=True)
            time.sleep(0.01)

    with pytest.raises(Closed):
        send_until_it_is_noticed()
    assert not left.pending


@pytest.mark.parametrize("kind", ["sockets", "shared"])
def test_both_channels_have_the_same_calls_and_count_the_same_vectors(kind):
    a, b = tcp() if kind == "sockets" else socket.socketpair()
    pool, other = SegmentPool(), SegmentPool()
    if kind == "sockets":
        left, right = SocketChannel(a, Meter()), SocketChannel(b, Meter())
        placed = Packed({"w": torch.ones(5)})
    else:
        left, right = SharedChannel(a, pool, Meter()), SharedChannel(b, other, Meter())
        placed = Placed(pool, {"w": torch.ones(5)})
    left.send({"a": 1}, [torch.arange(3)], placed)
    while left.pending:
        left.flush()
    assert not left.pending
    assert right.poll()[0][0] == {"a": 1}
    assert right.poll() == []
    left.send("more", wait=True)
    assert receive(right)[0][0] == "more"
    one, two = left.meter, right.meter
    assert one.vector_sent == 3 * 8 + 5 * 4
    assert one.bytes_sent == two.bytes_received > one.vector_sent
    assert one.messages_sent == two.messages_received == 2
    assert one.serial_s > 0
    assert one.wire_s > 0
    assert two.serial_s > 0
    left.close()
    with pytest.raises(Closed):
        right.poll()
    right.close()


def test_a_channel_of_shared_memory_does_not_wait_either():
    a, b = socket.socketpair()
    pool, other = SegmentPool(), SegmentPool()
    left, right = SharedChannel(a, pool, Meter()), SharedChannel(b, other)
    sent = 0
    while not left.pending:
        left.send({"i": sent, "pad": "x" * 1000}, torch.tensor(sent), wait=False)
        sent += 1
    got = []
    while len(got) < sent:
        got += right.poll()
        left.flush()
    assert [(m["i"], t.item()) for m, t, _ in got] == [(i, i) for i in range(sent)]
    left.close()
    right.close()
    pool.close()
    other.close()
