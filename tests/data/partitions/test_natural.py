"""Natural: whose row it is was known before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Natural, arrays

IDS = ["bob", "ann", "bob", "cid", "ann", "bob"]


def dataset(node):
    return arrays(torch.arange(6.0)[:, None], torch.arange(6) % 2, node=node)


def test_nodes_are_in_the_order_of_their_ids():
    fed = dataset(IDS).split(Natural())
    assert [fed.rows(k).index.tolist() for k in range(fed.nodes)] == [[1, 4], [0, 2, 5], [3]]


def test_integers_are_ordered_by_value_and_may_have_gaps():
    fed = dataset([10, 9, 10, -3, 9, 10]).split(Natural(), nodes=3)
    assert [fed.rows(k).index.tolist() for k in range(fed.nodes)] == [[3], [1, 4], [0, 2, 5]]


def test_nothing_is_drawn():
    one, two = (dataset(IDS).split(Natural(), seed=s) for s in (0, 1))
    assert torch.equal(one.index, two.index)
    assert torch.equal(one.offsets, two.offsets)


def test_a_regression_is_fine():
    data = arrays(np.zeros((6, 1)), np.zeros(6), node=IDS)
    assert data.split(Natural()).sizes == [2, 3, 1]


def test_without_a_node_column():
    with pytest.raises(BadInput, match=r"'arrays' has none: name it .* another partition, such as IID\(\)"):
        dataset(None).split(Natural())


@pytest.mark.parametrize("nodes", [2, 4])
def test_another_number_of_nodes(nodes):
    with pytest.raises(BadInput, match=rf"nodes is {nodes}, but the node column of 'arrays' names 3: leave nodes out"):
        dataset(IDS).split(Natural(), nodes=nodes)


def test_integers_may_be_positions_of_names():
    data = replace(dataset([3, 1, 3, 1, 1, 3]), node_names=("ann", "bob", "cid", "dan"))
    fed = data.split(Natural())
    assert fed.node_names == ("bob", "dan")
    assert fed.rows(1).index.tolist() == [0, 2, 5]
