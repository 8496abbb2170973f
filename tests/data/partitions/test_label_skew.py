"""LabelSkew: exactly so many labels, nobody's label, no row lost."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.data import LabelSkew, arrays


def counts(labels, k, nodes, seed=0):
    data = arrays(torch.zeros(len(labels), 1), torch.tensor(labels))
    return np.array(data.split(LabelSkew(k), nodes, seed).label_counts())


@given(
    sizes=st.lists(st.integers(20, 60), min_size=2, max_size=6),
    k=st.integers(1, 6),
    nodes=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_every_node_has_exactly_k_labels_and_every_label_is_somewhere(sizes, k, nodes, seed):
    k = min(k, len(sizes))
    nodes = max(nodes, -(-len(sizes) // k))
    count = counts([c for c, n in enumerate(sizes) for _ in range(n)], k, nodes, seed)
    assert ((count > 0).sum(1) == k).all()
    assert count.sum(0).tolist() == sizes
    holders = (count > 0).sum(0)
    assert holders.max() - holders.min() <= 1  # there are rows enough, so labels are spread evenly
    for c in range(len(sizes)):
        own = count[:, c][count[:, c] > 0]
        assert own.max() - own.min() <= 1


def test_all_labels_at_every_node_divides_each_label_evenly():
    assert np.unique(counts([0, 1, 2] * 40, 3, 10)).tolist() == [4]


def test_a_rare_label_goes_to_as_many_nodes_as_it_has_rows():
    count = counts([0] * 100 + [1] * 2 + [2] * 100, 2, 10)
    assert ((count > 0).sum(1) == 2).all()
    assert (count > 0).sum(0).tolist() == [9, 2, 9]
    assert count[:, 1].sum() == 2


def test_every_pair_of_labels_meets():
    # 10 labels, two each: dealt in a circle, only neighbours would.
    pairs = {tuple(np.flatnonzero(row)) for seed in range(20) for row in counts(list(range(10)) * 30, 2, 50, seed)}
    assert len(pairs) == 45


def test_which_rows_of_a_label_a_node_has_is_drawn():
    data = arrays(torch.zeros(100, 1), torch.zeros(100, dtype=torch.int64))
    rows = data.split(LabelSkew(1), 2).rows(0).index
    assert len(rows) == 50
    assert 15 < int((rows < 50).sum()) < 35


def test_labels_that_do_not_occur_are_no_labels():
    data = arrays(torch.zeros(20, 1), torch.tensor([0, 5] * 10), classes=8)
    assert data.split(LabelSkew(1), 2).sizes == [10, 10]


@pytest.mark.parametrize(
    ("labels", "k", "nodes", "message"),
    [
        ([0, 1] * 5, 3, 2, "cannot give a node 3 labels: 'arrays' has 2 of them"),
        ([0, 1, 2, 3, 4] * 5, 2, 2, "2 nodes with 2 of the 5 labels each leave some to nobody: take at least 3 nodes"),
        ([0] * 20 + [1, 2], 2, 10, "rows of 'arrays' allow it 12 times, 20 are needed; take fewer nodes"),
        ([0, 1], 2, 2, "cannot give 2 nodes at least 2 rows each: the data has 2 rows"),
    ],
)
def test_what_cannot_be(labels, k, nodes, message):
    with pytest.raises(BadInput, match=message):
        counts(labels, k, nodes)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_bad_labels_per_node(k):
    with pytest.raises(BadInput, match=f"LabelSkew: labels_per_node must be a positive integer, got {k}"):
        LabelSkew(k)
