"""IID: sizes even, rows at random."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.data import IID, arrays


@given(rows=st.integers(1, 300), share=st.floats(0, 1))
def test_sizes_differ_by_at_most_one(rows, share):
    nodes = 1 + int(share * (rows - 1))
    sizes = arrays(torch.zeros(rows, 1), torch.zeros(rows)).split(IID(), nodes).sizes
    assert max(sizes) - min(sizes) <= 1


def test_every_node_is_like_the_whole():
    y = torch.arange(10).repeat_interleave(1000)  # sorted: without a shuffle every node has one class
    counts = torch.tensor(arrays(torch.zeros(10_000, 1), y).split(IID(), 10, seed=1).label_counts())
    assert (counts - 100).abs().max() < 50  # about five standard deviations
    assert (counts - 100).abs().max() > 0  # drawn, not dealt by class
