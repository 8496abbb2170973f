"""How nodes are connected: who is with whom, and who is not. One group serves most tests, and the last takes one node
away.
"""

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.runtimes.processes.parent.conversation import Conversation, Lost
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import pair

NODES = 4
WIRES = pytest.mark.parametrize("wire", ["shared", "sockets"])


def start(nodes, **options):
    data = fd.data.arrays([[float(i)] for i in range(20)], [i % 2 for i in range(20)], test=0.2)
    return ProcessGroup(nodes, "echo", {}, fd.Model(nn.Linear(1, 2)), data.split(fd.data.IID(), nodes=nodes), **options)


@pytest.fixture(scope="module")
def group(beside):
    with start(NODES) as group:
        yield group


def complete(node, left):
    return set(left) - {node}


def connected(group, edges, wire, members=range(NODES), before=lambda talk: None):
    """What each member says when all are told to go, and who was lost meanwhile. ``before``: when all are ready."""
    loop = asyncio.new_event_loop()
    talk = Conversation(group, loop, gone={n: "takes no part" for n in range(group.nodes) if n not in members})
    found = {}

    async def meet():
        talk.open()
        for node in talk.left:
            group.channels[node].send({"do": "meet", "run": talk.run})
        for _ in members:
            await talk.next(20)
        before(talk)
        while not talk.gathered(edges, wire):
            heard = await talk.next(20)
            if isinstance(heard.message, Lost):
                found[heard.node] = heard.message

    try:
        loop.run_until_complete(meet())
        talk.go(0.0)
        found |= {node: group.channels[node].receive()[0] for node in talk.left}
        talk.close()
    finally:
        group.unwatch()
        loop.close()
    return found


PAIRS = st.sets(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda p: p[0] < p[1]))


@WIRES
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(pairs=PAIRS, members=st.sets(st.integers(0, NODES - 1), min_size=1))
def test_everybody_is_connected_to_whom_it_should_be_and_nobody_else(group, wire, pairs, members):
    def edges(node, left):
        return {b if a == node else a for a, b in pairs if node in (a, b)} & set(left)

    for node, told in connected(group, edges, wire, members).items():
        others = edges(node, members)
        assert told["got"] == {to: [to, node] for to in others}
        assert told["members"] == sorted(members)
        assert told["blocking"]
        assert not told["inherited"]
        assert told["tcp"] == (len(others) if wire == "sockets" else 0)
        assert told["nodelay"]


@WIRES
def test_nobody_listens_afterwards_and_no_descriptor_is_left(group, leftovers, listening, wire):
    connected(group, complete, wire)  # what is open now stays so
    fds = [psutil.Process(pid).num_fds() for pid in group.pids]
    with leftovers():
        for _ in range(3):
            connected(group, complete, wire)
    assert [psutil.Process(pid).num_fds() for pid in group.pids] == fds
    assert [listening(pid) for pid in [os.getpid(), *group.pids]] == [[]] * (NODES + 1)


def test_whoever_else_connects_is_dropped(monkeypatch):
    strangers = []
    create = socket.create_connection

    def second(address):
        strangers.append(create(address))
        return create(address)

    monkeypatch.setattr(pair.socket, "create_connection", second)
    one, other = pair.connected_pair("sockets")
    with one, other:
        one.sendall(b"a")
        assert other.recv(1) == b"a"
        assert one.getpeername() == other.getsockname()
        with strangers[0], contextlib.suppress(ConnectionError):
            assert strangers[0].recv(1) == b""


@WIRES
def test_the_parent_needs_few_descriptors_whoever_is_connected(group, wire):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 8 + NODES  # of a loop, and of a watch a node
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        told = connected(group, complete, wire)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(len(told[node]["got"]) == NODES - 1 for node in range(NODES))


def test_what_the_system_does_not_allow_is_said():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for wire in ("shared", "sockets"):
            with pytest.raises(fd.WorkerError, match=r"could not be connected .*Too many open files.*ulimit -n"):
                pair.connected_pair(wire)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_when_one_is_lost_the_others_are_connected_anew(group):
    """It ends when all are ready; in a ring, for those that are left have other neighbours then."""

    def ring(node, left):
        return complete(node, {left[left.index(node) - 1], node, left[(left.index(node) + 1) % len(left)]})

    def end_one(talk):
        os.kill(group.pids[2], signal.SIGKILL)
        ended = os.pidfd_open(group.pids[2])
        select.select([ended], [], [], 20)  # with all its threads: its descriptors are closed
        os.close(ended)

    told = connected(group, ring, "sockets", before=end_one)
    assert told.pop(2) == Lost("was killed by SIGKILL (by the system, if memory ran out)")
    assert group.alive == {0, 1, 3} == told.keys()
    for node in group.alive:
        assert told[node]["members"] == [0, 1, 3]
        assert told[node]["got"] == {to: [to, node] for to in group.alive - {node}}
    for wire in ("shared", "sockets"):
        assert connected(group, complete, wire, group.alive)[0]["got"] == {1: [1, 0], 3: [3, 0]}
