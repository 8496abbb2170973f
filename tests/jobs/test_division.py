"""Which numbers of the flat vector are shared, and which are a node's own."""

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import foedus as fd
from foedus.jobs import BatchNorms, LastLayer, Named
from foedus.jobs.division import Division, matching, put, take


def _layout() -> fd.Layout:
    body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    return fd.Model(nn.ModuleDict({"body": body, "head": nn.Linear(2, 2)})).layout


LAYOUT = _layout()
NAMES = [s.name for s in LAYOUT.slots]


def test_what_the_values_name() -> None:
    assert LastLayer().names(LAYOUT) == ("head.weight", "head.bias")
    assert BatchNorms().names(LAYOUT) == tuple(n for n in NAMES if n.startswith("body.1."))
    assert len(BatchNorms().names(LAYOUT)) == 4
    assert Named(("*.bias", "head.*")).names(LAYOUT) == tuple(n for n in NAMES if n.endswith("bias") or "head" in n)
    assert Named().names(LAYOUT) == ()
    assert BatchNorms().names(fd.Model(fd.models.mlp(3, 2)).layout) == ()


@pytest.mark.parametrize(
    ("pattern", "says"), [("head", r"'head\.\*'"), ("head.wieght", r"'head\.weight'"), ("x*", "there are")]
)
def test_a_pattern_that_matches_nothing_is_an_error_that_helps(pattern: str, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says):
        matching(LAYOUT, ("body.*", pattern))


@settings(deadline=None)
@given(st.sets(st.sampled_from(NAMES)))
def test_a_division_is_a_partition(own: set[str]) -> None:
    division = Division.of(LAYOUT, Named(tuple(own)))
    w = torch.arange(float(LAYOUT.size))
    shared, mine = take(w, division.shared), take(w, division.own)
    assert sorted([*shared.tolist(), *mine.tolist()]) == w.tolist()
    assert len(shared) == division.size
    zero = torch.zeros_like(w)
    together = put(put(zero, division.shared, shared), division.own, mine)
    assert torch.equal(together, w)
    assert not zero.any()
    # Parameters first, then buffers, as everywhere.
    assert (shared[: division.parameters] < LAYOUT.parameters).all()
    assert (shared[division.parameters :] >= LAYOUT.parameters).all()
    answer = division.answer(shared, "delta")
    assert {k: tuple(v.shape) for k, v in answer.items()} == division.shapes("delta")
    spans = sorted([*division.shared, *division.own])
    assert spans[0][0] == 0
    assert spans[-1][1] == LAYOUT.size
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
