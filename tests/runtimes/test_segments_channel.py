"""Shared memory segments and the channel between parent and worker, both ends in this process."""

import gc
import itertools
import os
import resource
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

from foedus.runtimes.channel import Closed
from foedus.runtimes.segments import ALIGN, SegmentPool, room, write
from foedus.runtimes.shared_channel import Placed, SharedChannel


@pytest.fixture
def ends():
    a, b = socket.socketpair()
    pools = SegmentPool(), SegmentPool()
    channels = SharedChannel(a, pools[0]), SharedChannel(b, pools[1])
    yield channels, pools
    for c in channels:
        c.close()
    for p in pools:
        p.close()


def blocks(pool):
    """How many blocks the pool has made, and how many of them are free."""
    return len(pool._blocks), sum(map(len, pool._free.values()))


def test_tensors_come_through_aligned_with_shape_type_and_values(ends):
    (a, b), _ = ends
    sent = [
        torch.arange(5, dtype=torch.uint8),
        torch.randn(3, 4)[:, ::2],
        torch.tensor(2.5, dtype=torch.float64),
        torch.zeros(0, 7),
        torch.tensor([True, False, True]),
        torch.arange(6).view(2, 3).t(),
        torch.ones(3, dtype=torch.bfloat16),
    ]
    a.send(None, {"x": sent, "n": [1, None, "ß", b"\x00"], "t": (1, 2), "inf": float("inf")})
    _, got, placed = b.receive()
    assert placed is None
    assert got["n"] == [1, None, "ß", b"\x00"]
    assert got["t"] == (1, 2)
    assert got["inf"] == float("inf")
    for s, g in zip(sent, got["x"], strict=True):
        assert g.dtype == s.dtype
        assert g.shape == s.shape
        assert torch.equal(g, s)
        assert g.data_ptr() % ALIGN == 0 or g.numel() == 0
        assert g.is_contiguous()


def test_a_block_is_used_again_when_the_last_tensor_in_it_is_gone(ends):
    (a, b), (pool, _) = ends
    a.send(None, {"x": torch.ones(10), "y": torch.ones(10)})
    _, got, _ = b.receive()
    b.send(None, {})
    a.receive()
    assert blocks(pool) == (1, 0)
    part = got["x"][2:5]
    del got
    gc.collect()
    b.send(None, {})
    a.receive()
    assert blocks(pool) == (1, 0)  # a view of one tensor still holds it
    a.send(None, {"z": torch.zeros(10)})
    _, second, _ = b.receive()
    assert part.tolist() == [1, 1, 1]
    del part
    b.send(None, {})
    a.receive()
    assert blocks(pool) == (2, 1)
    for i in range(20):
        a.send(None, {"z": torch.full((10,), float(i))})
        assert b.receive()[1]["z"][0] == i
        b.send(None, {})
        a.receive()
    assert blocks(pool) == (2, 1)
    assert second["z"].sum() == 0


def test_long_messages_go_through_shared_memory(ends):
    (a, b), (pool, _) = ends
    for n in (1, 100_000, 300_000):
        placed = Placed(pool, {"w": torch.arange(4.0)})
        a.send(None, {"text": "x" * n, "t": torch.ones(3)}, placed)
        _, got, args = b.receive()
        assert got["text"] == "x" * n
        assert got["t"].tolist() == [1, 1, 1]
        assert args["w"].tolist() == [0, 1, 2, 3]
        placed.release()
        del got, args
        b.send(None, {"text": "y" * n})
        assert a.receive()[1]["text"] == "y" * n


def test_many_messages_wait_in_their_order(ends):
    (a, b), _ = ends
    for i in range(50):
        a.send(None, {"i": i, "t": torch.tensor([i])})
    assert [(m["i"], m["t"].item()) for _, m, _ in (b.receive() for _ in range(50))] == [(i, i) for i in range(50)]


def test_placed_once_read_by_several_and_used_again(ends):
    (a, b), (pool, _) = ends
    c, d = socket.socketpair()
    other_pool = SegmentPool()
    second, theirs = SharedChannel(c, pool), SharedChannel(d, other_pool)
    placed = Placed(pool, {"w": torch.arange(3.0)})
    placed.retain()
    for channel in (a, second):
        channel.send(None, {"go": 1}, placed)
    (_, _, one), (_, _, two) = b.receive(), theirs.receive()
    at = placed.specs[0][0]
    placed.block.segment.map[at : at + 4] = torch.tensor([7.0]).numpy().tobytes()  # one memory, mapped by all
    assert one["w"].tolist() == two["w"].tolist() == [7, 1, 2]
    placed.release()
    assert blocks(pool) == (1, 0)
    placed.release()
    assert blocks(pool) == (1, 1)
    again = Placed(pool, {"w": torch.zeros(3)})
    assert again.block is placed.block
    second.close()
    theirs.close()
    other_pool.close()


def test_tensors_outlive_channel_and_pool():
    a, b = socket.socketpair()
    pool, other = SegmentPool(), SegmentPool()
    left, right = SharedChannel(a, pool), SharedChannel(b, other)
    left.send(None, {"x": torch.arange(1000.0)})
    _, got, _ = right.receive()
    for end in (left, right, pool, other):
        end.close()
    gc.collect()
    torch.zeros(100_000)
    assert got["x"].sum() == 499_500


def test_nothing_stays_open():
    def once():
        a, b = socket.socketpair()
        pool, other = SegmentPool(), SegmentPool()
        left, right = SharedChannel(a, pool), SharedChannel(b, other)
        for i in range(30):
            left.send(None, {"x": torch.ones(10 * i)})
        kept = [right.receive()[1] for _ in range(30)]
        for end in (left, right, pool, other):
            end.close()
        del kept
        gc.collect()

    once()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    shm = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else None
    once()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before
        assert os.listdir("/dev/shm") == shm


def send_often(channel):
    for _ in range(3):
        channel.send(None, {"x": 1})


def test_the_other_side_is_gone(ends):
    (a, b), _ = ends
    b.close()
    with pytest.raises(Closed):
        a.receive()
    with pytest.raises(Closed):
        send_often(a)


def test_a_message_that_breaks_off_is_the_end():
    a, b = socket.socketpair()
    pool = SegmentPool()
    channel = SharedChannel(b, pool)
    a.sendall(b"\x10\x00\x00\x00\x00abc")
    a.close()
    with pytest.raises(Closed):
        channel.receive()
    channel.close()


def test_sizes_are_few_so_that_segments_fit_again():
    pool = SegmentPool()
    sizes = {pool.acquire(n).nbytes for n in (0, 1, 1000, 65_536)}
    assert sizes == {65_536}
    assert pool.acquire(65_537).nbytes == 131_072
    assert pool.acquire((1 << 20) + 1).nbytes == 2 << 20
    pool.close()


def test_hundreds_of_blocks_need_few_descriptors_and_do_not_overlap():
    pool = SegmentPool()
    before = len(os.listdir("/proc/self/fd"))
    made = [pool.acquire(n) for n in [1, 70_000, 2_000_000, 65_536] * 75]
    assert len(os.listdir("/proc/self/fd")) - before < 50
    places = sorted((b.segment.id, b.start, b.start + b.nbytes) for b in made)
    for (s1, _, stop), (s2, start, _) in itertools.pairwise(places):
        assert s1 != s2 or stop <= start
    assert all(b.start + b.nbytes <= b.segment.nbytes for b in made)
    pool.close()


def test_writing_needs_no_more_than_room():
    tensors = [torch.ones(n, dtype=torch.uint8) for n in (0, 1, 63, 64, 65)]
    assert room(tensors) == 64 * (0 + 1 + 1 + 1 + 2)
    pool = SegmentPool()
    pool.acquire(1)
    block, after = pool.acquire(room(tensors)), pool.acquire(1)
    specs = write(block, tensors)
    assert [at % ALIGN for at, _, _ in specs] == [0] * 5
    assert specs[0][0] == block.start
    assert specs[-1][0] + 65 <= block.start + block.nbytes
    assert after.segment is not block.segment or after.start >= block.start + block.nbytes
    assert all(t.sum() == len(t) for t in block.segment.tensors(specs))
    pool.close()


def test_plain_values_come_beside_the_tree(ends):
    (a, b), _ = ends
    a.send({"n": 1, "names": ["x", "y"], "nan": float("nan")}, {"t": torch.arange(3)})
    plain, tree, placed = b.receive()
    assert (plain["n"], plain["names"], placed) == (1, ["x", "y"], None)
    assert plain["nan"] != plain["nan"]
    assert tree["t"].tolist() == [0, 1, 2]


def test_sockets_go_with_messages_and_become_the_receivers(ends):
    (a, b), _ = ends
    made = [socket.socketpair() for _ in range(3)]
    for i, (one, _) in enumerate(made):
        with one:
            a.send({"i": i}, torch.ones(10) * i, sock=one)
    a.send("x" * 70_000, torch.zeros(3), placed=None)
    for i, (_, other) in enumerate(made):
        assert b.receive()[0] == {"i": i}
        assert len(b.sockets) == 1
        with b.sockets.popleft() as one, other:
            assert not one.get_inheritable()
            one.sendall(b"%d" % i)
            assert other.recv(9) == b"%d" % i
    assert b.receive()[0] == "x" * 70_000
    assert not b.sockets


MANY = """
    import os, resource, socket, threading, time
    from foedus.runtimes.shared_channel import SharedChannel
    from foedus.runtimes.segments import SegmentPool
    if os.getuid() == 0:  # who may have as many as he likes
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    ours, theirs = socket.socketpair()
    left, right = SharedChannel(ours, SegmentPool()), SharedChannel(theirs, SegmentPool())

    def take():
        time.sleep(0.3)
        for i in range(100):
            assert right.receive()[0] == i
            right.sockets.popleft().close()
        print("all")

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    one, other = socket.socketpair()
    for i in range(100):
        left.send(i, sock=one)
    taking.join()
"""


def test_more_sockets_than_may_be_under_way_wait_until_some_are_taken():
    code = textwrap.dedent(MANY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("all\n", "")


def test_a_process_that_may_not_have_a_socket_says_so(ends):
    (a, b), _ = ends
    one, other = socket.socketpair()
    with one, other:
        a.send(1, sock=one)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                b.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
