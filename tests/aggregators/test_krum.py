"""Krum, Multi-Krum and Bulyan against their definitions written down a second time."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.aggregators import Bulyan, Krum, MultiKrum


def scores(u: np.ndarray, f: int) -> list[float]:
    """Blanchard et al. 2017: the sum of the squared distances to the n - f - 2 nearest others."""
    n = len(u)
    return [sum(sorted(((u[i] - u[j]) ** 2).sum() for j in range(n) if j != i)[: max(1, n - f - 2)]) for i in range(n)]


def bulyan(u: np.ndarray, f: int) -> np.ndarray:
    """El Mhamdi et al. 2018."""
    left, chosen = list(range(len(u))), []
    while len(chosen) < len(u) - 2 * f:
        best = left[int(np.argmin(scores(u[left], f)))]
        left.remove(best)
        chosen.append(best)
    answer = []
    for values in u[chosen].T:
        near = sorted(values, key=lambda v: abs(v - np.median(values)))
        answer.append(np.mean(near[: len(u) - 4 * f]))
    return np.array(answer)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 6), st.integers(0, 2**31))
def test_krum_is_its_definition(f: int, more: int, d: int, seed: int) -> None:
    u = np.random.default_rng(seed).normal(size=(2 * f + 3 + more, d))
    s, stack = scores(u, f), torch.from_numpy(u)
    assert torch.equal(Krum(f)(stack), stack[int(np.argmin(s))])
    for m in (1, 2, len(u) - f):
        best = np.argsort(s, kind="stable")[:m]
        np.testing.assert_allclose(MultiKrum(f, m)(stack).numpy(), u[best].mean(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(MultiKrum(f)(stack), MultiKrum(f, len(u) - f)(stack))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.integers(0, 3), st.integers(1, 6), st.integers(0, 2**31))
def test_bulyan_is_its_definition(f: int, more: int, d: int, seed: int) -> None:
    u = np.random.default_rng(seed).normal(size=(4 * f + 3 + more, d))
    np.testing.assert_allclose(Bulyan(f)(torch.from_numpy(u)).numpy(), bulyan(u, f), rtol=1e-9, atol=1e-9)


def test_bulyan_chooses_anew_after_each_choice() -> None:
    """Were the first scores kept, other updates would be averaged in some of these stacks."""
    differ = 0
    for seed in range(20):
        u = np.random.default_rng(seed).normal(size=(7, 1))
        first = np.argsort(scores(u, 1), kind="stable")[:5]
        kept = u[first, 0]
        near = sorted(kept, key=lambda v: abs(v - np.median(kept)))[:3]
        differ += abs(float(Bulyan(1)(torch.from_numpy(u))) - np.mean(near)) > 1e-9
    assert differ > 0


def test_equal_scores_are_told_apart_by_node() -> None:
    square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [9.0, 9.0]])
    for turn in range(4):
        u = torch.cat([square[:4].roll(turn, 0), square[4:]])
        assert torch.equal(Krum(1)(u), u[0])
    assert torch.equal(MultiKrum(1, 2)(square), square[:2].mean(0))


@pytest.mark.parametrize(
    ("rule", "least", "says"),
    [
        (Krum(2), 7, "n >= 2f \\+ 3, at least 7"),
        (MultiKrum(2), 7, "n >= 2f \\+ 3, at least 7"),
        (MultiKrum(1, m=6), 7, "n >= 2f \\+ 3 and n >= m \\+ f, at least 7"),
        (Bulyan(2), 11, "n >= 4f \\+ 3, at least 11"),
    ],
    ids=str,
)
def test_too_few_updates_are_refused_with_the_inequality(rule, least: int, says: str) -> None:
    assert rule.least() == least
    rule(torch.randn(least, 3))
    with pytest.raises(fd.BadInput, match=f"{says} finite updates; got {least - 1}: ask a larger cohort"):
        rule(torch.randn(least - 1, 3))
    with pytest.raises(fd.BadInput, match=rf"got {least - 1} \(of {least}: 1 are not finite\)"):
        rule(torch.cat([torch.randn(least - 1, 3), torch.full((1, 3), torch.inf)]))


@pytest.mark.parametrize(
    "make", [lambda: Krum(-1), lambda: Bulyan(True), lambda: MultiKrum(1.5), lambda: MultiKrum(1, 0)]
)
def test_settings_that_mean_nothing_are_refused(make) -> None:
    with pytest.raises(fd.BadInput, match="must be a whole number from"):
        make()
