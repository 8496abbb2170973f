"""Attacks as functions of vectors: closed forms, the papers' numbers, and agreement with a public benchmark."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import foedus as fd
from foedus.attacks import (
    ALIE,
    IPM,
    Colluding,
    Gaussian,
    Known,
    Mimic,
    MinMax,
    MinSum,
    NotFinite,
    Optimised,
    Scaling,
    SignFlip,
    Sybils,
)
from foedus.attacks.alie import z_max
from foedus.attacks.numbers import numbers, value, with_value

stacks = st.builds(
    lambda k, d, seed: torch.randn(k, d, generator=torch.Generator().manual_seed(seed)),
    st.integers(2, 9), st.integers(1, 30), st.integers(0, 10_000),
)  # fmt: skip


def test_own_updates_are_turned_scaled_or_replaced():
    u = torch.tensor([1.0, -2.0, 0.5])
    assert torch.equal(SignFlip(1.0)(u), -u)
    assert torch.equal(SignFlip()(u), -5 * u)  # uphill with a fifth of the nodes
    assert torch.equal(SignFlip(3.0)(u), -3 * u)
    assert torch.equal(Scaling(4.0)(u), 4 * u)
    assert torch.isnan(NotFinite()(u)).all()
    assert torch.isposinf(NotFinite("inf")(u)).all()
    assert torch.equal(u, torch.tensor([1.0, -2.0, 0.5]))


def test_noise_has_the_spread_it_says_and_comes_from_its_key():
    u, key = torch.ones(20_000), fd.Key(3)
    noise = Gaussian(std=5.0)(u, key)
    assert float(noise.std()) == pytest.approx(5.0, rel=4 / math.sqrt(2 * 20_000))
    assert abs(float(noise.mean())) < 4 * 5.0 / math.sqrt(20_000)
    assert torch.equal(noise, Gaussian(std=5.0)(u, key))
    assert not torch.equal(noise, Gaussian(std=5.0)(u, key.child(1)))


def test_z_max_is_that_of_the_paper():
    assert z_max(50, 24) == pytest.approx(1.426077, abs=1e-6)
    assert z_max(10, 2) == 0.0  # the attack does nothing
    # 20 nodes, 4 of them dishonest: 7 of 16 honest ones are needed, Phi^-1(9/16)
    assert z_max(20, 4) == pytest.approx(0.157311, abs=1e-6)
    assert all(math.isfinite(z_max(n, m)) for n in range(1, 12) for m in range(n + 1))


def test_alie_stays_within_the_spread_and_goes_to_one_side():
    u = torch.randn(26, 7, generator=torch.Generator().manual_seed(0))
    sent = ALIE()(u, dishonest=24)
    z = torch.tensor(1.4260767)
    assert torch.allclose(sent, (u.mean(0) - z * u.std(0, correction=0)).expand(24, -1), atol=1e-5)
    assert torch.equal(ALIE()(u[:8], dishonest=2), u[:8].mean(0).expand(2, -1))


@given(stacks)
def test_ipm_turns_an_average_as_soon_as_eps_is_large_enough(u):
    mean = u.mean(0)
    for m in (1, 3):
        k = len(u)
        for eps, sign in ((1.1 * k / m, -1.0), (0.9 * k / m, 1.0)):  # the edge is (n - m) / m, and n - m is k
            sent = IPM(eps)(u, dishonest=m)
            total = fd.Mean()(torch.cat([u, sent]))
            assert float(total @ mean) * sign > 0


def brute(u, way, fits):
    """The largest gamma by halving an interval, as in the paper."""
    low, high = 0.0, 1.0
    while fits(u.mean(0) + high * way) and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(u.mean(0) + middle * way) else (low, middle)
    return low


@pytest.mark.parametrize("of", ["std", "unit", "sign"])
@pytest.mark.parametrize("attack", [MinMax, MinSum])
def test_gamma_is_the_largest_that_the_paper_allows(attack, of):
    u = torch.randn(7, 12, generator=torch.Generator().manual_seed(1)).double() + 0.3
    between = torch.cdist(u, u) ** 2
    if attack is MinMax:
        fits = lambda v: float(((u - v) ** 2).sum(1).max()) <= float(between.max())  # noqa: E731
    else:
        fits = lambda v: float(((u - v) ** 2).sum()) <= float(between.sum(1).max())  # noqa: E731
    made = attack(direction_of=of)
    way = {"std": -u.std(0), "unit": -u.mean(0) / u.mean(0).norm(), "sign": -u.mean(0).sign()}[of]
    assert torch.allclose(made.direction(u), way)
    gamma = made.strength(Known(u, tuple(range(7)), u[:1], 8, 8))
    assert gamma > 0
    assert gamma == pytest.approx(brute(u, way, fits), rel=1e-9)


@given(stacks)
def test_min_max_and_min_sum_keep_their_bounds(u):
    between = torch.cdist(u.double(), u.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    off = lambda v: (u.double() - v.double()).square().sum(1)  # noqa: E731
    assert float(off(MinMax()(u)[0]).max()) <= float(between.max()) * (1 + 1e-4) + 1e-9
    assert float(off(MinSum()(u)[0]).sum()) <= float(between.sum(1).max()) * (1 + 1e-4) + 1e-9


def test_identical_updates_leave_min_max_no_room():
    u = torch.ones(5, 3)
    for attack in (MinMax(), MinMax("unit"), MinSum("sign"), ALIE(z=3.0)):
        assert torch.allclose(attack(u)[0], u[0]), attack


def test_attacks_change_nothing_that_they_are_given():
    for attack in (IPM(), ALIE(), MinMax(), MinSum(), Mimic(), Sybils()):
        u = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
        before = u.clone()
        assert attack(u, 2).shape == (2, 5)
        assert torch.equal(u, before)


def known(u, ids=None, key=0):
    ids = tuple(range(len(u))) if ids is None else ids
    return Known(u, ids, torch.zeros(2, u.shape[1]), len(u) + 2, 10, fd.Key(key))


def test_mimic_copies_the_node_that_is_furthest_out_and_stays_with_it():
    generator = torch.Generator().manual_seed(0)
    attack, memory, way = Mimic(warmup=5), {}, torch.eye(20)[3]
    for t in range(12):
        u = 0.05 * torch.randn(6, 20, generator=generator)
        # Node 4 leans to one side by 1; after the warm-up node 1 leans further, and is too late.
        u[4] += way
        if t >= 5:
            u[1] -= 3 * way
        sent, memory = attack.agree(known(u), memory)
        assert torch.equal(sent, u[4].expand(2, -1)), t
    assert int(memory["t"]) == 5
    assert abs(float(memory["z"] @ way)) > 0.99  # Oja's direction


def test_mimic_of_a_node_that_is_absent_is_nothing():
    u = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    sent, _ = Mimic(node=7).agree(known(u, ids=(0, 2, 7)), {})
    assert torch.equal(sent, u[2].expand(2, -1))
    sent, _ = Mimic(node=7).agree(known(u, ids=(0, 2, 5)), {})
    assert torch.equal(sent, torch.zeros(2, 4))


def test_sybils_send_nearly_the_same():
    own = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    sent, _ = Sybils(jitter=1e-2).agree(Known(own, (0, 1, 2, 3), own, 9, 9, fd.Key(1)), {})
    mean = own.mean(0)
    off = (sent - mean).norm(dim=1) / mean.norm()
    assert off.numpy() == pytest.approx([1e-2] * 4, rel=0.1)
    assert len({tuple(row) for row in sent[:, :3].tolist()}) == 4
    same, _ = Sybils(jitter=0.0).agree(Known(own, (0, 1, 2, 3), own, 9, 9), {})
    assert torch.equal(same, mean.expand(4, -1))


def harm_of(rule, u, m):
    mean = u.mean(0)
    return lambda v: float((rule(torch.cat([u, v.expand(m, -1)])) - mean).norm())


@pytest.mark.parametrize("attack", [IPM(0.1), ALIE(z=0.2), ALIE(), MinMax("unit")])
@pytest.mark.parametrize("rule", [fd.Mean(), fd.Median(), fd.TrimmedMean(2)])
def test_a_search_does_more_harm_than_the_attack_as_it_is(rule, attack):
    u = torch.randn(8, 40, generator=torch.Generator().manual_seed(2)) + 0.5
    harm, own = harm_of(rule, u, 2), torch.zeros(2, 40)
    given = Known(u, tuple(range(8)), own, 10, 10, fd.Key(0), harm)
    plain, best = harm(attack.agree(given, {})[0][0]), harm(Optimised(attack).agree(given, {})[0][0])
    assert best >= plain
    if rule == fd.Mean():  # no bound: each doubling does more
        assert best > 100 * max(plain, 1e-3)


def test_a_search_finds_the_peak_of_a_rule_that_cuts_off():
    """A rule that ignores whoever is further than 3 from zero: the best strength is just below."""
    u = torch.tensor([[1.0], [1.0], [1.0]])

    def harm(v):
        kept = [x for x in (1.0, 1.0, 1.0, float(v)) if abs(x) <= 3]
        return abs(sum(kept) / len(kept) - 1)

    sent, _ = Optimised(IPM(0.1), evaluations=40).agree(Known(u, (0, 1, 2), torch.zeros(1, 1), 4, 4, harm=harm), {})
    assert float(sent) == pytest.approx(-3.0, abs=0.01)


def test_a_search_without_a_rule_takes_the_attack_as_it_is():
    u = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Optimised(IPM(0.7))(u), IPM(0.7)(u))


def test_what_is_attacked_is_the_value_and_buffers_are_not():
    parts = {"gradient": torch.tensor([4.0, 8.0]), "buffers": torch.tensor([3.0]), "mask": torch.tensor([1, 2])}
    u = fd.Update(parts, 4.0, summed=True)
    assert torch.equal(value(u), torch.tensor([1.0, 2.0]))
    changed = with_value(u, torch.tensor([5.0, 6.0]))
    assert torch.equal(changed["gradient"], torch.tensor([20.0, 24.0]))
    assert torch.equal(changed["buffers"], parts["buffers"])
    assert torch.equal(changed["mask"], parts["mask"])
    several = {"control": torch.tensor([[1.0], [2.0]]), "delta": torch.tensor([3.0])}
    assert torch.equal(numbers(several), torch.tensor([1.0, 2.0, 3.0]))
    assert with_value(fd.Update(several, 1.0), torch.tensor([7.0, 8.0, 9.0]))["control"].tolist() == [[7.0], [8.0]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SignFlip(0.0), "factor must be a positive number, got 0.0"),
        (lambda: Gaussian(math.inf), "std must be a positive number, got inf"),
        (lambda: NotFinite("zero"), 'value is "nan" or "inf", got \'zero\''),
        (lambda: IPM(knows="all"), 'knows is "honest"'),
        (lambda: ALIE(z=math.nan), "z must be a finite number"),
        (lambda: MinMax("mean"), "direction_of is one of std, unit, sign; got 'mean'"),
        (lambda: Mimic(warmup=0), "warmup counts calls"),
        (lambda: Mimic(node=-1), "node is the id of an honest node"),
        (lambda: Optimised(Mimic()), "attack must be one with a strength"),
        (lambda: Optimised(evaluations=1), "a search needs at least 2"),
        (lambda: Sybils(jitter=-1.0), "jitter must be a number from 0 up"),
    ],
)
def test_what_does_not_fit_is_said(make, says):
    with pytest.raises(fd.BadInput, match=says):
        make()


def test_every_attack_says_what_it_knows():
    from foedus import attacks

    said = {
        n: a.knows for n in attacks.__all__ if issubclass(type(a := getattr(attacks, n)), type) and hasattr(a, "knows")
    }
    assert said["SignFlip"] == said["Backdoor"] == said["ModelReplacement"] == "own"
    assert said["IPM"] == said["Mimic"] == "honest"
    assert IPM(knows="coalition").knows == Sybils().knows == "coalition"
    assert Optimised(IPM(knows="coalition")).knows == "coalition"
    assert issubclass(IPM, Colluding)


def test_near_equal_updates_far_from_zero_keep_their_distances():
    """What is far from zero and near to each other: differences count, not lengths."""
    u = 1e3 + 1e-3 * torch.randn(6, 70_000, generator=torch.Generator().manual_seed(0)).double()
    gamma = MinMax().strength(Known(u, tuple(range(6)), u[:1], 7, 7))
    off = u - u.mean(0)
    same = MinMax().strength(Known(off, tuple(range(6)), off[:1], 7, 7))
    assert gamma == pytest.approx(same, rel=1e-6)


def test_mimic_meets_nodes_that_joined():
    u = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    attack, memory = Mimic(warmup=2), {}
    for ids in ((0, 1, 2), (0, 1, 14), (1, 2, 40), (50, 60, 70)):
        sent, memory = attack.agree(known(u, ids=ids), memory)
        assert any(torch.equal(sent[0], row) for row in u)
    assert len(memory["score"]) == 15
