"""Sums and merges over ranks: exact, the same bits everywhere, byte for byte what the formulas say."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.aggregators import Mean
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import MergeTree
from foedus.core.types.state import State
from foedus.core.types.update import Update
from foedus.network import theory
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import collective, edges
from foedus.runtimes.processes.collectives.pipes import Broken
from foedus.speedup.pingpong import moves, probe

WIRES = pytest.mark.parametrize("wire", ["shared", "sockets"])
OURS = pytest.mark.parametrize("exchange", ["ring", "tree"])
# The lengths at which something changes: fewer numbers than ranks, inline and slots, one piece and several.
LENGTHS = st.one_of(st.integers(0, 12), st.integers(13, 5000), st.integers(65_000, 66_000), st.integers(0, 400_000))


def vector(rank, length, dtype=torch.float32, whole=False):
    g = torch.Generator().manual_seed(1000 * rank + length)
    if whole:
        return torch.randint(-1000, 1000, (length,), generator=g).to(dtype)
    return torch.randn(length, generator=g, dtype=torch.float64).to(dtype)


def note(rank):
    return bytes([rank]) * (rank * 37 % 300)


def summed(length, dtype, whole):
    def work(ours, rank):
        x = vector(rank, length, dtype, whole)
        return x, ours.all_reduce(x, note(rank))

    return work


@OURS
@WIRES
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), LENGTHS, st.sampled_from([torch.float32, torch.float64]), st.booleans())
def test_everybody_gets_the_sum(threads, exchange, wire, n, length, dtype, whole):
    results = threads(exchange, n, wire, summed(length, dtype, whole))
    for (x, notes), _ in results:
        assert torch.equal(x.view(torch.uint8), results[0][0][0].view(torch.uint8))
        assert notes == [note(r) for r in range(n)]
    expected = torch.stack([vector(r, length, dtype, whole).double() for r in range(n)]).sum(0)
    got = results[0][0][0].double()
    assert torch.equal(got, expected) if whole else torch.allclose(got, expected, rtol=1e-6, atol=1e-6)
    meters = [m for _, m in results]
    nbytes = length * dtype.itemsize
    assert sum(m.vector_sent for m in meters) == 2 * (n - 1) * nbytes
    assert sum(m.vector_received for m in meters) == 2 * (n - 1) * nbytes
    # What a rank says last, of slots that it gives back, may not be read before the next call.
    unread = sum(m.bytes_sent - m.bytes_received for m in meters)
    assert 0 <= unread <= (4 * 8 * n if wire == "shared" else 0)
    assert sum(m.messages_sent for m in meters) == sum(m.messages_received for m in meters)
    if exchange == "ring" and length % n == 0:
        assert {m.vector_sent for m in meters} == {int(theory.ring_allreduce_bytes(n, nbytes))}
    if exchange == "tree":
        assert sum(m.messages_sent for m in meters) == 2 * (n - 1)
    if exchange == "ring" and wire == "sockets" and n > 1:
        # A header a message, and a note goes past every other rank once.
        notes = sum(len(note(r)) + -len(note(r)) % 8 for r in range(n))
        messages = n * (2 * (n - 1) if n > 2 else 1)
        assert [sum(m.messages_sent for m in meters)] == [messages]
        assert sum(m.bytes_sent - m.vector_sent for m in meters) == 16 * messages + (n - 1) * notes


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("length", [0, 7, 70_001])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("exchange", "wire"),
    [("ring", "shared"), ("ring", "sockets"), ("tree", "shared"), ("tree", "sockets"), ("gloo", "sockets")],
)
def test_integers_wrap_and_their_sum_is_exact(threads, tmp_path, exchange, wire, n, length, dtype):
    info = torch.iinfo(dtype)

    def numbers(rank):
        return torch.randint(info.min, info.max, (length,), generator=torch.Generator().manual_seed(rank), dtype=dtype)

    def work(ours, rank):
        x = numbers(rank)
        return x, ours.all_reduce(x, note(rank))

    modulus = 2**info.bits
    exact = [sum(column) for column in zip(*(numbers(r).tolist() for r in range(n)), strict=True)]
    want = [(total - info.min) % modulus + info.min for total in exact]
    if length > 7 and n > 1:
        assert want != exact  # some do wrap
    for (x, notes), _ in threads(exchange, n, wire, work, store=str(tmp_path / "meeting")):
        assert x.dtype == dtype
        assert x.tolist() == want
        assert notes == [note(r) for r in range(n)]


@OURS
def test_integers_of_other_sizes_are_refused(threads, exchange):
    def work(ours, rank):
        ours.all_reduce(torch.zeros(3, dtype=torch.int16))

    errors = [error for error, _ in threads(exchange, 2, "shared", work)]  # one may find that the other has left
    assert any("give one of float32, float64, int32, int64" in str(e) for e in errors if isinstance(e, BadInput))


@OURS
@pytest.mark.parametrize("n", [2, 3])
def test_a_rank_that_sends_slowly_loses_nothing(threads, exchange, n):
    length = 300_000
    want = torch.stack([vector(r, length, whole=True) for r in range(n)]).sum(0)
    for (x, _), _ in threads(exchange, n, "sockets", summed(length, torch.float32, True), narrow=True):
        assert torch.equal(x, want)


@OURS
@WIRES
@pytest.mark.parametrize("n", [2, 3, 4])
def test_not_a_number_has_the_same_bits_everywhere(threads, exchange, wire, n):
    def work(ours, rank):
        x = (torch.arange(100, dtype=torch.int32) + 1000 * rank + 0x7FC00000).view(torch.float32)
        ours.all_reduce(x)
        return x.view(torch.int32)

    results = [r for r, _ in threads(exchange, n, wire, work)]
    assert results[0].view(torch.float32).isnan().all()
    assert all(torch.equal(r, results[0]) for r in results)


@OURS
@pytest.mark.filterwarnings("error")
def test_a_sum_that_is_not_finite_says_nothing(threads, exchange):
    def work(ours, rank):
        x = torch.tensor([3e38, float("inf"), 1.0]) * torch.tensor([1.0, (-1.0) ** rank, 1.0])
        ours.all_reduce(x)
        return x.tolist()

    for (big, undefined, plain), _ in threads(exchange, 2, "shared", work):
        assert big == float("inf")
        assert undefined != undefined
        assert plain == 2


@WIRES
def test_after_an_error_the_others_do_not_wait(threads, wire):
    told = threading.Event()

    def work(ours, rank):
        def merge(a, b):
            raise ArithmeticError("no")

        try:
            ours.all_merge({"x": torch.ones(3)}, b"", merge)
        except Broken:
            told.set()
            return "broken"
        except ArithmeticError:
            return told.wait(15)  # its connections are closed though it goes on

    assert [r for r, _ in threads("tree", 2, wire, work)] == [True, "broken"]


@WIRES
def test_a_flat_tree_has_the_bits_of_the_merge_tree(threads, wire):
    n, length = 7, 100_003
    tree = MergeTree(lambda a, b: a + b)
    for r in range(n):
        tree.push(vector(r, length))
    want = tree.result()
    for (x, _), _ in threads("tree", n, wire, summed(length, torch.float32, False)):
        assert torch.equal(x, want)


class Joined:
    """A merge that shows in which order it was made, and uses its left side again."""

    def __call__(self, a, b):
        a["x"] = a["x"].add_(b["x"]).mul_(0.5)
        return {**a, "order": f"({a['order']}{b['order']})", "n": (a["n"][0] + b["n"][0], b["n"][1])}


def accumulator(rank, length):
    return {
        "x": vector(rank, length).view(-1, 1),
        "order": str(rank),
        "n": (rank, State(t=torch.tensor(rank), inf=float("inf"), b=b"\0" * rank)),
        "list": [None, torch.zeros(0, 3), vector(rank, 12, torch.float64).view(3, 4).t()],
        "half": torch.ones(3, dtype=torch.bfloat16),
        7: torch.tensor([True, False]),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a, b)
    elif isinstance(a, dict | list | tuple | State):
        assert type(a) is type(b)
        items = [list(v.items()) if isinstance(v, dict) else list(v) for v in (a, b)]
        assert len(items[0]) == len(items[1])
        for x, y in zip(*items, strict=True):
            same(x, y)
    else:
        assert a == b


@WIRES
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.data())
def test_merging_is_that_of_the_merge_tree_bit_for_bit(threads, wire, n, data):
    length = data.draw(st.sampled_from([0, 1, 1000, 150_000]), "length")
    there = data.draw(st.lists(st.booleans(), min_size=n, max_size=n), "who has something")
    tree = MergeTree(Joined())
    for r in range(n):
        tree.push(accumulator(r, length) if there[r] else None)
    want = tree.result()

    def work(ours, rank):
        return ours.all_merge(accumulator(rank, length) if there[rank] else None, note(rank), Joined())

    for (acc, notes), _ in threads("tree", n, wire, work):
        assert notes == [note(r) for r in range(n)]
        same(acc, want)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(("exchange", "wire"), [("ring", "shared"), ("ring", "sockets"), ("tree", "shared")])
def test_real_processes(processes, exchange, wire, n):
    length = 600_000 * n

    def work(ours, rank):
        x = vector(rank, length, whole=True)
        notes = ours.all_reduce(x, note(rank))
        small = vector(rank, 12)
        ours.all_reduce(small, b"")
        merged = None
        if exchange == "tree":
            mean = Mean()
            update = Update({"delta": vector(rank, 1000)}, rank + 1.0, node=rank)
            merged, _ = ours.all_merge(mean.add(mean.empty(), update), b"", mean.merge)
            merged = mean.read(merged, None)[0]["delta"].tolist()
        return x.sum().item(), x.tolist()[:: length // 100], small.tolist(), notes, merged

    results = processes(exchange, n, wire, work).results()
    total = torch.stack([vector(r, length, whole=True) for r in range(n)]).sum(0)
    mean = Mean()
    for (sum_, some, small, notes, merged), meter in results:
        assert sum_ == total.sum().item()
        assert some == total.tolist()[:: length // 100]
        assert small == results[0][0][2]
        assert notes == [note(r) for r in range(n)]
        if merged is not None:
            tree = MergeTree(mean.merge)
            for r in range(n):
                tree.push(mean.add(mean.empty(), Update({"delta": vector(r, 1000)}, r + 1.0, node=r)))
            assert merged == mean.read(tree.result(), None)[0]["delta"].tolist()
        if exchange == "ring":
            assert meter.vector_sent == theory.ring_allreduce_bytes(n, 4 * (length + 12))
            # Headers, notes and records are few.
            assert meter.bytes_sent - meter.vector_sent < 16_000
    assert sum(m.vector_sent for _, m in results) >= 2 * (n - 1) * 4 * (length + 12)


def test_seconds_are_of_one_kind_each(processes):
    """Of five calls, in each of which one waits, the best is looked at: what is not counted is missing in all of them,
    and what other processes took of the time in some.
    """

    def work(ours, rank):
        def counted():
            m = ours.pump.meter
            return m.compute_s + m.serial_s + m.wire_s + m.waiting_s

        found = []
        for _ in range(5):
            x = vector(rank, 3_000_000)
            time.sleep(0.03 * rank)
            before, begin = counted(), time.perf_counter()
            ours.all_reduce(x, b"")
            found.append((time.perf_counter() - begin, counted() - before))
        m = ours.pump.meter
        return *min(found, key=lambda f: abs(f[0] - f[1])), m.compute_s, m.wire_s

    for (taken, counted, compute, wire), _ in processes("ring", 2, "shared", work).results():
        assert counted == pytest.approx(taken, rel=0.05, abs=0.002)
        assert compute > 0
        assert wire > 0


@OURS
@WIRES
def test_a_rank_that_dies_half_way_is_noticed_by_all(processes, exchange, wire):
    n = 3

    def work(ours, rank):
        x = torch.zeros(4_000_000)
        ours.all_reduce(x)
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ours.all_reduce(x)
        return "done"

    begin = time.perf_counter()
    results = processes(exchange, n, wire, work, timeout=25.0).results()
    assert time.perf_counter() - begin < 15  # not the timeout: the connections end
    assert results[1] is None
    for rank in (0, 2):
        assert results[rank][0].startswith("Broken: rank ")


@WIRES
def test_a_rank_killed_while_bytes_move_is_named(processes, wire):
    def work(ours, rank):
        x = torch.zeros(1_000_000)
        for _ in range(10**6):
            ours.all_reduce(x)

    p = processes("ring", 2, wire, work, timeout=25.0)
    time.sleep(0.3)
    begin = time.perf_counter()
    os.kill(p.pids[1], signal.SIGKILL)
    assert p.result(0)[0].startswith("Broken: rank 1 ")
    assert time.perf_counter() - begin < 15


@WIRES
def test_a_rank_that_stands_still_is_given_up(processes, wire):
    def work(ours, rank):
        x = torch.zeros(1_000_000)
        for _ in range(10**6):
            ours.all_reduce(x)

    p = processes("ring", 2, wire, work, timeout=0.5)
    time.sleep(0.3)
    os.kill(p.pids[1], signal.SIGSTOP)
    assert p.result(0)[0] == "Broken: rank 1 sent and took nothing for 0.5 s"


@OURS
def test_ranks_that_give_different_vectors_are_told(threads, exchange):
    def longer(ours, rank):
        return ours.all_reduce(torch.zeros(10 + rank))

    results = [r for r, _ in threads(exchange, 2, "shared", longer)]
    assert any("gave 1" in str(r) and "numbers of float32" in str(r) for r in results if isinstance(r, BadInput))

    def other_type(ours, rank):
        return ours.all_reduce(torch.zeros(10, dtype=[torch.float32, torch.float64][rank]))

    results = [r for r, _ in threads(exchange, 2, "sockets", other_type)]
    assert any("numbers of float64" in str(r) for r in results if isinstance(r, BadInput))


def test_ranks_in_different_calls_are_told(threads):
    def work(ours, rank):
        if rank:
            return ours.all_reduce(torch.zeros(10))
        return ours.all_merge({"x": torch.zeros(10)}, b"", lambda a, b: a)

    results = [r for r, _ in threads("tree", 2, "shared", work)]
    assert any("another call" in str(r) for r in results if isinstance(r, BadInput))


@pytest.mark.parametrize("bad", [torch.zeros(2, 2), torch.zeros(4)[::2], torch.zeros(4, dtype=torch.float16)])
@OURS
def test_vectors_that_cannot_be_summed_are_refused(exchange, bad):
    with pytest.raises(BadInput, match=r"flat, contiguous|give one of float32, float64, int32, int64"):
        collective(exchange, 0, 1, {}, "shared", Meter()).all_reduce(bad)


def test_what_a_collective_cannot_do_is_said():
    ring = collective("ring", 0, 1, {}, "shared", Meter())
    with pytest.raises(BadInput, match="exchange 'tree'"):
        ring.all_merge({}, b"", lambda a, b: a)
    with pytest.raises(BadInput, match="rank 0 has no connection to rank 1"):
        collective("ring", 0, 3, {}, "shared", Meter())
    with pytest.raises(BadInput, match="wire 'sockets'"):
        collective("gloo", 0, 2, {}, "shared", Meter(), store="x")
    with pytest.raises(BadInput, match="store="):
        collective("gloo", 0, 2, {}, "sockets", Meter())


@pytest.mark.parametrize("exchange", ["ring", "tree", "gloo"])
@pytest.mark.parametrize("n", range(1, 18))
def test_edges_are_seen_by_both_sides_and_join_all(exchange, n):
    seen = {(r, p) for r in range(n) for p in edges(exchange, r, n)}
    assert seen == {(p, r) for r, p in seen}
    assert all(r != p and 0 <= p < n for r, p in seen)
    reached = {0}
    for _ in range(n):
        reached |= {p for r, p in seen if r in reached}
    assert reached == ({0} if exchange == "gloo" else set(range(n)))
    assert len(seen) == {"ring": 2 * n if n > 2 else 2 * (n - 1), "tree": 2 * (n - 1), "gloo": 0}[exchange]


@OURS
@WIRES
def test_a_pingpong_measures_the_connection(threads, exchange, wire):
    sizes = (100, 10_000, 1_000_000)

    def work(ours, rank):
        found = probe(rank, *moves(ours.pump, ours.pipes[1 - rank]), sizes, 3) if rank < 2 else []
        ours.all_reduce(torch.ones(3))
        return found

    results = threads(exchange, 3, wire, work)
    for samples, _ in results[:2]:
        assert [size for size, _ in samples] == list(sizes)
        assert all(0 < s < 5 for _, s in samples)


GLOO = """
import sys, os, torch
from foedus.runtimes.processes.collectives.collective import collective
from foedus.runtimes.meter import Meter
rank, n, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
m = Meter()
ours = collective("gloo", rank, n, {}, "sockets", m, store=store)
assert not os.path.exists(store) or rank
x = torch.arange(1000.0) * (rank + 1)
notes = ours.all_reduce(x, bytes([rank]) * rank)
assert torch.equal(x, torch.arange(1000.0) * 3), x
assert notes == [b"", b"\\1"], notes
assert m.vector_sent == 4000, m
assert ours.all_reduce(torch.zeros(0)) == [b""] * 2
ours.close()
print("fine")
"""


def test_gloo_gives_the_same_and_leaves_nothing(tmp_path):
    store = tmp_path / "meet"
    ranks = [
        subprocess.Popen([sys.executable, "-c", GLOO, str(r), "2", str(store)], stdout=-1, stderr=-1, text=True)
        for r in range(2)
    ]
    try:
        for p in ranks:
            out, err = p.communicate(timeout=60)
            assert (p.returncode, out) == (0, "fine\n"), err
    finally:
        for p in ranks:
            p.kill()
    assert list(tmp_path.iterdir()) == []
