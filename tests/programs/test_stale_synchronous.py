"""StaleSynchronous: with bound 0 the synchronous program, with more the same updates sooner."""

import pytest

import foedus as fd
from foedus.jobs import InverseTime
from foedus.programs import StaleSynchronous
from foedus.testing import check_program, integers, small

MOBILE = fd.Simulation(network=fd.network.MOBILE)


@pytest.mark.parametrize(
    "program",
    [
        StaleSynchronous(4, bound=0, batch_size=4),
        StaleSynchronous(4, bound=1, batch_size=4, lr=InverseTime(0.3)),
        StaleSynchronous(5, bound=3, batch_size=4, transforms=(fd.ErrorFeedback(fd.TopK(0.3)),)),
    ],
    ids=["0", "1", "3"],
)
def test_it_keeps_the_laws_of_programs(program) -> None:
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert max(run.staleness) <= program.bound


@pytest.mark.parametrize("make", [small, integers], ids=["buffers", "uneven"])
@pytest.mark.parametrize(
    "options", [{"lr": 0.1}, {"lr": InverseTime(0.3), "batch_size": 3}, {"transforms": (fd.QSGD(4),)}]
)
def test_bound_0_is_synchronous_bit_by_bit(make, options) -> None:
    problem = make()
    for k in (1, 2, 6):
        sync, stale = (
            fd.train(program, problem.model, problem.data, runtime=MOBILE, stop=fd.AfterCommits(k))
            for program in (fd.SyncSGD(6, **options), StaleSynchronous(6, bound=0, **options))
        )
        assert stale.sha256 == sync.sha256
        assert stale.staleness == {0: 6 * k}
        books = [
            [
                getattr(r, f)
                for f in ("virtual_s", "epochs", "compute_s", "wire_s", "waiting_s", "bytes_up", "bytes_down")
            ]
            for run in (sync, stale)
            for r in run.history
        ]
        assert books[:k] == [pytest.approx(b) for b in books[k:]]


def test_a_wider_bound_is_faster_and_differs(runtimes) -> None:
    problem = small()
    runs = [
        fd.train(StaleSynchronous(30, bound=b, batch_size=8), problem.model, problem.data, runtime=runtimes.random)
        for b in (0, 2, 8)
    ]
    seconds = [r.history[-1].virtual_s for r in runs]
    assert seconds[0] > seconds[1] > seconds[2]
    assert len({r.sha256 for r in runs}) == 3


@pytest.mark.parametrize("bound", [0, 2])
def test_skip_goes_on_when_those_that_all_wait_for_have_failed(with_failures, runtimes, bound: int) -> None:
    problem = small()
    program = with_failures(StaleSynchronous(5, bound=bound, batch_size=4, failure="skip"), (2, 4), after=1)
    for runtime in (runtimes.random, runtimes.even, MOBILE):
        run = check_program(program, problem.model, problem.data, runtime, workers=(1,))
        assert {n for n, c in run.ledger.nodes.items() if c.dropped} == {2, 4}
    alone = with_failures(StaleSynchronous(4, bound=bound, batch_size=4, failure="skip"), (0, 1, 2, 3, 4))
    assert len(check_program(alone, problem.model, problem.data, MOBILE, workers=(1,)).history) == 4


def test_when_all_have_failed_it_says_so(with_failures) -> None:
    problem = small()
    program = with_failures(StaleSynchronous(9, batch_size=4, failure="skip"), tuple(range(6)), after=2)
    with pytest.raises(fd.NodeFailed, match=r"too few nodes are left.*6 have failed"):
        fd.train(program, problem.model, problem.data, runtime=MOBILE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: StaleSynchronous(1, bound=-1), "bound"),
        (lambda: StaleSynchronous(1, lr=-1.0), "lr must be"),
        (lambda: StaleSynchronous(1, batch_size=0), "batch_size"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)
