"""FedAsync: laws, concurrency, refusals, failures. Its formula is in laws/test_async.py."""

import pytest

import foedus as fd
from foedus.jobs import InverseTime
from foedus.programs import Constant, FedAsync, Hinge
from foedus.testing import check_program, small

MOBILE = fd.Simulation(network=fd.network.MOBILE)
LOCAL = fd.LocalSGD(batch_size=7, lr=0.1)


@pytest.mark.parametrize(
    "program",
    [
        FedAsync(3, local=LOCAL),
        FedAsync(3, discount=Hinge(1.0, 2), local=LOCAL, concurrency=3, commit_every=4),
        FedAsync(3, discount=Constant(), local=LOCAL, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)),
    ],
    ids=["all", "three", "compressed"],
)
def test_it_keeps_the_laws_of_programs(program) -> None:
    check_program(program, runtime=MOBILE, workers=(1,))


@pytest.mark.parametrize("concurrency", [1, 3, 6])
def test_so_many_are_at_work_and_everyone_gets_a_turn(concurrency: int) -> None:
    problem = small()
    run = fd.train(
        FedAsync(12, local=LOCAL, concurrency=concurrency), problem.model, problem.data, runtime=MOBILE, per_node=True
    )
    assert len(run.checkpoint.tree["in_flight"]) == concurrency
    assert max(run.staleness) >= concurrency - 1
    assert (max(run.staleness) == 0) == (concurrency == 1)
    assert all(costs.jobs > 0 for costs in run.ledger.nodes.values())


def test_one_at_work_and_whole_mixing_is_one_node_after_the_other() -> None:
    """Mixing 1 takes the node's model whole: with one at work it is training that passes from hand to hand."""
    problem = small()

    class HandToHand:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(8):
                (n,) = await fed.sample(fd.Fixed(1))
                (u,) = await fed.map(LOCAL, {"w": s.w}, (n,))
                s = s.replace(w=s.w + fd.join(u.parts, fed.layout))
                await fed.commit(s)
            return s.w

    a = fd.train(
        FedAsync(8, 1.0, local=LOCAL, concurrency=1, commit_every=1), problem.model, problem.data, runtime=MOBILE
    )
    b = fd.train(HandToHand(), problem.model, problem.data, runtime=MOBILE)
    assert a.sha256 == b.sha256


def test_skip_gives_the_work_to_others(with_failures) -> None:
    program = with_failures(FedAsync(6, local=LOCAL, concurrency=2, failure="skip"), (1, 5), after=1)
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert {n for n, c in run.ledger.nodes.items() if c.dropped} <= {1, 5}
    assert len(run.checkpoint.tree["in_flight"]) == 2


@pytest.mark.parametrize("concurrency", [1, 2])
def test_skip_goes_on_when_all_at_work_have_failed(with_failures, concurrency: int) -> None:
    failing = (0, 1, 2, 4, 5)
    program = with_failures(FedAsync(5, local=LOCAL, concurrency=concurrency, failure="skip"), failing, after=1)
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert len(run.history) == 5
    assert {n for n, c in run.ledger.nodes.items() if c.dropped} == set(failing)
    nobody = with_failures(FedAsync(3, local=LOCAL, concurrency=concurrency, failure="skip"), tuple(range(6)))
    with pytest.raises(fd.NodeFailed, match="6 have failed"):
        fd.train(nobody, small().model, small().data, runtime=MOBILE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FedAsync(1, mixing=0.0), "mixing"),
        (lambda: FedAsync(1, mixing=1.5), "mixing"),
        (lambda: FedAsync(1, concurrency=0), "concurrency"),
        (lambda: FedAsync(1, commit_every=0), "commit_every"),
        (lambda: FedAsync(1, local=fd.LocalSGD(lr=InverseTime(0.1))), "schedule"),
        (lambda: fd.train(FedAsync(1, concurrency=7), *vars(small()).values()), "only 6: lower concurrency"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)
