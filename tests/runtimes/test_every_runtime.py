"""Every runtime that ships, and the one that the documentation shows, keeps the laws of runtimes."""

import importlib.util
import sys
from pathlib import Path

import pytest

import foedus as fd
from foedus.testing import check_runtime

ALL_WAIT = ("quorum", "deadline", "over-selection", "stream", "nodes that act together", "bytes of a server")
ONLY_ADD = (*ALL_WAIT, "answers one by one", "robust rules")


@pytest.fixture(scope="module")
def own_runtime():
    path = Path(__file__).parents[2] / "examples" / "own_runtime.py"
    spec = importlib.util.spec_from_file_location("own_runtime", path)
    module = sys.modules["own_runtime"] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # its workers import it too
    spec.loader.exec_module(module)
    # The laws' own programs, too: there are many starts.
    module.PROCESSES.set_forkserver_preload(["foedus.engine", "foedus.jobs", "foedus.testing", "numpy.random"])
    yield module
    sys.path.remove(str(path.parent))


@pytest.mark.parametrize(
    "runtime", [fd.Simulation(), fd.Simulation(workers=2), fd.Local(), fd.Local(workers=2)], ids=lambda r: repr(r)[:21]
)
def test_on_this_machine(runtime):
    check_runtime(runtime)


@pytest.mark.parametrize("wire", ["shared", pytest.param("sockets", marks=pytest.mark.slow)])
def test_processes_with_a_server(wire):
    check_runtime(fd.Processes(wire=wire))


def test_processes_over_a_tree():
    check_runtime(fd.Processes(exchange="tree"), lacks=ALL_WAIT)


@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(fd.Processes(exchange="ring"), marks=pytest.mark.slow),
        pytest.param(fd.Processes(wire="sockets", exchange="gloo"), marks=pytest.mark.slow),
    ],
    ids=["ring", "gloo"],
)
def test_processes_that_add_in_another_order(runtime):
    check_runtime(runtime, exact=False, lacks=ONLY_ADD)


@pytest.mark.parametrize("real_time", [False, True])
def test_the_one_that_the_documentation_shows(own_runtime, real_time):
    check_runtime(own_runtime.Pooled(real_time=real_time), keeps=("resource_tracker", "forkserver"))


def test_what_a_runtime_lacks_has_a_name():
    with pytest.raises(fd.BadInput, match=r"unknown in lacks: 'quorums'"):
        check_runtime(fd.Simulation(), lacks=("quorums",))


def test_a_runtime_that_has_what_it_says_it_lacks_is_found():
    with pytest.raises(AssertionError, match="refuses quorum"):
        check_runtime(fd.Local(), lacks=("quorum",))
