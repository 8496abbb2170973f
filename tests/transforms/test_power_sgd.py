"""PowerSGD: exact where the rank allows, the best subspace in the end, and which numbers it takes for matrices."""

import math
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.core.types.transform import nbytes, shapes_of
from foedus.testing import check_transform
from foedus.transforms import ErrorFeedback, PowerSGD

KEY = fd.Key(0)


def _low_rank(n: int, m: int, rank: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, rank, generator=g) @ torch.randn(rank, m, generator=g)


def _send(transform, parts, state):
    sent, state = transform.encode(fd.Update(parts, 1.0), state, KEY)
    return transform.decode(sent, shapes_of(parts)).parts, state


@settings(deadline=None, derandomize=True)
@given(st.integers(5, 20), st.integers(5, 20), st.integers(1, 3), st.integers(0, 2**31))
def test_exact_on_matrices_of_its_rank(n: int, m: int, rank: int, seed: int) -> None:
    u, state = _low_rank(n, m, rank, seed), {}
    # Also after an update of lower rank, or of none, has left its traces in the start of the next step.
    for other in (u, _low_rank(n, m, 1, seed + 1), torch.zeros(n, m), u):
        came, state = _send(PowerSGD(rank), {"w": other}, state)
        # A start that is almost at right angles to the matrix costs float32 digits: of 3,000 starts the worst left
        # four, and hypothesis looks for worse ones.
        size = max(float(u.abs().max()), float(other.abs().max()))
        assert torch.allclose(came["w"], other, atol=1e-3 * size, rtol=0)


def test_repeated_it_finds_the_best_subspace() -> None:
    """On one matrix again and again the warm start is subspace iteration: the error falls to that of the SVD."""
    g = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(30, 30, generator=g)).Q,
        torch.linalg.qr(torch.randn(20, 20, generator=g)).Q,
    )
    singular = torch.tensor([2.0**-i for i in range(20)])
    u = left[:, :20] * singular @ right.T
    best = float(singular[3:].square().sum().sqrt())
    errors, state = [], {}
    for _ in range(12):
        came, state = _send(PowerSGD(3), {"w": u}, state)
        errors.append(float((came["w"] - u).norm()))
    assert errors[0] > 1.1 * best
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(errors))
    assert errors[-1] == pytest.approx(best, rel=1e-3)


def test_it_never_loses_more_than_everything() -> None:
    u = torch.randn(12, 9, generator=torch.Generator().manual_seed(1))
    came, _ = _send(PowerSGD(2), {"w": u}, {})
    assert float(came["w"].norm()) <= float(u.norm())
    # A projection: what is left is orthogonal to what was sent.
    assert abs(float(((u - came["w"]) * came["w"]).sum())) < 1e-4


def _fitted(module: torch.nn.Module, rank: int) -> tuple[PowerSGD, int]:
    layout = fd.Model(module).layout
    return PowerSGD(rank).fit(layout), layout.parameters


def test_the_layout_says_what_is_a_matrix() -> None:
    transform, p = _fitted(fd.models.mlp(20, 12, 5), rank=2)
    flat = torch.cat([
        _low_rank(12, 20, 2).flatten(), torch.arange(12.0), _low_rank(5, 12, 2).flatten(), torch.arange(5.0)
    ])  # fmt: skip
    assert len(flat) == p
    came, state = _send(transform, {"delta": flat}, {})
    torch.testing.assert_close(came["delta"], flat, rtol=0, atol=1e-4)
    assert came["delta"][240:252].tolist() == list(range(12))  # a bias travels as it is
    assert {k: tuple(v.shape) for k, v in state.items()} == {"delta:0": (20, 2), "delta:2": (12, 2)}
    assert nbytes(transform.wire(shapes_of({"delta": flat}))) == 4 * (2 * 32 + 12 + 2 * 17 + 5)
    # Without the layout it is one vector.
    assert nbytes(PowerSGD(2).wire(shapes_of({"delta": flat}))) == 4 * p
    assert repr(transform) == "PowerSGD(rank=2)"


def test_a_kernel_is_a_matrix_of_its_first_dimension_by_the_others() -> None:
    transform, p = _fitted(torch.nn.Conv2d(3, 8, 3), rank=1)
    assert nbytes(transform.wire({"delta": ((p,), torch.float32)})) == 4 * (8 + 27 + 8)
    check_transform(transform, shapes={"delta": ((p,), torch.float32)})


def test_two_parts_are_two_matrices() -> None:
    """SCAFFOLD's second vector has the same layout and a start of its own."""
    transform, p = _fitted(torch.nn.Linear(6, 7), rank=1)
    parts = {k: torch.randn(p, generator=torch.Generator().manual_seed(i)) for i, k in enumerate(("delta", "control"))}
    _, state = _send(transform, parts, {})
    assert set(state) == {"delta:0", "control:0"}


def test_all_nodes_start_from_the_same_numbers() -> None:
    u = {"w": _low_rank(9, 8, 4)}
    sent = [PowerSGD(1).encode(fd.Update(u, 1.0), {}, fd.Key(seed))[0]["w"] for seed in range(2)]
    assert torch.equal(*sent)


def test_with_error_feedback_the_layout_is_handed_on() -> None:
    transform, p = _fitted(torch.nn.Linear(6, 7), rank=1)
    wrapped = ErrorFeedback(PowerSGD(1)).fit(fd.Model(torch.nn.Linear(6, 7)).layout)
    shapes = {"delta": ((p,), torch.float32)}
    assert wrapped.wire(shapes) == transform.wire(shapes)
    check_transform(wrapped, conserves=True, shapes=shapes)


def test_a_matrix_that_would_not_shrink_travels_as_it_is() -> None:
    u = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    came, state = _send(PowerSGD(2), {"w": u}, {})
    assert torch.equal(came["w"], u)
    assert not state
    assert math.prod(PowerSGD(2).wire(shapes_of({"w": u}))["w"][0]) == 9


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(fd.BadInput, match="at least 1"):
        PowerSGD(0)
