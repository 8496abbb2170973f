"""EASGD: laws, refusals, and workers that fail. Its conservation and fixed point are in laws/test_async.py."""

import pytest

import foedus as fd
from foedus.jobs import InverseTime
from foedus.programs import EASGD
from foedus.testing import check_program, small

MOBILE = fd.Simulation(network=fd.network.MOBILE)
LOCAL = fd.LocalSGD(steps=2, batch_size=7, lr=0.1, momentum=0.5)


@pytest.mark.parametrize("program", [EASGD(3, LOCAL), EASGD(3, LOCAL, rate=0.5, commit_every=4)], ids=["beta", "rate"])
def test_it_keeps_the_laws_of_programs(program) -> None:
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert [r.cohort for r in run.history] == [program.commit_every or 6] * 3


def test_it_sends_two_vectors_a_meeting() -> None:
    problem = small()
    run = fd.train(EASGD(4, LOCAL), problem.model, problem.data)
    vector = 4 * problem.model.layout.size
    assert (run.ledger.bytes_up, run.ledger.bytes_down) == (24 * vector, 24 * vector)


def test_skip_goes_on_without_the_failed(with_failures) -> None:
    program = with_failures(EASGD(4, LOCAL, failure="skip"), (1, 5), after=1)
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert {n for n, c in run.ledger.nodes.items() if c.dropped} == {1, 5}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EASGD(1, rate=0.0), "rate must be above 0"),
        (lambda: EASGD(1, rate=1.0), "rate must be above 0"),
        (lambda: EASGD(1, commit_every=0), "commit_every"),
        (lambda: EASGD(1, fd.LocalSGD(lr=InverseTime(0.1))), "schedule"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)
