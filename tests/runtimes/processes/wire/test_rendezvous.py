"""Sockets between node processes: who is connected to whom, and who is not. One group serves most tests,
and the last takes one node away.
"""

import os
import signal
import socket
import struct
import threading
import time

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.runtimes.processes.parent.process_group import NodeLost, ProcessGroup
from foedus.runtimes.processes.wire import rendezvous

NODES = 4
WIRES = pytest.mark.parametrize("wire", rendezvous.WIRES)


def start(nodes, **options):
    data = fd.data.arrays([[float(i)] for i in range(20)], [i % 2 for i in range(20)], test=0.2)
    return ProcessGroup(nodes, "echo", {}, fd.Model(nn.Linear(1, 2)), data.split(fd.data.IID(), nodes=nodes), **options)


@pytest.fixture(scope="module")
def group(beside):
    with start(NODES) as group:
        yield group


def answers(group, nodes):
    def answer(node):
        while True:
            message, _, _ = group.channels[node].receive()
            if "rendezvous" not in message:  # what is left of one that was called off
                return message

    return {node: answer(node) for node in nodes}


def complete(node):
    return set(range(NODES)) - {node}


PAIRS = st.sets(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda p: p[0] < p[1]))


@WIRES
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(pairs=PAIRS, members=st.sets(st.integers(0, NODES - 1), min_size=1))
def test_everybody_is_connected_to_whom_it_should_be_and_nobody_else(group, wire, pairs, members):
    def edges(node):
        found = {b if a == node else a for a, b in pairs if node in (a, b)}
        return found & members

    group.rendezvous(edges, wire, members)
    for node, told in answers(group, members).items():
        assert told["got"] == {to: [to, node] for to in edges(node)}
        assert told["blocking"]
        assert not told["inherited"]
        assert told["tcp"] == (len(edges(node)) if wire == "sockets" else 0)
        assert told["nodelay"]


@WIRES
def test_nobody_listens_afterwards_and_no_descriptor_is_left(group, leftovers, listening, wire):
    group.rendezvous(complete, wire)  # what is open now stays so
    answers(group, range(NODES))
    fds = [psutil.Process(pid).num_fds() for pid in group.pids]
    with leftovers():
        for _ in range(3):
            group.rendezvous(complete, wire)
            answers(group, range(NODES))
    assert [psutil.Process(pid).num_fds() for pid in group.pids] == fds
    assert [listening(pid) for pid in group.pids] == [[]] * NODES


@WIRES
def test_strangers_are_dropped_and_keep_nobody_waiting(group, listening, wire):
    # The last is not there yet: the others listen and wait.
    os.kill(group.pids[3], signal.SIGSTOP)
    failed = []

    def connect():
        try:
            group.rendezvous(complete, wire, timeout=60.0)
        except BaseException as e:
            failed.append(e)

    meeting = threading.Thread(target=connect)
    meeting.start()
    try:
        strangers = []
        for node in range(3):
            end = time.monotonic() + 20
            while not (found := listening(group.pids[node])):
                assert time.monotonic() < end
                time.sleep(0.01)
            for said in (
                b"",  # says nothing
                b"\x03",  # and stops in the middle of a word
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
                struct.pack("<I32s", 3, bytes(32)),  # somebody who is awaited, by his word alone
                struct.pack("<I32s", node, bytes(32)),
                struct.pack("<I32s", 2**32 - 1, bytes(32)),
                None,  # and is gone at once
            ):
                stranger = socket.socket(socket.AF_INET if wire == "sockets" else socket.AF_UNIX)
                stranger.settimeout(20.0)
                stranger.connect(found[0])
                if said is None:
                    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    stranger.close()
                else:
                    stranger.sendall(said)
                    strangers.append(stranger)
    finally:
        os.kill(group.pids[3], signal.SIGCONT)
        meeting.join()
    assert failed == []
    for node, told in answers(group, range(NODES)).items():
        assert told["got"] == {to: [to, node] for to in complete(node)}
    for stranger in strangers:
        with stranger:
            try:
                heard = stranger.recv(100)
            except ConnectionError:
                heard = b""
            assert heard == b""


@WIRES
def test_whoever_is_late_is_named_and_it_can_be_tried_again(group, wire):
    group.channels[1].send({"do": "sleep", "seconds": 1.0})
    with pytest.raises(rendezvous.NotInTime, match=r"^the processes of nodes 1 were not connected within 0.3 s$") as e:
        group.rendezvous(complete, wire, timeout=0.3)
    assert e.value.nodes == {1}
    told = answers(group, [0, 2, 3])
    assert all("nodes 1 were not" in answer["off"] for answer in told.values())
    heard = []
    # The late one still learns of the first time, and what it says to that comes in between.
    group.rendezvous(complete, wire, other=lambda *what: heard.append(what))
    assert [(node, "off" in message) for node, message, _ in heard] == [(1, True)]
    assert answers(group, range(NODES))[1]["got"] == {to: [to, 1] for to in complete(1)}


@pytest.mark.slow
def test_one_that_is_busy_is_waited_for_and_one_that_hangs_is_lost(here, leftovers):
    with leftovers(), start(3, patience=1.5) as group:
        group.channels[1].send({"do": "sleep", "seconds": 2.5})
        group.rendezvous(lambda node: {0, 1, 2} - {node}, "sockets")
        assert answers(group, [1])[1]["got"] == {0: [0, 1], 2: [2, 1]}
        answers(group, [0, 2])
        os.kill(group.pids[1], signal.SIGSTOP)
        with pytest.raises(NodeLost, match=r"^the process of node 1 \(pid \d+\) gave no sign of life for 1.5 s"):
            group.rendezvous(lambda node: {0, 1, 2} - {node}, "sockets", timeout=60.0)
        assert group.alive == {0, 2}
        assert all("node 1" in told["off"] for told in answers(group, [0, 2]).values())


def test_edges_that_do_not_fit_and_unknown_wires_are_refused(group):
    for edges in (lambda node: {1} - {node}, lambda node: {node}, lambda node: {NODES}):
        with pytest.raises(ValueError, match=r"node \d is to be connected to \d, but"):
            group.rendezvous(edges, "shared")
    with pytest.raises(ValueError, match=r"'radio', expected one of 'shared', 'sockets'"):
        group.rendezvous(complete, "radio")
    group.channels[2].send({"do": "echo"})
    with pytest.raises(fd.WorkerError, match="node 2 sent something else"):
        group.rendezvous(complete, "shared")
    answers(group, range(NODES))


def test_when_one_is_lost_the_others_are_told_and_connected_anew(group):
    group.channels[2].send({"do": "signal", "signal": signal.SIGKILL})
    begun = time.monotonic()
    with pytest.raises(NodeLost, match=r"^the process of node 2 \(pid \d+\) was killed by SIGKILL") as e:
        group.rendezvous(complete, "sockets", timeout=60.0)
    assert time.monotonic() - begun < 20
    assert e.value.node == 2
    assert group.alive == {0, 1, 3}
    assert all("node 2" in told["off"] for told in answers(group, group.alive).values())
    for wire in rendezvous.WIRES:
        group.rendezvous(lambda node: group.alive - {node}, wire)
        for node, told in answers(group, group.alive).items():
            assert told["got"] == {to: [to, node] for to in group.alive - {node}}
