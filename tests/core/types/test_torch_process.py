"""How many threads there are, inside and outside a run, whoever leaves first."""

import threading

import pytest
import torch

from foedus.core.types.torch_process import one_thread, serial, spare_threads


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_run_leaves_its_threads_to_work_of_our_own() -> None:
    assert spare_threads() == 3
    with one_thread():
        assert (torch.get_num_threads(), spare_threads()) == (1, 3)
        with serial():
            assert (torch.get_num_threads(), spare_threads()) == (1, 3)
        assert (torch.get_num_threads(), spare_threads()) == (1, 3)
    assert (torch.get_num_threads(), spare_threads()) == (3, 3)


def test_a_worker_has_one() -> None:
    torch.set_num_threads(1)
    assert spare_threads() == 1


def test_a_run_that_begins_while_a_rule_computes_elsewhere_gets_its_threads_back() -> None:
    inside, leave = threading.Event(), threading.Event()

    def compute() -> None:
        with serial():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=compute)
    other.start()
    inside.wait(10)
    with one_thread():
        drawn = torch.rand(2)
        leave.set()
        other.join()
        assert (torch.get_num_threads(), spare_threads()) == (1, 3)
    assert torch.get_num_threads() == 3
    assert torch.equal(torch.rand(2), drawn)  # the generator is as it was


def test_a_rule_does_not_touch_the_generator() -> None:
    with serial():
        drawn = torch.rand(2)
    assert not torch.equal(torch.rand(2), drawn)
