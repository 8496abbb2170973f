"""Which nodes are dishonest, and that a run with them keeps every law."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, replace

import pytest
import torch

import foedus as fd
from foedus.attacks import (
    ALIE,
    IPM,
    Adversary,
    Backdoor,
    CleanLabelNoise,
    Columns,
    ConstrainAndScale,
    Dissensus,
    DistributedBackdoor,
    EdgeCase,
    FreeRider,
    Gaussian,
    LabelFlip,
    Mimic,
    MinMax,
    MinSum,
    ModelReplacement,
    NotFinite,
    Optimised,
    Patch,
    Scaling,
    SignFlip,
    Sybils,
    WrongShape,
    WrongWeight,
    success,
)  # fmt: skip
from foedus.testing import quadratic, small

OWN = [
    LabelFlip(), LabelFlip(1, 2), Backdoor(), DistributedBackdoor(), EdgeCase(), CleanLabelNoise(), SignFlip(),
    Gaussian(), Scaling(2.0), ModelReplacement(), ConstrainAndScale(), FreeRider(), FreeRider("noise"), Dissensus(),
]  # fmt: skip
TOGETHER = [IPM(), ALIE(z=1.0), MinMax(), MinSum("unit"), Mimic(), Sybils(), Optimised(IPM(0.1), 4)]
KINDS = [pytest.param(a, id=repr(a)) for a in OWN + TOGETHER]
PROGRAM = fd.FedAvg(3, cohort=fd.Fixed(5), local=fd.LocalSGD(epochs=1, batch_size=7, lr=0.1))
PROBLEM = small()


def lie(attack, program=PROGRAM, problem=PROBLEM, nodes=(0, 2, 5), start=0, **options):
    return fd.train(program, problem.model, problem.data, adversary=Adversary(nodes, attack, start), **options)


# -- who they are ------------------------------------------------------------------------------------------------------


def test_a_share_of_the_nodes_is_dishonest_and_the_seed_says_which():
    assert len(Adversary().members(20, seed=0)) == 4
    assert Adversary().members(20, seed=0) == Adversary().members(20, seed=0)
    assert len({Adversary().members(20, seed) for seed in range(6)}) > 1
    assert Adversary(fd.Fixed(3)).members(5, 1) == tuple(sorted(Adversary(fd.Fixed(3)).members(5, 1)))
    assert Adversary((4, 1)).members(5, seed=9) == (1, 4)
    assert Adversary([4, 1]) == Adversary((4, 1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lie(SignFlip(), nodes=(1, 6)), r"nodes=\(1, 6\) are not all there: 6 is none of the 6 nodes"),
        (lambda: lie(SignFlip(), nodes=(-1, 9)), r"-1 and 9 are none of the 6 nodes, whose ids are 0..5"),
        (lambda: lie(SignFlip(), nodes=fd.Fixed(7)), "7 nodes was asked for, but there are only 6"),
        (lambda: lie(Backdoor(target=12)), "target=12 is none of the 10 classes"),
        (lambda: lie(ModelReplacement(Backdoor(trigger=Patch(size=5)))), "outside the image: 5 pixels"),
        (lambda: Adversary((1, 1)), "an id stands twice"),
        (lambda: lie(Mimic(node=2)), r"Mimic\(node=2\) copies an honest node, and node 2 is dishonest itself"),
        (lambda: lie(Mimic(node=6)), "node 6 is none of the 6 nodes"),
        (lambda: lie(Backdoor(target="cat")), "target is the number of a class, 0..9; got 'cat'"),
        (lambda: Sybils(IPM()), r"Sybils is around an attack that a node makes by itself.*; got IPM\("),
        (lambda: ModelReplacement(LabelFlip), "ModelReplacement is around an attack"),
        (lambda: Adversary(0.2), r"nodes is a cohort, such as Fraction\(0.2\), or ids, such as \(3, 7\); got 0.2"),
        (lambda: Adversary(("berlin",)), "nodes is a cohort"),
        (lambda: fd.train(PROGRAM, PROBLEM.model, PROBLEM.data, adversary=SignFlip()), "adversary is an Adversary"),
        (lambda: Adversary((1,), start=-1), "start counts the jobs of a node, from 0; got -1"),
        (lambda: Adversary((1,), attack="sign_flip"), r"must be an attack, such as SignFlip\(\); got 'sign_flip'"),
    ],
)  # fmt: skip
def test_what_is_no_adversary_is_said_before_anything_runs(make, says):
    with pytest.raises(fd.BadInput, match=says):
        make()


# -- the laws ----------------------------------------------------------------------------------------------------------


@functools.cache
def honest():
    return fd.train(PROGRAM, PROBLEM.model, PROBLEM.data).sha256


@pytest.mark.parametrize("attack", KINDS)
def test_the_same_bits_after_any_stop_and_others_than_without(attack):
    whole = lie(attack)
    part = lie(attack, stop=fd.AfterCommits(2))
    assert lie(attack, resume=part).sha256 == whole.sha256
    assert (whole.sha256 == honest()) == isinstance(attack, Dissensus)  # which is of peers


@pytest.mark.parametrize("attack", [SignFlip(), Backdoor(), IPM()])
def test_nobody_who_lies_or_nobody_yet_is_an_honest_run(attack):
    assert lie(attack, nodes=()).sha256 == honest()
    assert lie(attack, start=100).sha256 == honest()


def test_the_same_bits_with_two_workers_in_real_time_and_in_processes():
    two = fd.Simulation(workers=2)
    for attack, runtimes in (
        (FreeRider(), (two, fd.Processes())),  # it remembers at its node
        (Mimic(), (two, fd.Local())),  # it remembers at the coordinator
        (Backdoor(), (two,)),
        (Gaussian(), (fd.Local(),)),
    ):
        whole = lie(attack)
        for runtime in runtimes:
            assert lie(attack, runtime=runtime).sha256 == whole.sha256, (attack, runtime)


def test_a_lie_begins_with_the_job_that_it_should():
    """Of three full rounds the last is told: after two the models are those of an honest run."""
    everybody = replace(PROGRAM, cohort=fd.Fixed(6))
    for attack in (SignFlip(), FreeRider(), LabelFlip(), IPM(5.0), Mimic()):
        liar = lie(attack, everybody, start=2)
        honest = fd.train(everybody, PROBLEM.model, PROBLEM.data)
        assert [a.loss == b.loss for a, b in zip(liar.history, honest.history, strict=True)] == [True, True, False], (
            attack
        )


def test_measurements_are_honest():
    """Every node lies as much as it can, and says of the model what is the case."""
    options = {"evaluate_at": "nodes"}
    program = fd.FedAvg(1, local=fd.LocalSGD(lr=0.0))
    liars = lie(Gaussian(1e-9), program, nodes=tuple(range(6)), **options)
    honest = fd.train(program, PROBLEM.model, PROBLEM.data, **options)
    assert liars.history[-1].accuracy == honest.history[-1].accuracy
    assert liars.history[-1].loss == pytest.approx(honest.history[-1].loss, rel=1e-4)


def test_the_owner_keeps_its_word():
    @dataclass(frozen=True)
    class Slow(fd.Policy):
        def refuses(self, asked):
            return fd.Refused(asked.node, "not allowed") if asked.node == 3 else None

        def slowdown(self, node):
            return 2.0

    policy = Adversary((0, 3), SignFlip()).policy(6, 0, Slow())
    assert policy.slowdown(0) == 2.0
    run = lie(SignFlip(), replace(PROGRAM, cohort=fd.Fixed(6)), nodes=(0, 3), policy=Slow())
    assert run.ledger.total.refused == 3


@dataclass(frozen=True)
class Counts:
    """A job that counts its rounds at the node, and sees nothing else there."""

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"delta": (1,)}

    def __call__(self, node, args):
        assert set(node.state) <= {"rounds"}, dict(node.state)
        rounds = node.state.get("rounds", torch.zeros(1)) + 1
        return fd.Update({"delta": rounds}, 1.0, {}, node.id), {"rounds": rounds}


@dataclass(frozen=True)
class Remembers(fd.Attack):
    """Adds what it has seen so often: its own name for it is the job's."""

    def answers(self, who, train):
        times = who.memory.get("rounds", torch.zeros(1)) + 10
        update = train(who.view.rows)
        return update.with_parts({"delta": update["delta"] + times}), {"rounds": times}


def test_what_an_attack_remembers_is_hidden_from_the_job_and_in_the_checkpoint():
    seen = []

    @dataclass(frozen=True)
    class Rounds:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(4):
                seen.append([u["delta"].item() for u in await fed.map(Counts(), {}, (0, 1))])
                await fed.commit(s)
            return s.w

    part = lie(Remembers(), Rounds(), nodes=(1,), stop=fd.AfterCommits(2))
    lie(Remembers(), Rounds(), nodes=(1,), resume=part)
    assert seen == [[1.0, 11.0], [2.0, 22.0], [3.0, 33.0], [4.0, 44.0]]


# -- what they do ------------------------------------------------------------------------------------------------------

FULL = fd.FedAvg(1, local=fd.LocalSGD(epochs=1, batch_size=None, lr=0.1))


def step(attack, nodes=(1,), program=FULL, start=2.0):
    """Where one round from 2 leads on f1 = x^2 / 2 and f2 = 2 (x - 1)^2, of which node 1 holds the second."""
    problem = quadratic(start)
    return float(fd.train(program, problem.model, problem.data, adversary=Adversary(nodes, attack)).vector)


def test_updates_are_changed_as_they_say():
    assert step(SignFlip(1.0)) == pytest.approx(2 + (-0.2 + 0.4) / 2)
    assert step(SignFlip(3.0)) == pytest.approx(2 + (-0.2 + 1.2) / 2)
    assert step(Scaling(5.0)) == pytest.approx(2 + (-0.2 - 2.0) / 2)
    assert step(IPM(0.5)) == pytest.approx(2 + (-0.2 + 0.1) / 2)
    assert step(IPM(0.5, knows="coalition")) == pytest.approx(2 + (-0.2 + 0.2) / 2)
    assert step(FreeRider()) == pytest.approx(2 - 0.1)
    assert step(Mimic()) == pytest.approx(2 - 0.2)
    # A regression's targets are mirrored at their mean: a node with one row has its own.
    assert step(LabelFlip()) == pytest.approx(step(Dissensus()))


def test_gradients_are_attacked_per_row():
    """Two nodes with unequal rows: what is summed over rows is turned by its mean over rows."""
    sgd = fd.SyncSGD(1, lr=0.1)
    assert step(SignFlip(1.0), program=sgd) == pytest.approx(2 - 0.1 * (2 - 4) / 2)
    assert step(IPM(0.5), program=sgd) == pytest.approx(2 - 0.1 * (2 - 1) / 2)


def test_a_free_rider_echoes_the_last_step():
    """x goes to 1.9 by the honest half, and again as far by the echo: both are half of the mean."""
    x = [2.0, 1.9]
    for _ in range(3):
        x.append(x[-1] + (-0.1 * x[-1] + (x[-1] - x[-2])) / 2)
    problem = quadratic(2.0)
    for program in (replace(FULL, rounds=4), fd.SyncSGD(4, lr=0.1)):
        run = fd.train(program, problem.model, problem.data, adversary=Adversary((1,), FreeRider()))
        if isinstance(program, fd.FedAvg):
            assert float(run.vector) == pytest.approx(x[4], rel=1e-5)
        else:  # its steps times 1 / lr are not known to it: it is as if its gradient were minus the step
            assert float(run.vector) < 2.0


def test_who_says_nothing_of_its_loss_does_not_count_in_its_mean():
    """(x^2 / 2 at 2: a mean over both nodes, of which one is silent, would be half of it.)"""
    problem = quadratic(2.0)
    run = fd.train(FULL, problem.model, problem.data, adversary=Adversary((1,), FreeRider()))
    assert run.history[-1].train_loss == pytest.approx(2.0)


def test_one_attacker_replaces_the_model():
    """gamma = n / eta, equation 3 of Bagdasaryan et al.: with honest nodes at rest the mean is the attacker's model."""
    problem = small(8)
    data, model = problem.data, problem.model
    job = fd.LocalSGD(epochs=2, batch_size=None, lr=0.1)
    equal = fd.Mean(weighted=False)
    attack = ModelReplacement(LabelFlip())

    @dataclass(frozen=True)
    class Alone:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                total = await fed.map_reduce(job, {"w": s.w}, (3,), equal)
                await fed.commit(s.replace(w=s.w + fd.join(total, fed.layout)))
            return s.w

    @dataclass(frozen=True)
    class Rest(fd.Policy):
        """Honest nodes have found their optimum: they answer no change."""

        def does(self, asked, view, args, job):
            update, state = job(view, args)
            still = 1.0 if view.id == 3 else 0.0
            return update.with_parts({k: v * still for k, v in update.parts.items()}), state

    its = fd.train(Alone(), model, data, adversary=Adversary((3,), LabelFlip())).vector
    program = fd.FedAvg(1, local=job, aggregate=equal)
    p = model.layout.parameters
    run = fd.train(program, model, data, adversary=Adversary((3,), attack), policy=Rest())
    assert torch.allclose(run.vector[:p], its[:p], atol=1e-6)
    half = fd.train(
        replace(program, server=fd.optimizers.SGD(0.5)), model, data,
        adversary=Adversary((3,), replace(attack, eta=0.5)), policy=Rest(),
    )  # fmt: skip
    assert torch.allclose(half.vector[:p], its[:p], atol=1e-6)


@dataclass(frozen=True)
class Sent:
    """A round whose answers are looked at one by one."""

    job: fd.Job
    seen: list

    async def __call__(self, fed):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(1):
            self.seen.extend(await fed.map(self.job, {"w": s.w}, range(fed.nodes)))
            await fed.commit(s)
        return s.w


def sent(attack, nodes=(0, 1), job=fd.LocalSGD(epochs=2, batch_size=None, lr=0.1)):
    seen = []
    lie(attack, Sent(job, seen), nodes=nodes)
    return seen


def test_a_constrained_update_is_as_long_as_is_allowed_and_poisoned():
    honest, poisoned = sent(Backdoor(), nodes=()), sent(Backdoor(share=1.0))
    made, bounded = (
        sent(ConstrainAndScale(Backdoor(share=1.0))),
        sent(ConstrainAndScale(Backdoor(share=1.0), bound=0.25)),
    )
    for n in (0, 1):
        delta, poison = made[n]["delta"], poisoned[n]["delta"]
        assert float(delta.norm()) == pytest.approx(float(honest[n]["delta"].norm()), rel=1e-5)
        assert float(bounded[n]["delta"].norm()) == pytest.approx(0.25, rel=1e-5)
        assert torch.allclose(delta / delta.norm(), poison / poison.norm(), atol=1e-5)
        assert torch.equal(made[n]["buffers"], poisoned[n]["buffers"])  # no numbers of the update's
    assert torch.equal(made[3]["delta"], honest[3]["delta"])


def test_colluding_updates_are_those_of_the_formula():
    honest = torch.stack([u["delta"] for u in sent(SignFlip(), nodes=())])
    lied = sent(MinMax(), nodes=(0, 1))
    assert torch.allclose(lied[0]["delta"], MinMax()(honest[2:])[0], atol=1e-6)
    assert torch.equal(lied[0]["delta"], lied[1]["delta"])
    lied = sent(MinMax(knows="coalition"), nodes=(0, 1, 2))
    assert torch.allclose(lied[2]["delta"], MinMax()(honest[:3])[0], atol=1e-6)
    assert torch.equal(lied[4]["delta"], honest[4])


@pytest.mark.parametrize("attack", [NotFinite(), NotFinite("inf"), WrongShape(), WrongWeight(), WrongWeight(-1.0)])
def test_what_is_no_answer_is_refused_and_named(attack):
    """A robust rule goes on as if the node had not been asked; under a mean the run ends and names it."""
    everybody = fd.FedAvg(2, local=fd.LocalSGD(epochs=1, batch_size=None, lr=0.1))
    robust = lie(attack, replace(everybody, aggregate=fd.Median()), nodes=(4,))
    assert robust.ledger.total.failed == 2
    assert robust.notices[0].startswith("node 4 failed in round 1 and was left out: ")
    with pytest.raises((fd.NodeFailed, fd.Diverged), match="node 4"):
        lie(attack, everybody, nodes=(4,))


def test_a_dishonest_node_does_not_clip_itself():
    clip = (fd.Clip(1e-6),)
    program = fd.FedAvg(1, local=fd.LocalSGD(epochs=1, batch_size=None, lr=0.1), transforms=clip)
    start, p = PROBLEM.model.initial, PROBLEM.model.layout.parameters
    assert float((lie(Scaling(5.0), program, nodes=()).vector - start)[:p].norm()) < 1e-5
    assert float((lie(Scaling(5.0), program, nodes=(1,)).vector - start)[:p].norm()) > 1e-3


# -- a backdoor --------------------------------------------------------------------------------------------------------


def test_a_backdoor_is_in_the_model_and_accuracy_stays():
    """One attacker of ten who replaces the model: nearly every digit with the trigger is a 0, and others are right;
    a median keeps it out.
    """
    data = fd.data.load("digits").split(fd.data.IID(), nodes=10, seed=0)
    model = fd.Model(fd.models.mlp(64, 32, 10))
    program = fd.FedAvg(9, local=fd.LocalSGD(epochs=3, batch_size=10, lr=0.2))
    clean = fd.train(program, model, data)
    attack = ModelReplacement(Backdoor(target=0, trigger=Patch(size=3)))
    run = fd.train(program, model, data, adversary=Adversary((3,), attack, start=5))
    test = data.rows(-2)
    assert success(attack, model, clean.vector, test) < 0.1
    assert success(attack, model, run.vector, test) > 0.9
    assert run.history[-1].metrics["attack_success"] == success(attack, model, run.vector, test)
    assert [r.metrics["attack_success"] > 0.5 for r in run.history] == [False] * 5 + [True] * 4
    assert run.history[-1].accuracy > clean.history[-1].accuracy - 0.02
    robust = fd.train(replace(program, aggregate=fd.Median()), model, data, adversary=Adversary((3,), attack, start=5))
    assert robust.history[-1].metrics["attack_success"] < 0.1
    assert robust.history[-1].accuracy > clean.history[-1].accuracy - 0.02


@pytest.mark.parametrize("attack", [FreeRider(), Optimised(), MinMax(), LabelFlip()], ids=repr)
def test_programs_with_several_models_meet_dishonest_nodes(attack):
    """Who says nothing of its cluster; a rule that makes two vectors of the answers."""
    assert len(lie(attack, fd.IFCA(2)).history) == 2
    assert len(lie(attack, fd.Ditto(2)).history) == 2


def test_a_colluder_that_sees_a_single_update_makes_no_noise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for attack in (ALIE(z=1.0), MinMax(), MinSum(), Mimic()):
            lie(attack, nodes=(0, 1, 2, 3, 4))


@dataclass(frozen=True)
class Column:
    """A node's rows, which the coordinator never sees: x is one number, and whether it is positive the class."""

    def __call__(self, node):
        x = torch.linspace(-1.0, 1.0, 20)[:, None] + 0.01 * node
        return fd.data.arrays(x, (x[:, 0] > 0).long(), classes=2)


def test_success_is_measured_at_the_nodes_where_only_they_have_rows():
    """A trigger that sets the only number is all there is to see: whoever bears it is taken for its class."""
    door = Backdoor(target=0, trigger=Columns((0,), (5.0,)), share=1.0)
    model = fd.Model(fd.models.mlp(1, 2))
    adversary = Adversary((0, 1, 2), door)
    run = fd.train(fd.FedAvg(8, local=fd.LocalSGD(lr=0.5)), model, fd.data.AtNodes(Column(), 3), adversary=adversary)
    assert run.history[-1].metrics["attack_success"] == 1.0
    beyond = replace(door, trigger=Columns((3,), (5.0,)))
    with pytest.raises(fd.NodeFailed, match="sets column 3 of rows that have 1"):  # seen only where the rows are
        fd.train(fd.FedAvg(1), model, fd.data.AtNodes(Column(), 3), adversary=Adversary((0,), beyond))
