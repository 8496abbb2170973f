"""Ranks for tests: connected sockets, and a thread or a process for each. And the check that nothing is left behind."""

import importlib.util
import os
import pickle
import signal
import socket
import threading
from pathlib import Path

import pytest
import torch

from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import collective, edges

_spec = importlib.util.spec_from_file_location("leftovers", Path(__file__).with_name("leftovers.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


def pair(wire):
    """Two connected sockets, of the kind that a wire needs."""
    if wire == "shared":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    for s in (a, b):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return a, b


def connect(exchange, n, wire):
    """The sockets of every rank, by peer."""
    out = [{} for _ in range(n)]
    for rank in range(n):
        for peer in edges(exchange, rank, n):
            if peer > rank:
                out[rank][peer], out[peer][rank] = pair(wire)
    return out


def in_threads(exchange, n, wire, work, timeout=20.0, spin=False, narrow=False, store=""):
    """``[(what work(collective, rank) returned or raised, Meter)]`` of all ranks, threads of this process.

    ``narrow``: rank 0 can send a few kilobytes at a time, so that it is always behind.
    """
    socks = connect(exchange, n, wire)
    for s in socks[0].values() if narrow else ():
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    results = [None] * n

    def go(rank):
        meter = Meter()
        ours = None
        try:
            ours = collective(exchange, rank, n, socks[rank], wire, meter, spin, timeout, store)
            results[rank] = work(ours, rank), meter
        except Exception as e:
            results[rank] = e, meter
        finally:
            if ours is not None:
                ours.close()

    threads = [threading.Thread(target=go, args=(r,)) for r in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert all(r is not None for r in results), "a rank still waits"
    return results


class Processes:
    """A process for every rank, a copy of this one; ``work`` runs there and its result is sent back."""

    def __init__(self, exchange, n, wire, work, timeout=20.0, spin=False):
        socks = connect(exchange, n, wire)
        self.pids, self._results = [], []
        for rank in range(n):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read)
                for other, theirs in enumerate(socks):
                    for s in theirs.values() if other != rank else ():
                        s.close()
                self._child(write, exchange, rank, n, socks[rank], wire, work, timeout, spin)
            os.close(write)
            self.pids.append(pid)
            self._results.append(read)
        for theirs in socks:
            for s in theirs.values():
                s.close()

    def _child(self, write, exchange, rank, n, socks, wire, work, timeout, spin):
        try:
            signal.alarm(60)  # whatever happens, no process is left behind
            torch.set_num_threads(1)
            meter = Meter()
            ours = collective(exchange, rank, n, socks, wire, meter, spin, timeout)
            try:
                result = work(ours, rank)
            except Exception as e:
                result = f"{type(e).__name__}: {e}"
            ours.close()
            with os.fdopen(write, "wb") as f:
                pickle.dump((result, meter), f)
        finally:
            os._exit(0)

    def result(self, rank):
        """What a rank returned (or the error as text), and its meter; None if it was killed."""
        with os.fdopen(self._results[rank], "rb") as f:
            data = f.read()
        os.waitpid(self.pids[rank], 0)
        self.pids[rank] = None
        return pickle.loads(data) if data else None

    def results(self):
        return [self.result(r) for r in range(len(self.pids))]

    def close(self):
        for pid in self.pids:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


@pytest.fixture(scope="session")
def threads():
    """``in_threads``."""
    return in_threads


@pytest.fixture
def processes():
    """Starts ``Processes``; whatever still runs at the end is killed."""
    started = []

    def start(*args, **options):
        started.append(Processes(*args, **options))
        return started[-1]

    yield start
    for p in started:
        p.close()


@pytest.fixture(name="pair", scope="session")
def connected_pair():
    """``pair``."""
    return pair


@pytest.fixture
def leftovers():
    """``with leftovers(): …`` fails if a process, port, file or descriptor is left; see ``leftovers.py``."""
    return _module.nothing_left


@pytest.fixture
def listening():
    """``listening(pid)``: the addresses that a process listens at."""
    return _module.listening


def _path():
    return os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


@pytest.fixture
def here(monkeypatch):
    """Modules beside the tests can be started as node processes, by their names."""
    monkeypatch.setenv("PYTHONPATH", _path())


@pytest.fixture(scope="module")
def beside():
    """The same for a module of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", _path())
        yield
