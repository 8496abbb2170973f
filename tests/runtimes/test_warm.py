"""Processes forked from a warm one: they are what fresh ones would be, and end when those would."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from foedus.runtimes import warm

TELLS = """
    import ctypes, json, os, resource, socket, sys, threading
    import numpy as np
    clock = ctypes.c_int()
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = ctypes.c_void_p
    libc.pthread_getcpuclockid(ctypes.c_void_p(libc.pthread_self()), ctypes.byref(clock))
    umask = os.umask(0)
    told = {
        "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "tid": ~(clock.value >> 3),
        "main": __name__, "argv": sys.argv[:1], "original": sys.orig_argv[1:4], "folder": os.getcwd(), "umask": umask,
        "set": os.environ.get("SET_LATER"), "unset": os.environ.get("UNSET_LATER"),
        "tasks": len(os.listdir("/proc/self/task")), "threads": os.environ["OMP_NUM_THREADS"],
        "cores": sorted(os.sched_getaffinity(0)), "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "drawn": float(np.random.random()), "beside": __file__, "safe": sys.path[0] != "",
        "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}") for n in range(3)),
        "many": len(os.listdir("/proc/self/fd")), "torch": "torch" in sys.modules,
    }
    sock = socket.socket(fileno=int(sys.argv[1]))
    print("said by the child", flush=True)
    sock.sendall(json.dumps(told).encode() + b"\\n")
    asked = sock.makefile().readline()
    exec(asked)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that tells what it is and then does what it is told, once."""
    (tmp_path / "tells_what_it_is.py").write_text(textwrap.dedent(TELLS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "tells_what_it_is"


class Told:
    """A child, what it said, and the connection to it."""

    def __init__(self, module):
        self.sock, theirs = socket.socketpair()
        with theirs:
            self.process = warm.start(module, theirs)
        line = self.sock.makefile().readline()
        self.said = json.loads(line) if line else None

    def do(self, code):
        self.sock.sendall(code.encode() + b"\n")

    def end(self):
        self.sock.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start(module):
    """Starts children; what is left of them at the end is killed."""
    started = []

    def go(name=module):
        started.append(Told(name))
        return started[-1]

    yield go
    for told in started:
        told.end()


def gone(pid, within=5.0):
    end = time.monotonic() + within
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def mine():
    """This thread's warm process."""
    return warm._held.warm


# -- as a fresh process would be -----------------------------------------------------------------------------------


def test_a_child_is_what_a_fresh_process_started_here_and_now_would_be(start, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("UNSET_LATER", "1")
    first = start()
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("SET_LATER", "späth\udcff")
    monkeypatch.delenv("UNSET_LATER")
    cores = os.sched_getaffinity(0)
    old = os.umask(0o027)
    try:
        os.sched_setaffinity(0, {min(cores)})
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        second = start()
    finally:
        os.umask(old)
        os.sched_setaffinity(0, cores)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    a, b = first.said, second.said
    assert (a["set"], a["unset"], b["set"], b["unset"]) == (None, "1", "späth\udcff", None)
    assert (b["umask"], b["folder"], b["core"]) == (0o027, str(tmp_path / "elsewhere"), 0)
    assert (a["cores"], b["cores"]) == (sorted(cores), [min(cores)])
    assert a["drawn"] != b["drawn"]
    for told in (first, second):
        said = told.said
        # To the C library, too: it keeps a thread's number.
        assert said["pid"] == said["group"] == said["tid"] == told.process.pid
        assert said["parent"] == os.getpid()
        assert (said["main"], said["tasks"], said["threads"]) == ("__main__", 1, "1")
        assert said["original"] == ["-P", "-m", "tells_what_it_is"]
        assert said["beside"] == str(tmp_path / "tells_what_it_is.py")
        assert "/dev/null" in said["descriptors"]
        assert said["many"] <= 5  # those three, the connection, and the one that lists them
        assert said["safe"]
        assert said["torch"]
    assert capfd.readouterr().out == "said by the child\n" * 2
    assert psutil.Process(second.process.pid).name() == "foedus tells_what_it_is"[:15]


def test_only_the_warm_process_imports_torch(start):
    start()
    pid, before = mine().pid, computed()
    for told in [start() for _ in range(3)]:
        assert told.said["torch"]
        told.end()
    assert mine().pid == pid
    assert len(warm.running()) == 1
    assert computed() - before < 1.0  # three imports take at least as many seconds


def computed():
    """Seconds that children which have ended computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_what_is_read_while_things_load_makes_a_new_warm_process(start, monkeypatch):
    told = start()
    before = mine().pid
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    other = start()
    other.do("sock.sendall(str(hash('a')).encode())")
    fresh = subprocess.run([sys.executable, "-c", "print(hash('a'), end='')"], capture_output=True, text=True)
    assert other.sock.recv(1000).decode() == fresh.stdout
    assert mine().pid != before
    assert gone(before)
    assert told.process.poll() is None  # those of the old one work on


# -- how they end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("pass", 0),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.kill(os.getpid(), 11)", -11),
    ],
)
def test_its_status_is_told(start, code, status, capfd):
    told = start()
    assert told.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        told.process.wait(timeout=0.05)
    told.do(code)
    assert told.process.wait(timeout=10) == status
    assert told.process.poll() == status
    assert ("ZeroDivisionError" in capfd.readouterr().err) == (code == "1 / 0")


def test_a_module_that_is_not_there_ends_with_status_1(start, capfd):
    told = start("no_such_module_at_all")
    assert told.said is None
    assert told.process.wait(timeout=10) == 1
    assert "no_such_module_at_all" in capfd.readouterr().err


def test_if_the_warm_process_is_killed_children_work_on_and_the_next_start_makes_a_new_one(start):
    told = start()
    before = mine().pid
    os.kill(before, signal.SIGKILL)
    other = start()
    assert mine().pid != before
    assert not psutil.pid_exists(before)  # not even as a zombie
    told.do("sys.exit(5)")
    other.do("sys.exit(6)")
    assert (told.process.wait(timeout=10), other.process.wait(timeout=10)) == (5, 6)


def test_a_stopped_warm_process_is_given_up(start):
    start()
    before = mine()
    before._socket.settimeout(0.3)
    os.kill(before.pid, signal.SIGSTOP)
    assert start().said["parent"] == os.getpid()
    assert gone(before.pid)


def test_children_and_warm_process_end_with_the_thread_that_started_them(start):
    got = []

    def thread():
        told = start()
        got.extend((told.process.pid, mine().pid))

    other = start()
    t = threading.Thread(target=thread)
    t.start()
    t.join()
    assert len(set(got) | {mine().pid}) == 3
    assert all(gone(pid) for pid in got)
    assert not psutil.pid_exists(got[1])
    assert other.process.poll() is None


def test_a_copy_of_the_process_has_a_warm_one_of_its_own(start):
    start()
    before = mine().pid
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            told = start()
            os.write(write, json.dumps([told.said["parent"], mine().pid, len(warm.running())]).encode())
            warm._held.warm.end()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        parent, other, count = json.loads(f.read())
    os.waitpid(pid, 0)
    assert (parent, count) == (pid, 1)
    assert other != before
    assert start().said["parent"] == os.getpid()
    assert mine().pid == before


def test_where_there_is_no_such_fork_processes_are_started_one_by_one(start, monkeypatch):
    monkeypatch.setattr(warm, "_cannot", threading.Event())
    warm._cannot.set()
    told = start()
    assert not told.said["torch"]
    assert (told.said["parent"], told.said["main"], told.said["group"]) == (os.getpid(), "__main__", told.process.pid)
    told.do("sys.exit(3)")
    assert told.process.wait(timeout=10) == 3


def test_a_thread_too_many_is_found_before_anything_is_forked():
    release = threading.Event()
    t = threading.Thread(target=release.wait)
    t.start()
    try:
        assert warm._Fork.prepare() is None
    finally:
        release.set()
        t.join()


# -- when the parent ends ------------------------------------------------------------------------------------------

PARENT = """
    import os, signal, socket, sys, time
    from foedus.runtimes import warm
    ours, theirs = socket.socketpair()
    plain = sys.argv[1] == "one by one"
    if plain:
        warm._cannot.set()
    if sys.argv[2] == "while they import":
        process = warm.start("torch", theirs) if plain else warm.Warm()
        pids = [process.pid]
    else:
        pids = []
        for _ in range(2):
            pids.append(warm.start("tells_what_it_is", theirs).pid)
            ours.makefile().readline()
        os.kill(pids[0], signal.SIGSTOP)
        ours.sendall(b"while True: pass\\n")
        for w in warm.running():
            pids.append(w.pid)
            os.kill(w.pid, signal.SIGSTOP)
    print(*pids, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("when", ["while they import", "stopped and busy"])
@pytest.mark.parametrize("how", ["warm", "one by one"])
def test_when_the_parent_is_killed_all_end_at_once(module, tmp_path, how, when):
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    command = [sys.executable, str(tmp_path / "parent.py"), how, when]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in next(line for line in parent.stdout if line[0].isdigit()).split()]
    assert len(pids) == (1 if when == "while they import" else 2 if how == "one by one" else 3)
    for pid in pids if when == "while they import" else ():
        while not psutil.Process(pid).name().startswith("foedus"):  # which it says before it imports anything
            time.sleep(0.001)
        os.kill(pid, signal.SIGSTOP)  # so that nothing but the system can end it
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert all(gone(pid) for pid in pids)


RUNS = {
    "workers": "fd.Simulation(workers=2)",
    "nodes": "fd.Processes()",
    "peers": "fd.Processes(exchange='ring')",
}
RUN = """
    import sys
    import foedus as fd
    from foedus.runtimes import warm
    if sys.argv[1] == "one by one":
        warm._cannot.set()
    data = fd.data.load("iris").split(fd.data.IID(), nodes=2)
    model = fd.Model(fd.models.logistic(4, 3))
    print("now", flush=True)
    fd.train(fd.FedAvg(10**9), model, data, runtime={})
"""


@pytest.mark.parametrize("run", [None, *(pytest.param(name, marks=pytest.mark.slow) for name in RUNS)])
@pytest.mark.parametrize("how", ["warm", "one by one"])
def test_when_the_parent_is_killed_right_after_it_started_some_nothing_is_left_a_second_later(tmp_path, how, run):
    """Those that have not come to say who they are, let alone to import: they find out by themselves."""
    code = PARENT if run is None else RUN.replace("{}", RUNS[run])
    (tmp_path / "parent.py").write_text(textwrap.dedent(code))
    command = [sys.executable, str(tmp_path / "parent.py"), how, "while they import"]
    marks = []
    for wait in (0.0, 0.02, 0.2) if run is None else (0.0,):
        marks.append(f"{os.getpid()} {how} {run} {wait}")
        parent = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "STARTED_BY": marks[-1]}
        )
        parent.stdout.readline()
        if run is not None:  # until it has started any
            while not started_by(marks[-1], parent.pid):
                time.sleep(0.002)
        time.sleep(wait)
        parent.kill()
        parent.wait()
        parent.stdout.close()
    time.sleep(1.0)
    assert [started_by(mark) for mark in marks] == [[]] * len(marks)


def started_by(mark, parent=0):
    """Processes with this mark in their environment that run, but the parent."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != parent and process.environ().get("STARTED_BY") == mark:
                found.append(process.pid)
    return found


def test_until_the_death_signal_is_set_nothing_heavy_is_imported():
    code = "import sys, foedus.runtimes.warm; print({'torch', 'numpy'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_ctrl_c_while_it_imports_leaves_nothing(start):
    if mine() is not None:
        warm._forget(mine())
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        start()
    assert warm.running() == []
    assert not [p for p in psutil.Process().children() if p.name().startswith("foedus")]
    assert start().said["parent"] == os.getpid()


def test_ctrl_c_does_not_reach_them(start):
    """A terminal sends it to the whole group in the foreground; they are in groups of their own."""
    told = start()
    groups = {os.getpgid(told.process.pid), os.getpgid(mine().pid)}
    assert len(groups | {os.getpgid(0)}) == 3
