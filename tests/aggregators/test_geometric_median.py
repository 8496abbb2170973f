"""The geometric median: its slope is 0 or it is at an update; degenerate cases; what RFA does of it."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.aggregators import RFA, GeometricMedian

SEVEN = torch.tensor([[1, 2], [1.2, 1.8], [0.8, 2.2], [1.1, 2.1], [0.9, 1.9], [5, -3], [4, -2.5]])


def total(u: torch.Tensor, v: torch.Tensor) -> float:
    return float((u.double() - v.double()).norm(dim=1).sum())


def slope(u: torch.Tensor, v: torch.Tensor) -> float:
    """The norm of the least subgradient of the sum of distances, per update."""
    away = v.double() - u.double()
    far = away.norm(dim=1)
    here = far < 1e-9
    pull = (away[~here] / far[~here, None]).sum(0).norm()
    return max(0.0, float(pull) - int(here.sum())) / len(u)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**31), st.sampled_from([0.0, 30.0, 1e6]))
def test_nothing_pulls_at_the_answer(k: int, d: int, seed: int, off: float) -> None:
    u = torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u[: (k - 1) // 2] += off
    v = GeometricMedian(tolerance=1e-7)(u)
    assert slope(u, v) < 1e-6
    for direction in torch.eye(d, dtype=torch.float64):
        for step in (1e-2, -1e-2):
            assert total(u, v) <= total(u, v + step * direction) * (1 + 1e-7)


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        pytest.param(SEVEN, (1.04698893, 1.93420649), id="seven"),
        pytest.param([[0.0], [1.0], [5.0]], (1.0,), id="on a line, odd: the middle one"),
        pytest.param([[0.0], [1.0], [2.0], [5.0]], (1.5,), id="on a line, even: between the middle ones"),
        pytest.param([[5.0, 5.0], [0.0, 0.0], [2.0, 2.0], [1.0, 1.0]], (1.5, 1.5), id="on a slanted line"),
        pytest.param([[1.0, 2.0]] * 3 + [[9.0, -9.0]] * 2, (1.0, 2.0), id="most are one"),
        pytest.param([[1.0, 2.0]] * 2 + [[3.0, 4.0]] * 2, (2.0, 3.0), id="half and half"),
        pytest.param([[1.0, 2.0]] * 4, (1.0, 2.0), id="all are one"),
        pytest.param([[3.0, 4.0]], (3.0, 4.0), id="only one"),
        pytest.param([[0.0, 0.0], [4.0, 0.0]], (2.0, 0.0), id="two"),
        pytest.param([[0.0, 0.0], [1.0, 0.0], [0.5, 0.1]], (0.5, 0.1), id="an angle beyond 120 degrees: its corner"),
        pytest.param([[0.0, 0.0], [1.0, 0.0], [0.5, 0.8660254]], (0.5, 0.28867513), id="Fermat's point"),
        pytest.param([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]], (1.0, 1.0), id="a square"),
        pytest.param([[1e20, 0.0]] * 2 + [[1.0, 1.0]] * 3, (1.0, 1.0), id="two that are very far"),
    ],
)
def test_known_points(u, expected) -> None:
    u = torch.as_tensor(u)
    torch.testing.assert_close(GeometricMedian()(u), torch.tensor(expected), rtol=0, atol=2e-6)
    torch.testing.assert_close(GeometricMedian()(u.flip(0)), torch.tensor(expected), rtol=0, atol=2e-6)


def test_outliers_however_far_do_not_move_it_beyond_their_directions() -> None:
    u = torch.randn(9, 20, generator=torch.Generator().manual_seed(0))
    way = torch.randn(4, 20, generator=torch.Generator().manual_seed(1))
    near = GeometricMedian()(torch.cat([u, 1e6 * way]))
    far = GeometricMedian()(torch.cat([u, 1e20 * way]))
    torch.testing.assert_close(far, near, rtol=0, atol=1e-4)


def test_a_common_offset_costs_no_digits_but_the_sums_own() -> None:
    u = torch.randn(9, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(GeometricMedian()(u + 1e6) - 1e6, GeometricMedian()(u), rtol=0, atol=1e-6)


def test_rfa_is_weiszfelds_steps_from_the_mean_and_leads_to_the_smoothed_median() -> None:
    z = SEVEN.double().mean(0)
    for steps in range(1, 6):
        w = 1 / (SEVEN.double() - z).norm(dim=1).clamp(min=0.5)
        z = (w[:, None] * SEVEN.double()).sum(0) / w.sum()
        torch.testing.assert_close(RFA(steps=steps, smoothing=0.5)(SEVEN), z.float(), rtol=0, atol=1e-6)
    smoothed = GeometricMedian(smoothing=0.5)(SEVEN)
    torch.testing.assert_close(RFA(steps=500, smoothing=0.5)(SEVEN), smoothed, rtol=0, atol=1e-6)
    assert (smoothed - GeometricMedian()(SEVEN)).norm() > 0.01
    assert torch.equal(RFA()(torch.ones(4, 2)), torch.ones(2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GeometricMedian(tolerance=0.0), "tolerance"),
        (lambda: GeometricMedian(tolerance=1e-12), "from 1e-08 up"),
        (lambda: GeometricMedian(smoothing=-1.0), "smoothing"),
        (lambda: RFA(steps=0), "steps"),
        (lambda: RFA(smoothing=float("nan")), "smoothing"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says):
        make()


def test_a_guess_by_some_coordinates_that_is_wrong_is_made_good() -> None:
    """The first update is the best of all by the coordinates that are looked at, and very far off by another."""
    u = torch.randn(9, 5000, generator=torch.Generator().manual_seed(0))
    u[0, :4096] = u[1:, :4096].mean(0)
    u[0, 4999] = 1e15
    honest = u.clone()
    honest[0, 4999] = 1e6
    torch.testing.assert_close(GeometricMedian()(u)[:4999], GeometricMedian()(honest)[:4999], rtol=0, atol=1e-4)
