"""Node processes: how they start, and every way in which they end. To start them takes seconds, so that each test here
looks at many things.
"""

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.runtimes.channel import Closed
from foedus.runtimes.processes.parent.process_group import NodeLost, ProcessGroup
from foedus.runtimes.processes.wire.heartbeat import Heartbeat, new_board

CORES = sorted(os.sched_getaffinity(0))


def federation(nodes=4, rows=80):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("f")
    return fd.data.arrays(x, np.arange(rows) % 3, test=0.2).split(fd.data.IID(), nodes=nodes)


def crew_of(nodes, setup=None, module="echo", patience=30.0, model=None, **options):
    model = fd.Model(nn.Linear(4, 3)) if model is None else model
    return ProcessGroup(
        nodes, module, {} if setup is None else setup, model, federation(), patience=patience, **options
    )


def losses(group, act, count, within=20.0):
    """What ``lost`` is told, as ``(node, reason, seconds since act)``, until it was told so often."""

    async def main():
        told = asyncio.Queue()
        group.watch(asyncio.get_running_loop(), lambda *loss: told.put_nowait((*loss, time.monotonic())))
        begun = time.monotonic()
        act()
        try:
            got = [await asyncio.wait_for(told.get(), within) for _ in range(count)]
            await asyncio.sleep(0.1)
            assert told.empty()  # once a node
        finally:
            group.unwatch()
        return [(node, reason, at - begun) for node, reason, at in got]

    return asyncio.run(main())


def ask(group, whom, **what):
    group.channels[whom].send(what)
    return group.channels[whom].receive()[0]


# -- how they start ------------------------------------------------------------------------------------------------


def test_each_gets_its_setup_the_model_the_data_a_core_and_one_thread(here, leftovers):
    nodes = min(2, len(CORES))
    with leftovers(), crew_of(nodes, lambda node: {"name": f"n{node}"}) as group:
        assert not group.oversubscribed
        for node, channel in enumerate(group.channels):
            channel.send({"do": "tell"})
            told, tree, _ = channel.receive()
            assert told["setup"] == {"name": f"n{node}", "node": node, "nodes": nodes}
            assert (told["rows"], told["numbers"], told["threads"]) == (64, 15, 1)
            assert told["cores"] == [CORES[node]] == [group.cores[node]]
            assert told["sigint"]
            assert told["group"]
            assert torch.equal(tree["x"], federation().x)
        del tree
        assert len(set(group.pids)) == nodes
        assert group.alive == set(range(nodes))
        group.kill(0)
        assert group.alive == set(range(1, nodes))
        assert not psutil.pid_exists(group.pids[0])
        group.close()
        assert group.alive == set()
    # ``with`` has closed it once more


def test_a_node_that_does_not_start_is_named_and_the_others_end(here, leftovers, capfd):
    with leftovers(), pytest.raises(NodeLost, match=r"^the process of node \d \(pid \d+\) exited with status 1$") as e:
        crew_of(2, module="no_such_module_of_nodes")
    assert e.value.node in (0, 1)  # whichever is first
    assert e.value.reason == "exited with status 1"
    assert isinstance(e.value, fd.WorkerError)
    assert "no_such_module_of_nodes" in capfd.readouterr().err


def loading(act):
    """A model for whose loading a node does this."""
    # Defined in a function, so that it goes to the nodes by value.
    here = os.getpid()

    def load():
        if os.getpid() != here:
            act()

    class Held:
        def __reduce__(self):
            return load, ()

    held = Held()
    return fd.Model(nn.Linear(4, 3), loss=lambda out, y: held)


def test_a_node_that_hangs_while_it_starts_is_named(here, leftovers):
    with leftovers(), pytest.raises(NodeLost, match=r"node \d .* gave no sign of life for 0.8 s"):
        crew_of(1, model=loading(lambda: os.kill(os.getpid(), signal.SIGSTOP)), patience=0.8)


def test_models_that_cannot_be_sent_or_loaded_are_refused_in_one_line(here, leftovers):
    lock = threading.Lock()
    locked = fd.Model(nn.Linear(4, 3), loss=lambda out, y: lock)
    with leftovers(), pytest.raises(fd.BadInput, match=r"the model cannot be sent to worker processes \(.*lock") as e:
        crew_of(2, model=locked)
    assert str(e.value).endswith("; use the runtime Simulation")
    ghost = types.ModuleType("ghost_of_nodes")
    sys.modules["ghost_of_nodes"] = ghost
    exec("from torch import nn\nclass Ghost(nn.Linear):\n    pass\n", ghost.__dict__)
    model = fd.Model(ghost.Ghost(4, 3))
    try:
        with (
            leftovers(),
            pytest.raises(fd.BadInput, match=r"cannot load the model \(ModuleNotFoundError: .*ghost") as e,
        ):
            crew_of(1, model=model, instead="use one machine")
    finally:
        del sys.modules["ghost_of_nodes"]
    assert str(e.value).endswith("can be imported, or use one machine")
    assert "\n" not in str(e.value)


def test_more_processes_than_the_system_allows_are_refused_with_what_to_do(here, leftovers):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(number) for number in os.listdir("/proc/self/fd")}
    room = next(most for most in range(soft) if most - len([number for number in taken if number < most]) == 12)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    try:
        with leftovers(), pytest.raises(fd.WorkerError, match=r"^only \d+ of 30 .*Too many open files.*ulimit -n") as e:
            crew_of(30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert str(e.value).endswith("or use the runtime Simulation")


def test_ctrl_c_while_they_start_ends_them(here, leftovers):
    def third_is_too_many(node):
        if node == 2:
            raise KeyboardInterrupt
        return {}

    with leftovers(), pytest.raises(KeyboardInterrupt):
        crew_of(3, third_is_too_many)

    def soon(node):
        if node == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return {}

    with leftovers(), pytest.raises(KeyboardInterrupt):
        crew_of(2, soon, model=loading(lambda: time.sleep(600)))


# -- how they end --------------------------------------------------------------------------------------------------


def test_every_end_is_noticed_at_once_and_told_once(here, leftovers, monkeypatch, capfd):
    ways = [
        ({"do": "signal", "signal": signal.SIGKILL}, "was killed by SIGKILL (by the system, if memory ran out)"),
        ({"do": "signal", "signal": signal.SIGSEGV}, "was killed by SIGSEGV"),
        ({"do": "exit", "status": 3}, "exited with status 3"),
        ({"do": "raise"}, "exited with status 1"),
        ({"do": "signal", "signal": signal.SIGRTMIN + 1}, f"was killed by signal {signal.SIGRTMIN + 1}"),
    ]
    with leftovers(), crew_of(5) as group:
        assert group.oversubscribed == (len(CORES) < 5)
        cores = ask(group, 4, do="tell")["cores"]
        assert cores == (CORES if group.oversubscribed else [CORES[4]])
        theirs = [ask(group, node, do="start")["pid"] for node in range(5)]

        def end(nodes):
            def act():
                for node in nodes:
                    group.channels[node].send(ways[node][0])

            got = losses(group, act, len(nodes))
            assert {node: reason for node, reason, _ in got} == {node: ways[node][1] for node in nodes}
            # Milliseconds on a machine that has nothing else to do.
            assert max(seconds for *_, seconds in got) < 3.0
            assert not [pid for node, pid in enumerate(theirs) if node in nodes and running(pid)]

        end(range(3))
        assert group.alive == {3, 4}
        # Where the system does not tell of ends by itself, they are looked for.
        monkeypatch.setattr(os, "pidfd_open", forbidden)
        end(range(3, 5))
        assert group.alive == set()
        with pytest.raises(Closed):
            group.channels[0].receive()
    assert "RuntimeError: on purpose" in capfd.readouterr().err


def forbidden(pid):
    raise PermissionError


def running(pid):
    # Its new parent may not have waited for it yet.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_stopped_node_counts_as_hung_and_a_busy_one_does_not(here, leftovers):
    with leftovers(), crew_of(3, patience=1.5) as group:
        group.channels[1].send({"do": "multiply", "size": 2000, "seconds": 2.5})
        group.channels[2].send({"do": "sleep", "seconds": 600.0})
        [(node, reason, seconds)] = losses(group, lambda: os.kill(group.pids[0], signal.SIGSTOP), 1)
        assert node == 0
        assert reason == "gave no sign of life for 1.5 s (stopped, or stuck) and was ended"
        assert seconds > 1.0
        assert not psutil.pid_exists(group.pids[0])
        assert group.channels[1].receive()[0] == {"done": True}
        assert group.alive == {1, 2}

        def away_then_killed():
            time.sleep(2.0)  # a parent that does not look thinks nobody dead
            os.kill(group.pids[1], signal.SIGTERM)

        assert [loss[:2] for loss in losses(group, away_then_killed, 1)] == [(1, "was killed by SIGTERM")]
        os.kill(group.pids[2], signal.SIGSTOP)
        with pytest.raises(Closed):  # nobody waits for ever for one that takes no messages
            flood(group.channels[2])
        assert group.alive == {2}  # ``close`` ends stopped ones too


def flood(channel):
    for _ in range(40):
        channel.send({"do": "echo", "long": "a" * 20_000})


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_silence_is_counted_in_looks_since_the_last_beat(beats):
    page = new_board(2)
    pulse = Heartbeat(page)
    for at, who in enumerate(beats, 1):
        for node in (0, 1):
            if who[node]:
                page["beat"][node] = at
        pulse.look(0.5)
    for node in (0, 1):
        been = [i for i, who in enumerate(beats) if who[node]]
        assert pulse.begun(node) == bool(been)
        assert pulse.silent[node] == 0.5 * (len(beats) - 1 - been[-1] if been else len(beats))


PARENT = """
    import os, signal, sys, threading, time
    import numpy as np, foedus as fd
    from torch import nn
    from foedus.runtimes.processes.parent.process_group import ProcessGroup
    x = np.random.default_rng(0).normal(size=(80, 4)).astype("f")
    data = fd.data.arrays(x, np.arange(80) % 3, test=0.2).split(fd.data.IID(), nodes=4)
    group = ProcessGroup(3, "echo", {}, fd.Model(nn.Linear(4, 3)), data, patience=60.0)
    group.channels[0].send({"do": "sleep", "seconds": 600.0})
    os.kill(group.pids[1], signal.SIGSTOP)
    print(*group.pids, flush=True)
    time.sleep(600)
"""


def test_when_the_parent_is_killed_all_end_the_stopped_and_the_busy_too(here, leftovers, tmp_path):
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    with leftovers():
        parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        pids = [int(pid) for pid in re.findall(r"\d+", parent.stdout.readline())]
        assert len(pids) == 3
        assert all(map(running, pids))
        parent.kill()
        parent.wait()
        parent.stdout.close()
        end = time.monotonic() + 5
        while any(map(running, pids)):
            assert time.monotonic() < end
            time.sleep(0.02)
