"""What rules that withstand dishonest nodes promise, one and all; where a rule does not, the catalogue says so."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import foedus as fd
from foedus.aggregators import MoNNA
from foedus.aggregators.fltrust import Rooted
from foedus.core.types.aggregator import MergeTree, fold, join
from foedus.core.types.update import Update
from foedus.testing import check_aggregator

from .catalogue import CASES, ROOT_UPDATE, reach

N, F = 11, 2
"""The fewest nodes with which every rule withstands two."""

OTHERS = (
    "MoNNA",
    "CAF",
    "SMEA",
    "ARC, NNM, Median",
    "CGE",
    "NormBound",
    "NormBound, Median",
    "CenteredClipping",
    "FLTrust",
    "FoolsGold",
)
"""Those whose general laws are not checked in ``test_rule.py``."""

every = pytest.mark.parametrize("name", CASES)
some = pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.kappa is not None or c.reach is not None])
seeds = st.integers(0, 2**31)
few = settings(max_examples=5, deadline=None)


def drawn(seed: int, k: int = N, d: int = 6) -> Tensor:
    """Updates in multiples of 1/1024, so that moving them by whole numbers changes no digit."""
    return (torch.randn(k, d, generator=torch.Generator().manual_seed(seed)) * 512).round() / 1024


def sent(u_KD: Tensor, nodes: list[int] | None = None, part: str = "delta", weight: float = 1.0) -> list[Update]:
    nodes = list(range(len(u_KD))) if nodes is None else nodes
    return [Update({part: u.clone()}, weight, node=n) for u, n in zip(u_KD, nodes, strict=True)]


def joined(rule: Any, updates: list[Update]) -> dict[str, Tensor]:
    shapes = {k: (tuple(v.shape), v.dtype) for k, v in updates[0].parts.items()}
    return dict(fold(suited(rule, updates), updates, rule.init(shapes))[0])


def suited(rule: Any, updates: list[Update]) -> Any:
    """The rule; if it has the catalogue's update of the root, with as many of its parts as these updates have."""
    if not isinstance(rule, Rooted) or rule.root is not ROOT_UPDATE:
        return rule
    return Rooted(ROOT_UPDATE.with_parts({k: ROOT_UPDATE[k] for k in updates[0].parts}))


def answer(rule: Any, u_KD: Tensor) -> Tensor:
    return joined(rule, sent(u_KD))["delta"]


@pytest.mark.parametrize("name", OTHERS)
def test_it_keeps_the_laws_of_aggregators(name: str) -> None:
    case = CASES[name]
    check_aggregator(case.make(F), idempotent=case.idempotent, symmetric=case.symmetric)


@every
@few
@given(seed=seeds)
def test_who_comes_first_changes_no_bit(name: str, seed: int) -> None:
    """However the fold is cut, and in whatever order it is done: nodes come in the order of their ids."""
    updates = sent(drawn(seed))
    rule = suited(CASES[name].make(F), updates)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed)).tolist()
    shapes = {"delta": ((6,), torch.float32)}

    def cut(pieces: list[list[int]]) -> Tensor:
        tree = MergeTree(rule.merge)
        for piece in pieces:
            acc = rule.empty()
            for i in piece:
                acc = rule.add(acc, updates[i])
            tree.push(acc)
        return rule.read(tree.result(), rule.init(shapes))[0]["delta"]

    whole = cut([list(range(N))])
    assert torch.equal(cut([order]), whole)
    assert torch.equal(cut([order[:3], order[3:4], [], order[4:]]), whole)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.symmetric or n == "MoNNA"])
@few
@given(seed=seeds)
def test_which_node_sent_what_makes_no_difference(name: str, seed: int) -> None:
    case, u = CASES[name], drawn(seed)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    rule = case.make(F)
    other = replace(rule, pivot=int((order == rule.pivot).nonzero())) if isinstance(rule, MoNNA) else rule
    torch.testing.assert_close(answer(other, u[order]), answer(rule, u), rtol=0, atol=case.tolerance)


@every
@few
@given(seed=seeds, far=st.sampled_from([1.0, -7.0, 40.0]))
def test_it_moves_with_the_updates(name: str, seed: int, far: float) -> None:
    case, u = CASES[name], drawn(seed)
    rule, by = case.make(F), far * torch.tensor([1.0, -1.0, 2.0, 0.0, 1.0, 3.0])
    moved = answer(rule, u + by) - by
    if case.translates:
        torch.testing.assert_close(moved, answer(rule, u), rtol=0, atol=case.tolerance + 1e-5 * abs(far))


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.translates])
def test_those_that_look_at_lengths_do_not_move_with_the_updates(name: str) -> None:
    rule, by = CASES[name].make(F), torch.full((6,), 40.0)
    assert float((answer(rule, drawn(0) + by) - by - answer(rule, drawn(0))).norm()) > 1e-3


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.unanimous])
@few
@given(seed=seeds, size=st.sampled_from([0.0, 1e-3, 1.0, 1e6, 1e20]))
def test_what_the_honest_agree_on_is_the_answer(name: str, seed: int, size: float) -> None:
    case, u = CASES[name], drawn(seed)
    honest = u[0].clone()
    at = torch.randperm(N - 1, generator=torch.Generator().manual_seed(seed))[:F] + 1  # node 0 is MoNNA's pivot
    whole = honest.repeat(N, 1)
    whole[at] = u[1 : 1 + F] * size
    torch.testing.assert_close(answer(case.make(F), whole), honest, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.unanimous])
def test_those_that_weigh_and_shorten_do_not_take_what_the_honest_agree_on(name: str) -> None:
    """They let a little of what others send through, or take those who agree for sybils."""
    whole = torch.full((N, 6), 1.0)
    whole[-F:] = torch.tensor([[0.3, 0.1, 0.0, 0.2, 0.1, 0.0], [90.0, -40.0, 0.0, 0.0, 70.0, 0.0]])
    assert float((answer(CASES[name].make(F), whole) - 1.0).norm()) > 1e-2


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.between])
@few
@given(seed=seeds, size=st.sampled_from([1.0, 30.0, 1e6]))
def test_it_is_between_honest_values(name: str, seed: int, size: float) -> None:
    u = drawn(seed)
    u[-F:] *= size
    came = answer(CASES[name].make(F), u)
    honest = u[:-F]
    assert bool((came >= honest.amin(0) - 1e-6).all() and (came <= honest.amax(0) + 1e-6).all())


@every
def test_its_input_is_not_changed(name: str) -> None:
    rule, u = CASES[name].make(F), drawn(3)
    updates = sent(u)
    joined(rule, updates)
    assert all(torch.equal(update["delta"], row) for update, row in zip(updates, u, strict=True))
    if not isinstance(rule, Rooted):
        before = u.clone()
        rule(u)
        assert torch.equal(u, before)


@every
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_dropped_and_named(name: str, poison: float) -> None:
    u = drawn(4, k=N + 2)
    rule = suited(CASES[name].make(F), sent(u))
    u[[5, 9]] = poison
    good = [i for i in range(N + 2) if i not in (5, 9)]
    memory = rule.init({"delta": ((6,), torch.float32)})
    parts, _, said = join(rule, sent(u), memory)
    alone, _, said_alone = join(rule, sent(u[good], good), memory)
    assert torch.equal(parts["delta"], alone["delta"])
    assert {n: said[n] for n in good} == said_alone
    assert said[5] == said[9] == (1.0, math.inf)


@every
@few
@given(seed=seeds)
def test_what_nodes_say_of_their_rows_buys_nothing(name: str, seed: int) -> None:
    rule, u = CASES[name].make(F), drawn(seed)
    lies = [replace(s, weight=w) for s, w in zip(sent(u), torch.rand(N).mul(1e6).tolist(), strict=True)]
    assert torch.equal(joined(rule, lies)["delta"], answer(rule, u))


@every
def test_numbers_are_one_vector_and_buffers_another(name: str) -> None:
    rule, u, b = CASES[name].make(F), drawn(5), drawn(6, d=2)
    updates = [
        Update({"delta": row[:4].view(2, 2), "buffers": mean, "control": row[4:]}, 1.0, node=i)
        for i, (row, mean) in enumerate(zip(u, b, strict=True))
    ]
    root = ROOT_UPDATE["delta"]
    if isinstance(rule, Rooted):
        parts = {"delta": root[:4].view(2, 2), "buffers": ROOT_UPDATE["buffers"], "control": root[4:]}
        came = joined(Rooted(Update(parts, 1.0)), updates)
    else:
        came = joined(rule, updates)
    assert {k: tuple(v.shape) for k, v in came.items()} == {"delta": (2, 2), "buffers": (2,), "control": (2,)}
    assert torch.equal(torch.cat([came["delta"].view(-1), came["control"]]), answer(rule, u))
    assert torch.equal(came["buffers"], joined(rule, sent(b, part="buffers"))["buffers"])


# -- breakdown -----------------------------------------------------------------------------------------------------


def searched(rule: Any, honest_SD: Tensor, f: int, steps: int, seed: int) -> tuple[float, Tensor]:
    """The furthest from the honest mean that f updates put the answer, by ascent in random directions; and these.

    It begins with what attacks are known to do: far off together, just outside, on one coordinate, short and opposite.
    """
    g = torch.Generator().manual_seed(seed)
    mean_D, spread = honest_SD.mean(0), float((honest_SD - honest_SD.mean(0)).norm(dim=1).mean())
    d = honest_SD.shape[1]

    def off(u_FD: Tensor) -> float:
        return float((rule(torch.cat([honest_SD, u_FD])) - mean_D).norm())

    way = torch.randn(d, generator=g)
    way /= way.norm()
    starts = [mean_D + s * spread * way.expand(f, d) for s in (0.7, 1.0, 1.5, 3.0, 1e5)]
    starts += [mean_D + torch.randn(f, d, generator=g) * spread, (-2.0 * mean_D).expand(f, d), 0.0 * way.expand(f, d)]
    starts += [mean_D - 1.5 * honest_SD.std(0).expand(f, d), honest_SD[:f] + 0.0]
    found = sorted(((off(u), i) for i, u in enumerate(starts)), reverse=True)[:2]
    best, best_FD = found[0][0], starts[found[0][1]]
    for start in (starts[i] for _, i in found):
        now, at = off(start), start.clone()
        size = spread
        for step in range(steps):
            move = torch.randn(f, d, generator=g) * size
            if step % 3 == 0:  # all of them together, as if one
                move = move[:1].expand(f, d)
            elif step % 3 == 1:  # one coordinate
                move = torch.zeros(f, d).index_fill_(1, torch.randint(d, (1,), generator=g), 1.0) * move
            then = off(at + move)
            if then > now:
                now, at, size = then, at + move, size * 1.6
            else:
                size = max(size / 1.25, 1e-2 * spread)
        if now > best:
            best, best_FD = now, at
    return best, best_FD


def honest(seed: int, n: int, f: int) -> Tensor:
    """Updates of n - f honest nodes about 1/2, of lengths below the radius to which the catalogue's rules clip."""
    return 0.3 * torch.randn(n - f, 6, generator=torch.Generator().manual_seed(seed)) + 0.3


@some
def test_no_search_finds_a_way_beyond_its_bound(name: str) -> None:
    case = CASES[name]
    far, _ = searched(case.make(F), honest(0, N, F), F, steps=25, seed=0)
    assert far <= reach(case, honest(0, N, F), N, F) * (1 + 1e-4)


@pytest.mark.slow
@some
@pytest.mark.parametrize("n", [11, 15])
def test_no_long_search_finds_a_way_beyond_its_bound(name: str, n: int) -> None:
    case, u = CASES[name], honest(n, n, F)
    far, _ = searched(case.make(F), u, F, steps=200, seed=n)
    assert far <= reach(case, u, n, F) * (1 + 1e-4)


@pytest.mark.parametrize("rule", [fd.Mean(), fd.aggregators.RFA(), fd.aggregators.FoolsGold()], ids=str)
def test_the_search_breaks_what_promises_nothing(rule: Any) -> None:
    """One node that acts alone: a mean, three steps from a mean, and what looks for sybils follow it anywhere."""
    u = honest(0, N, 1)
    assert searched(rule, u, 1, steps=10, seed=0)[0] > 3 * float((u - u.mean(0)).norm(dim=1).max())
    near, far = (answer(rule, torch.cat([u, torch.full((1, 6), -s)])).norm() for s in (1e4, 1e6))
    assert float(far) > 50 * float(near)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.kappa is not None and not n.startswith("NormBound")])
def test_more_than_it_is_made_for_break_it(name: str) -> None:
    """Of as few nodes as the rule needs, f dishonest ones move it a little, n - f anywhere; of n = 2f + 1, f + 1 do."""
    case = CASES[name]
    f = 1
    n = case.least(f)

    def off(dishonest: int) -> float:
        u = honest(1, n, dishonest)
        # Node 0 comes first and is honest: MoNNA's pivot.
        stack = torch.cat([u, torch.full((dishonest, 6), 1e5)])
        return float((answer(case.make(f), stack) - u.mean(0)).norm())

    assert off(f) < 10
    assert off(n - f) > 1e3 or isinstance(case.make(f), MoNNA)
    if n == 2 * f + 1 and not isinstance(case.make(f), MoNNA):
        assert off(f + 1) > 1e3


# -- suspicion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("FoolsGold", "Bucketing, Median", "FLTrust")])
def test_those_far_off_are_left_out_most(name: str) -> None:
    case = CASES[name]
    u = torch.cat([honest(2, N, F), torch.full((F, 6), -30.0)])
    _, _, said = join(case.make(F), sent(u), case.make(F).init({"delta": ((6,), torch.float32)}))
    left = [said[n].left_out for n in range(N)]
    assert min(left[-F:]) >= max(left[:-F])
    assert min(left[-F:]) > sum(left[:-F]) / (N - F) + 0.1
    assert min(said[n].distance for n in range(N - F, N)) > 3 > max(said[n].distance for n in range(N - F))


@every
def test_settings_outside_its_guarantee_are_refused_with_the_inequality(name: str) -> None:
    case = CASES[name]
    rule, least = case.make(F), case.least(F)
    assert rule.breakdown
    if hasattr(rule, "f"):
        with pytest.raises(fd.BadInput, match=r"needs .*n|buckets of"):
            answer(rule, drawn(0, k=least - 1))
    assert answer(rule, drawn(0, k=max(least, 2))).shape == (6,)
    if hasattr(rule, "f"):
        with pytest.raises(fd.BadInput, match="whole number from 0 up"):
            replace(rule, f=-1)
