"""The check that a run has left nothing behind, whatever way it ended.

    def test_an_ending(leftovers):
        with leftovers():
            ...

Looks at processes (also those whose parent is gone: they are known by a mark in their environment), listening sockets,
shared memory, temporary files and this process's descriptors. This process's own warm process, which lives as long as
it, and the connection to it are no leftovers; anybody else's are. The fixture ``leftovers`` of ``conftest.py`` beside
is ``nothing_left``, since tests are no package that could import it.
"""

import contextlib
import gc
import os
import tempfile
import time
from pathlib import Path

import psutil

from foedus.runtimes import warm

MARK = "FOEDUS_TEST_MARK"
"""In the environment of this process (``tests/conftest.py``), and so of all that were started from it."""

KINDS = ("socket:", "pipe:", "/memfd:", "anon_inode:[pidfd]", "anon_inode:[eventpoll]", "anon_inode:[eventfd]")

_LISTENS = 1 << 16
"""``__SO_ACCEPTCON`` in the flags of ``/proc/net/unix``."""


def marked():
    """Processes that were started from this one, with what they are."""
    found = {}
    mine = {os.getpid(), *(w.pid for w in warm.running())}
    mark = f"{MARK}={os.environ[MARK]}".encode()
    for p in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            zombie = p.status() == psutil.STATUS_ZOMBIE
            if p.pid in mine or (zombie and p.ppid() != os.getpid()):
                continue  # somebody else's to wait for
            if zombie or mark in Path(f"/proc/{p.pid}/environ").read_bytes().split(b"\0"):
                found[p.pid] = "a zombie" if zombie else f"{p.status()}: {p.name()}: {' '.join(p.cmdline())}"
    return found


def descriptors():
    """This process's descriptors of the kinds that a run opens."""
    found = {}
    mine = {w.fileno() for w in warm.running()}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{fd}")
            if target.startswith(KINDS) and int(fd) not in mine:
                found[int(fd)] = target
    return found


def listening(pid=None):
    """Addresses that a process (this one) listens at: ``(host, port)``, or the name of a Unix socket."""
    process = psutil.Process(pid)
    connections = getattr(process, "net_connections", None) or process.connections
    found = [tuple(c.laddr) for c in connections("tcp") if c.status == psutil.CONN_LISTEN]
    own = set()
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(OSError):
            own.add(os.readlink(f"/proc/{process.pid}/fd/{fd}"))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *name = line.split(maxsplit=7)
        if int(flags, 16) & _LISTENS and f"socket:[{inode}]" in own:
            found.append("".join(name).replace("@", "\0", 1))
    return found


def files():
    """What of ours has a name in shared memory or among the temporary files."""
    places = {"/dev/shm", tempfile.gettempdir()}
    ours = ("foedus", "torch_", "gloo")
    names = {f"{place}/{name}" for place in places for name in os.listdir(place) if name.startswith(ours)}
    return {n for n in names if not n.startswith("/dev/shm/torch_") or f"torch_{os.getpid()}_" in n}


def state():
    gc.collect()
    return {
        "processes": marked(),
        "descriptors": descriptors(),
        "ports": {address: "listens" for address in listening()},
        "files": {f: "a file" for f in files()},
    }


@contextlib.contextmanager
def nothing_left(patience=5.0, segments=1):
    """Fail if what was started or opened within is not gone so many seconds afterwards.

    A data set that was sent to processes stays where it was put, and its mapping has a descriptor: so many
    ``segments`` of shared memory may be left.
    """
    before = state()
    try:
        yield
        end = time.monotonic() + patience
        while True:
            now = state()
            left = {
                kind: new
                for kind, found in now.items()
                if (new := {k: v for k, v in found.items() if before[kind].get(k) != v})
            }
            mapped = [fd for fd, target in left.get("descriptors", {}).items() if target.startswith("/memfd:")]
            if len(mapped) <= segments and left.get("descriptors", {}).keys() == set(mapped):
                left.pop("descriptors", None)
            if not left:
                break
            assert time.monotonic() < end, f"left behind: {left}"
            time.sleep(0.05)
    finally:
        # A test that failed is not to leave them to the next.
        for pid in marked().keys() - before["processes"].keys():
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
