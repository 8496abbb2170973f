"""Adaptive robust clipping."""

import pytest
import torch

import foedus as fd
from foedus.aggregators import ARC, NNM, Mean, Median, TrimmedMean
from foedus.core.types.aggregator import join
from foedus.core.types.update import Update


def one_way(lengths: list[float]) -> torch.Tensor:
    return torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(
    ("n", "f", "shortened"), [(3, 1, 1), (5, 1, 1), (5, 2, 2), (10, 2, 3), (10, 3, 4), (11, 5, 5), (20, 4, 6)]
)
def test_as_many_are_shortened_as_the_paper_says(n: int, f: int, shortened: int) -> None:
    """k = floor(2 f (n - f) / n): to the length of the next longest."""
    u = one_way([float(i + 1) for i in range(n)])
    expected = [min(i + 1, n - shortened) for i in range(n)]
    assert ARC(f)(u).tolist() == pytest.approx([sum(expected) / n])
    said = join(ARC(f), [Update({"delta": row}, 1.0, node=i) for i, row in enumerate(u)])[2]
    assert sum(s.left_out > 0 for s in said.values()) == shortened


def test_dishonest_nodes_make_it_no_longer_than_the_longest_honest_update() -> None:
    g = torch.Generator().manual_seed(0)
    honest = torch.randn(8, 5, generator=g)
    for size in (1e-6, 1.0, 1e3, 1e30):
        u = torch.cat([honest, size * torch.randn(3, 5, generator=g)])
        for then in (Mean(weighted=False), TrimmedMean(3), NNM(3, then=Median())):
            assert float(ARC(3, then)(u).norm()) <= float(honest.norm(dim=1).max()) * (1 + 1e-6)


def test_without_dishonest_nodes_nothing_is_shortened() -> None:
    u = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ARC(0)(u), Mean()(u))


def test_if_all_are_zero_it_says_so_in_a_line() -> None:
    with pytest.raises(fd.BadInput, match=r"ARC\(f=1.*all 5 are 0: nothing was learned") as e:
        ARC(1)(torch.zeros(5, 3))
    assert "\n" not in str(e.value)


def test_if_most_are_zero_so_is_what_is_longer() -> None:
    assert ARC(2)(one_way([0.0, 0.0, 0.0, 0.0, 7.0])).tolist() == [0.0]


def test_too_few_are_refused() -> None:
    with pytest.raises(fd.BadInput, match=r"needs n >= 2f \+ 1, at least 5 finite updates; got 4"):
        ARC(2)(torch.ones(4, 1))
