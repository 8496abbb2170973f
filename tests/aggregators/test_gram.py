"""Inner products and distances: right where they are easy, where digits cancel, and where float32 ends."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from foedus.aggregators import strips
from foedus.aggregators.gram import combined, distances_from, gram, squared_distances


def direct(u: torch.Tensor) -> torch.Tensor:
    u = u.double()
    return (u[:, None] - u[None]).square().sum(2)


def normal(k: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed))


def relative_error(u: torch.Tensor) -> float:
    expected = direct(u)
    came = squared_distances(u)
    assert torch.equal(came, came.T)
    assert torch.equal(came == 0, expected == 0)
    return float(((came - expected).abs() / expected.clamp(min=1e-300)).max())


def two_clusters() -> torch.Tensor:
    u = normal(12, 300)
    u[:5] = 1e3 + 1e-3 * u[:5]
    u[5:9] = -2e3 + u[5:9]
    return u


@pytest.mark.parametrize(
    "u",
    [
        pytest.param(normal(9, 1000), id="normal"),
        pytest.param(100 + normal(9, 1000), id="far from 0"),
        pytest.param(1000 + 0.01 * normal(7, 500), id="almost equal"),
        pytest.param(two_clusters(), id="two clusters and others"),
        pytest.param(torch.cat([normal(5, 64), normal(5, 64)]), id="every row twice"),
        pytest.param(torch.cat([normal(5, 64), 1e30 * normal(2, 64, 1)]), id="two that overflow"),
        pytest.param(1e-25 * normal(5, 64), id="squares below float32"),
        pytest.param(torch.cat([torch.zeros(2, 64), 1e-25 * normal(3, 64)]), id="0 and almost 0"),
        pytest.param(torch.zeros(4, 8), id="all 0"),
    ],
)
def test_distances_are_the_direct_ones(u: torch.Tensor) -> None:
    before = u.clone()
    assert relative_error(u) < 1e-5
    assert torch.equal(u, before)


def test_without_the_repair_near_rows_would_be_wrong() -> None:
    u = 1000 + 0.01 * normal(7, 500)
    g = gram(u)
    naive = g.diagonal()[:, None] + g.diagonal()[None] - 2 * g
    assert float(((naive - direct(u)).abs() / direct(u).clamp(min=1e-300)).max()) > 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31), st.floats(-3, 6), st.integers(0, 4))
def test_distances_of_any_shape_and_offset(k: int, d: int, seed: int, offset: float, twice: int) -> None:
    u = normal(k, d, seed)
    u[: min(twice, k)] = u[0].clone()
    assert relative_error(u + 10.0**offset) < 1e-4


def test_threads_and_repetition_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    u = normal(20, 70_001)
    u[3] = u[2] + 1e-4
    m = torch.rand(3, 20, generator=torch.Generator().manual_seed(1))
    answers = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(strips, "spare_threads", lambda n=threads: n)
        answers += [(squared_distances(u), gram(u, about=4, wide=True), combined(m, u), distances_from(u, u[0]))]
    assert len(strips_of(20, 70_001)) > 3
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, answers[0], strict=True))


def strips_of(k: int, d: int) -> list[slice]:
    return strips.over_strips(k, d, lambda s: s)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 200_000))
def test_strips_and_blocks_cover_all_columns_in_order(k: int, d: int) -> None:
    at = 0
    for strip in strips_of(k, d):
        for block in strips.in_blocks(k, strip):
            assert block.start == at < block.stop
            at = block.stop
    assert at == d


def test_combinations_and_distances_from_a_vector() -> None:
    u, m = normal(11, 3000), torch.rand(4, 11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(combined(m, u), m @ u)
    torch.testing.assert_close(distances_from(u, u[3]), direct(u)[3].sqrt(), rtol=1e-6, atol=0)
    assert distances_from(torch.tensor([[3e38], [0.0]]), torch.tensor([-3e38])).tolist() == pytest.approx([6e38, 3e38])
