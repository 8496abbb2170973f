"""The warm process: it has imported torch and run nothing, and forks node and worker processes when asked.

To import torch takes a process a second. So a thread that starts processes has one process import it, once, and its
children are copies of that one, made in milliseconds. (The thread itself cannot be copied: fork after threaded torch
hangs, and its script may have no ``__main__`` guard.) A copy differs in nothing that a run could see from
``python -P -m module FD``, started at that moment by the thread itself:

- Its parent is this process and not the warm one (``CLONE_PARENT``): it can be waited for, its death signal comes when
  the thread ends, and if somebody kills the warm process, children work on; the next start makes a new one.
- It has the thread's environment, folder, standard output and error, limits and cores, those of now. What libraries
  read from the environment while they load cannot be changed later: if it did change, a new warm process is started.
- It has one thread, a process group of its own, and randomness of its own.

A warm process ends with the thread that started it, whatever way that ends, and holds nothing of it open. Where there
is no such fork (another system, another C library) processes are started by ``python -P -m`` one by one.

The parent's side comes first; what runs in the other process (``main``) after it. It must not import torch before the
death signal is set: a process that loses its parent while it still imports has to end then.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import resource
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

LOADED = (
    "core", "aggregators", "data", "jobs", "models", "optimizers", "programs", "runtimes", "sampling", "testing",
    "transforms",
)  # fmt: skip
"""Packages whose modules a run's processes need: the warm process imports what this one has imported of them."""

AT_LOAD = (
    "PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_",
    "DNNL_", "ONEDNN_", "ATEN_", "TORCH", "PYTORCH_", "CUDA_", "NVIDIA_", "NCCL_", "NPY_",
)  # fmt: skip
"""How variables begin that Python, the C library, torch and what it is built on read once, when they are loaded."""

PATIENCE = 120.0
"""Seconds until a warm process that says nothing (stopped, or on a disk that hangs) is given up."""

_LENGTH, _ANSWER = struct.Struct("<I"), struct.Struct("<i")
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_TID_ADDRESS = 1, 15, 40
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000


def start(module: str, channel: socket.socket) -> subprocess.Popen[bytes] | Forked:
    """A process that runs ``python -P -m module FD``, in a process group of its own, with this socket as FD.

    It dies with the thread that calls this. Errors: ``OSError`` if the system allows no more.
    """
    for _ in range(2):  # the first may have been killed since it was started
        warm = _warm()
        if warm is None:
            break
        try:
            return warm.fork(module, channel)
        except _Gone:
            _forget(warm)
    return _python(channel, _environment(), module)


class Forked:
    """A child of this process that ``subprocess`` does not know. Like its ``Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or minus the signal; None while it runs."""
        return self._look(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """The same when it has ended. Errors: ``subprocess.TimeoutExpired``."""
        until, pause = time.monotonic() + (timeout or 0.0), 0.0005
        while (status := self._look(0 if timeout is None else os.WNOHANG)) is None:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(min(pause, 0.05, left))
            pause *= 2
        return status

    def _look(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else waited for it: Popen says 0 then, too
                pid, status = self.pid, 0
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class _Gone(Exception):
    """The warm process is no more, or says nothing."""


class Warm:
    """A warm process of this thread's, and the connection to it."""

    def __init__(self) -> None:
        environment = _environment()
        self.fixed = _at_load(environment)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _python(theirs, environment)
        except BaseException:
            ours.close()
            raise
        ours.settimeout(PATIENCE)
        self._socket, self.owner = ours, os.getpid()
        self._can: bool | None = None
        # Also when the thread ends, with which what is local to it goes.
        self.end = weakref.finalize(self, _end, self._process, ours, os.getpid())
        _all.add(self)
        with contextlib.suppress(OSError):
            mine = tuple(f"foedus.{package}" for package in LOADED)
            self._send({"import": sorted(m for m in list(sys.modules) if m.startswith(mine))})

    @property
    def pid(self) -> int:
        """Its number. Nobody else has it before ``end``."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return self._socket.fileno()

    def seconds(self) -> float:
        """What it has computed: to import torch, for the most part."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def can(self) -> bool:
        """Whether it can fork; waits until it is ready. Errors: ``_Gone``."""
        if self._can is None:
            self._can = self._answer() > 0
        return self._can

    def fork(self, module: str, channel: socket.socket) -> Forked:
        """See ``start``. Errors: ``OSError``, ``_Gone``."""
        with contextlib.ExitStack() as stack:
            passed = [channel.fileno()]
            for opened in (_folder, _output, _errors):
                passed.append(opened())
                stack.callback(os.close, passed[-1])
            request = {"module": module, **_surroundings()}
            try:
                self._send(request, passed)
                pid = self._answer()
            except BaseException:  # Ctrl-C, too
                self._call_off()
                raise
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        with contextlib.suppress(OSError):  # it does so itself, but it may not have come to that yet
            os.setpgid(pid, pid)
        return Forked(pid)

    def _call_off(self) -> None:
        # A request that was sent is served in a moment; nobody would wait for that child.
        with contextlib.suppress(OSError, _Gone):
            self._socket.settimeout(5.0)
            self._socket.shutdown(socket.SHUT_WR)
            pid = self._answer()
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
                Forked(pid).wait()
        self.end()

    def _send(self, plain: Any, fds: Sequence[int] = ()) -> None:
        data = json.dumps(plain).encode()
        try:
            socket.send_fds(self._socket, [_LENGTH.pack(len(data))], fds)
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionError, TimeoutError) as e:
            raise _Gone from e

    def _answer(self) -> int:
        got = b""
        while len(got) < _ANSWER.size:
            try:
                more = self._socket.recv(_ANSWER.size - len(got))
            except (ConnectionError, TimeoutError) as e:
                raise _Gone from e
            if not more:
                raise _Gone
            got += more
        return int(_ANSWER.unpack(got)[0])


class _Held(threading.local):
    """A death signal comes when the *thread* ends that started a process; so each has a warm process of its own."""

    warm: Warm | None = None


_held = _Held()
_all: weakref.WeakSet[Warm] = weakref.WeakSet()
_cannot = threading.Event()
"""Set for good when a warm process found that it cannot fork here."""


def running() -> list[Warm]:
    """The warm processes of this process's threads: what looks for processes left behind must not count them."""
    return [warm for warm in _all if warm.end.alive and warm.owner == os.getpid()]


def _warm() -> Warm | None:
    """This thread's warm process, ready; None where there can be none."""
    if not sys.platform.startswith("linux") or _cannot.is_set():
        return None
    warm = _held.warm
    if warm is not None and (warm.owner != os.getpid() or warm.fixed != _at_load(_environment())):
        _forget(warm)
        warm = None
    if warm is None:
        warm = _held.warm = Warm()
    try:
        if warm.can():
            return warm
        _cannot.set()
    except _Gone:  # it did not come up
        pass
    except BaseException:  # Ctrl-C while it imports
        _forget(warm)
        raise
    _forget(warm)
    return None


def _forget(warm: Warm) -> None:
    _held.warm = None
    warm.end()


def _end(process: subprocess.Popen[bytes], sock: socket.socket, owner: int) -> None:
    sock.close()
    if os.getpid() != owner:  # in a copy of the process that started it
        process.returncode = 0
        return
    process.kill()
    process.wait()


def _python(sock: socket.socket, environment: dict[str, str], *module: str) -> subprocess.Popen[bytes]:
    """A process that runs ``main``. A warm one has none of this process's output, which it would hold open."""
    output = None if module else subprocess.DEVNULL
    return subprocess.Popen(
        # -P: a file in the user's folder named like a module of the standard library must not take its place.
        [sys.executable, "-P", "-m", "foedus.runtimes.warm", str(sock.fileno()), *module],
        pass_fds=[sock.fileno()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,  # Ctrl-C at the terminal reaches the parent only
    )


def _environment() -> dict[str, str]:
    """The environment of a child: one thread each, and this very foedus."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    return environment


def _at_load(environment: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(AT_LOAD) and k != "PYTHONPATH"}


def _surroundings() -> dict[str, Any]:
    """What a child inherits from the thread that starts it."""
    status = Path("/proc/self/status").read_text()
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("Umask:")]
    return {
        "environment": _environment(),
        "umask": int(masks[0], 8) if masks else None,
        "limits": {number: resource.getrlimit(number) for number in _limits()},
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)),
    }


def _limits() -> list[int]:
    return sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def _folder() -> int:
    return os.open(".", os.O_PATH | os.O_DIRECTORY)


def _output() -> int:
    return _copy(1)


def _errors() -> int:
    return _copy(2)


def _copy(fd: int) -> int:
    """A copy of a standard descriptor; of nothing where it is closed."""
    try:
        os.fstat(fd)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
    return os.dup(fd)


# -- in the other process ------------------------------------------------------------------------------------------


def die_with_parent(sock: socket.socket) -> None:
    """From now on this process is killed when the thread that started it ends; a socket's maker is its process."""
    # A connection's end tells a process that waits for messages. One that is stopped or in a long job has to be killed.
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if os.getppid() != parent:  # it went before it was asked for
        os._exit(1)


class _Fork:
    """The system call that makes a copy of this process which is a child of its parent.

    glibc's ``fork`` cannot do that. What it does besides, as far as a process of one thread needs it, is done here: it
    keeps the thread's number where the C library looks for it, and the list of its robust mutexes; Python's own part is
    called as its C API asks for. ``None`` from ``prepare`` where that is not known to be right.
    """

    #: clone, get_robust_list, set_robust_list; and whether the child's place for its number comes before the one for
    #: thread-local storage.
    NUMBERS = {"x86_64": (56, 274, 273, True), "aarch64": (220, 100, 99, False)}  # noqa: RUF012

    def __init__(self, numbers: tuple[int, int, int, bool], tid: int) -> None:
        # Calls that keep the GIL.
        libc = ctypes.PyDLL(None, use_errno=True)
        self._syscall = libc.syscall
        self._syscall.restype = ctypes.c_long
        self._clone, get_robust, self._set_robust, tid_first = numbers
        flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
        self._arguments = [ctypes.c_long(n) for n in (flags, 0, 0, *((tid, 0) if tid_first else (0, tid)))]
        self._robust, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call(get_robust, ctypes.c_long(0), ctypes.byref(self._robust), ctypes.byref(self._size))

    @classmethod
    def prepare(cls) -> _Fork | None:
        """The call, where it can be made: one thread, a known processor, and a C library like glibc."""
        numbers = cls.NUMBERS.get(platform.machine())
        if numbers is None or sys.maxsize < 2**32 or len(os.listdir("/proc/self/task")) != 1:
            return None
        at = ctypes.c_void_p()
        failed = ctypes.CDLL(None).prctl(_PR_GET_TID_ADDRESS, ctypes.byref(at), 0, 0, 0)
        if failed or not at.value or ctypes.c_int.from_address(at.value).value != os.getpid():
            return None
        return cls(numbers, at.value)

    def _call(self, number: int, *arguments: Any) -> int:
        return int(self._syscall(ctypes.c_long(number), *arguments))

    def __call__(self) -> int:
        """0 in the copy, its number here, or minus the error's."""
        api = ctypes.pythonapi
        api.PyOS_BeforeFork()
        pid = self._call(self._clone, *self._arguments)
        if pid == 0:
            self._call(self._set_robust, self._robust, self._size)
            api.PyOS_AfterFork_Child()
            return 0
        error = ctypes.get_errno()
        api.PyOS_AfterFork_Parent()
        return pid if pid > 0 else -error


def main(fd: int, module: str | None = None) -> NoReturn:
    """Be a warm process until the connection ends; or, with a ``module``, be that, without anybody's help."""
    sock = socket.socket(fileno=fd)
    die_with_parent(sock)
    _name("warm" if module is None else module)
    if module is not None:
        _run(module, sock.detach())
    os.chdir("/")
    given = {os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p}
    path = [p for p in sys.path if p not in given]
    import numpy.random  # noqa: F401
    import torch  # noqa: F401

    asked, _ = _receive(sock)
    tried: set[str] = set()
    _load(asked["import"], tried)
    fork = _Fork.prepare()
    sock.sendall(_ANSWER.pack(fork is not None))
    while True:
        asked, fds = _receive(sock)
        assert fork is not None
        if asked["module"].startswith("foedus."):
            _load([asked["module"], f"{asked['module']}.__main__"], tried)
        os.sched_setaffinity(0, asked["cores"])
        pid = fork()
        if pid == 0:
            _be(asked, fds, sock, path)
        for given_fd in fds:
            os.close(given_fd)
        sock.sendall(_ANSWER.pack(pid))


def _load(modules: list[str], tried: set[str]) -> None:
    """Import what children would import each for themselves."""
    new = [name for name in modules if name not in tried]
    tried.update(new)
    for name in new:
        # What cannot be imported here is none of a child's, or will say so there.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if new:
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page that it looks at


def _receive(sock: socket.socket) -> tuple[Any, list[int]]:
    head, fds, _, _ = socket.recv_fds(sock, _LENGTH.size, 4, socket.MSG_CMSG_CLOEXEC | socket.MSG_WAITALL)
    if len(head) < _LENGTH.size:
        os._exit(0)
    left = _LENGTH.unpack(head)[0]
    parts = []
    while left:
        parts.append(sock.recv(min(left, 1 << 20)))
        if not parts[-1]:
            os._exit(0)
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), fds


def _be(asked: dict[str, Any], fds: list[int], control: socket.socket, path: list[str]) -> NoReturn:
    """In the copy: become what a fresh process would be, and run the module."""
    try:
        channel, folder, out, err = fds
        sock = socket.socket(fileno=channel)
        die_with_parent(sock)
        sock.detach()
        os.setpgid(0, 0)
        control.close()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.fchdir(folder)
        for fd in (folder, out, err):
            os.close(fd)
        os.environ.clear()
        os.environ.update(asked["environment"])
        if asked["umask"] is not None:
            os.umask(asked["umask"])
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, asked["nice"])
        for number, limit in asked["limits"].items():
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(int(number), tuple(limit))
        given = [os.path.abspath(p) for p in os.environ["PYTHONPATH"].split(os.pathsep)]
        sys.path[:] = [*dict.fromkeys(given), *path]
        importlib.invalidate_caches()
        _draw_anew()
        _name(asked["module"])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    _run(asked["module"], channel)


def _draw_anew() -> None:
    """Give the copy random numbers of its own. Python's ``random`` does so itself, torch starts from a constant."""
    import numpy as np

    np.random.seed()


def _name(module: str) -> None:
    """What ``ps`` and ``top`` show: ``foedus node``."""
    if sys.platform.startswith("linux"):
        name = f"foedus {module.rpartition('.')[2]}".encode()[:15]
        ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)


def _run(module: str, fd: int) -> NoReturn:
    """``python -m module FD``, in this process."""
    sys.argv = [module, str(fd)]
    sys.orig_argv[:] = [sys.executable, "-P", "-m", *sys.argv]
    status = 0
    try:
        for name in (module, f"{module}.__main__"):  # run afresh, should somebody have imported it
            if not hasattr(sys.modules.get(name), "__path__"):
                sys.modules.pop(name, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
