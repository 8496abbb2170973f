"""Shards: few labels a node, as in the paper."""

import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Shards, arrays


def dataset(y):
    return arrays(torch.zeros(len(y), 1), y)


def test_the_papers_protocol():
    y = (torch.arange(6000) * 7) % 10  # unsorted, 600 of each
    fed = dataset(y).split(Shards(per_node=2), nodes=100)  # 200 shards of 30, 20 of each label
    counts = torch.tensor(fed.label_counts())
    assert set(fed.sizes) == {60}
    assert set(counts.flatten().tolist()) == {0, 30, 60}
    held = (counts > 0).sum(1)
    assert held.max() == 2
    assert 60 < int((held == 2).sum()) < 100  # two shards of one label 19 times in 199: some, not many


@pytest.mark.parametrize("per_node", [1, 2, 5])
def test_labels_a_node_are_bounded_by_its_shards(per_node):
    y = torch.arange(10).repeat(103)  # 1030 rows do not divide evenly
    fed = dataset(y).split(Shards(per_node), nodes=10, seed=4)
    shard = 1030 / (10 * per_node)
    assert sum(fed.sizes) == 1030
    assert all(abs(size - 103) <= per_node for size in fed.sizes)
    # A shard no longer than a class touches at most two labels.
    assert shard <= 103
    assert max(sum(n > 0 for n in c) for c in fed.label_counts()) <= 2 * per_node


@pytest.mark.parametrize("per_node", [0, -1, 1.5, True])
def test_bad_per_node(per_node):
    with pytest.raises(BadInput, match=f"Shards: per_node must be a positive integer, got {per_node}"):
        Shards(per_node)


def test_more_shards_than_rows():
    with pytest.raises(
        BadInput, match="Shards cannot give 4 nodes at least 3 rows each: the data has 10 rows, enough for 3"
    ):
        dataset(torch.zeros(10, dtype=torch.int64)).split(Shards(3), nodes=4)
