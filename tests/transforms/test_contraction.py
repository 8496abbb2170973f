"""Contraction: what compressors say of how much they lose is so, and what remembers it stays bounded."""

import math
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.core.types.transform import Identity, Transform, shapes_of
from foedus.testing import small
from foedus.transforms import (
    QSGD,
    Cast,
    Chain,
    Clip,
    Difference,
    ErrorFeedback,
    Gaussian,
    PowerSGD,
    RandomK,
    Sign,
    Ternary,
    TopK,
)

SURE = (TopK(0.1), TopK(1.0), Sign(), Cast(), Cast("bfloat16"), Clip(0.5), Chain((TopK(0.3), Cast())))
"""What arrives depends on no draw."""
UNBIASED = (RandomK(0.1), RandomK(0.5), QSGD(1), QSGD(4), QSGD(1, bucket=8), QSGD(64), Ternary())
MIXED = (
    RandomK(0.1, unbiased=False),
    Chain((TopK(0.3), QSGD(1))),
    Chain((RandomK(0.3), QSGD(2))),
    Chain((TopK(0.5), RandomK(0.3), Ternary())),
    Chain((QSGD(2), Cast())),
    Chain((Cast(), RandomK(0.3))),
)
EDGES = {
    "one": torch.tensor([1.0] + [0.0] * 39),
    "equal": torch.ones(40),
    "normal": torch.randn(40, generator=torch.Generator().manual_seed(0)),
    "one of many": torch.tensor([1 + math.sqrt(40)] + [1.0] * 39),
}


def _arrives(t: Transform, v: torch.Tensor, key: fd.Key) -> torch.Tensor:
    sent, _ = t.encode(fd.Update({"delta": v}, 1.0), {}, key)
    return t.decode(sent, shapes_of({"delta": v}))["delta"].double()


def _lost(t: Transform, v: torch.Tensor, scaled: bool, draws: int) -> tuple[float, float]:
    """||C(v) - v||^2 / ||v||^2, with C scaled down or not: its mean over so many draws, and the mean's error."""
    c = t.contraction(shapes_of({"delta": v}))
    share = 1 / (1 + c.omega) if scaled else 1.0
    size = float(v.double().square().sum())
    lost = torch.tensor(
        [float((share * _arrives(t, v, fd.Key(i)) - v).square().sum()) / size for i in range(draws)],
        dtype=torch.float64,
    )
    return float(lost.mean()), 0.0 if draws == 1 else float(lost.std()) / math.sqrt(draws)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("transform", [*SURE, *UNBIASED, *MIXED], ids=str)
def test_what_is_said_to_arrive_arrives(transform: Transform, edge: str) -> None:
    v = EDGES[edge]
    c = transform.contraction(shapes_of({"delta": v}))
    assert c.unbiased == (transform in UNBIASED or transform in (TopK(1.0), Chain((RandomK(0.3), QSGD(2)))))
    lost, error = _lost(transform, v, True, 1 if transform in SURE else 150)
    assert lost <= (1 - c.delta) * (1 + 1e-5) + 4 * error + 1e-12
    if transform in UNBIASED:
        lost, error = _lost(transform, v, False, 150)
        assert lost <= c.omega * (1 + 1e-5) + 4 * error + 1e-12


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=40),
    st.sampled_from(SURE),
)
def test_what_contracts_surely_does_for_any_numbers(numbers: list[float], transform: Transform) -> None:
    v = torch.tensor(numbers)
    if v.any():
        c = transform.contraction(shapes_of({"delta": v}))
        assert _lost(transform, v, True, 1)[0] <= (1 - c.delta) * (1 + 1e-5) + 1e-12


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.integers(1, 20))
def test_variances_are_at_most_omega(numbers: list[float], levels: int) -> None:
    """The closed forms of the papers: QSGD's by its fractions of a level, TernGrad's by the largest number."""
    v = torch.tensor(numbers, dtype=torch.float64)
    square = float(v.square().sum())
    if square < 1e-100:
        return
    shapes = {"delta": ((len(v),), torch.float32)}
    p = v.abs() / math.sqrt(square) * levels % 1
    qsgd = square / levels**2 * float((p * (1 - p)).sum())
    size = v.abs()
    ternary = float((size * (size.max() - size)).sum())
    for transform, variance in ((QSGD(levels), qsgd), (Ternary(), ternary)):
        # A fraction that rounds to a whole level has no variance, and a bound of zero is reached.
        assert variance <= transform.contraction(shapes).omega * square * (1 + 1e-9) + 1e-9 * square


def test_by_hand() -> None:
    def of(t: Transform, d: int, shape: tuple[int, ...] | None = None):
        c = t.contraction({"delta": (shape or (d,), torch.float32), "buffers": ((7,), torch.float32)})
        return round(c.delta, 6), round(c.omega, 6)

    assert of(TopK(0.1), 50) == (0.1, 0)
    assert of(RandomK(0.1), 50) == (0.1, 9)
    assert of(RandomK(0.1, unbiased=False), 50) == (0.1, 0)
    assert of(Sign(), 50) == (0.02, 0)
    assert of(Ternary(), 49) == (0.25, 3)
    assert of(QSGD(1), 49) == (0.125, 7)
    assert of(QSGD(10), 25) == (0.8, 0.25)
    assert of(QSGD(1, bucket=4), 49) == (round(1 / 3, 6), 2)
    assert of(QSGD(1, bucket=1), 49) == (1, 0)
    assert of(Cast("float16"), 5) == (round(1 - 2.0**-22, 6), 0)
    assert of(PowerSGD(1), 0, (3, 9)) == (0, 0)
    assert of(PowerSGD(3), 0, (3, 9)) == (1, 0)  # it travels whole
    assert of(Clip(1.0), 5) == (0, 0)
    assert of(Gaussian(1.0), 5) == (1, 0)
    # Qsparse-local-SGD: a tenth of it, with the variance of 10 numbers.
    assert of(Chain((TopK(0.1), QSGD(1))), 100) == (round(0.1 / (1 + math.sqrt(10)), 6), round(math.sqrt(10), 6))
    assert of(Chain((Clip(1.0), TopK(0.1))), 100) == (0, 0)
    assert of(Chain(()), 3) == (1, 0)
    # Reference values: (3, -4, 0, 12) has variance 78 with one level and 26 with two.
    assert QSGD(1).loses(4).omega >= 78 / 169
    assert QSGD(2).loses(4).omega >= 26 / 169


LIMITED = [t for t in (*SURE, *UNBIASED, *MIXED) if t != Clip(0.5)]


@pytest.mark.parametrize("transform", LIMITED, ids=str)
def test_a_residual_stays_bounded(transform: Transform) -> None:
    """E||e||^2 <= 4 (1 - delta) / delta^2 max ||v||^2 (Karimireddy et al. 2019, arXiv:1901.09847, lemma 3)."""
    v = EDGES["normal"]
    delta = transform.contraction(shapes_of({"delta": v})).delta
    feedback, state = ErrorFeedback(transform), {}
    for t in range(200):
        _, state = feedback.encode(fd.Update({"delta": v}, 1.0), state, fd.Key(t))
    residual = float(state["residual:delta"].double().square().sum())
    assert residual <= 4 * (1 - delta) / delta**2 * float(v.double().square().sum()) + 1e-10


@pytest.mark.parametrize("transform", LIMITED, ids=str)
def test_a_reference_comes_to_what_it_follows(transform: Transform) -> None:
    v = EDGES["normal"]
    c = transform.contraction(shapes_of({"delta": v}))
    coded, state = Difference(transform), {}
    for t in range(min(1000, round(20 / c.delta))):
        _, state = coded.encode(fd.Update({"delta": v}, 1.0), state, fd.Key(t))
    assert float((state["reference:delta"] - v).norm()) < 0.01 * float(v.norm())


@pytest.mark.parametrize("transform", [RandomK(0.1), QSGD(1), Ternary()], ids=str)
def test_a_reference_that_would_run_away_is_refused(transform: Transform) -> None:
    problem = small()
    program = fd.FedAvg(1, transforms=(Difference(transform, alpha=1.0),))
    with pytest.raises(fd.BadInput, match=r"overshoots.*alpha is at most 0\.\d+ here.*alpha=None"):
        fd.train(program, problem.model, problem.data)
    shapes = {"delta": ((40,), torch.float32)}
    usual = 1 / (1 + transform.contraction(shapes).omega)
    Difference(transform, alpha=usual).wire(shapes)
    Difference(transform, alpha=1.5 * usual).wire(shapes)  # farther than the papers go, and nearer all the same
    with pytest.raises(fd.BadInput, match="diverges"):
        Difference(transform, alpha=min(1.0, 2 * usual)).wire(shapes)


@dataclass(frozen=True)
class _Doubles(Identity):
    """Says nothing of how much it changes."""

    def decode(self, u, shapes):
        return u.with_parts({k: 2 * v for k, v in u.parts.items()})


@pytest.mark.parametrize("outer", [ErrorFeedback, Difference, lambda t: fd.Choco(1, compress=t)])
@pytest.mark.parametrize(
    "inner",
    [
        _Doubles(),
        Chain((TopK(0.1), _Doubles())),
        ErrorFeedback(TopK(0.1)),
        Difference(TopK(0.1)),
        Chain((QSGD(1, bucket=8), TopK(0.1))),
        Chain((QSGD(1, bucket=8), QSGD(4))),
    ],
    ids=str,
)
def test_what_may_lose_anything_is_not_remembered(outer, inner) -> None:
    with pytest.raises(fd.BadInput, match=r"may diverge: .*contraction\(shapes\) is None.*Use TopK"):
        outer(inner)


@pytest.mark.parametrize("twice", [(TopK(0.5), TopK(0.5)), (RandomK(0.5), RandomK(0.5))], ids=str)
def test_one_of_a_kind_is_enough(twice) -> None:
    """The places of the second would stand where those of the first are."""
    problem = small()
    with pytest.raises(fd.BadInput, match="cannot come after one of its kind"):
        fd.train(fd.FedAvg(1, transforms=twice), problem.model, problem.data)
