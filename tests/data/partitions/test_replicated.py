"""Every node has all rows."""

import pytest
import torch

import foedus as fd
from foedus.core.types.data import POOLED
from foedus.data import Replicated


def test_every_node_has_all_rows_in_order() -> None:
    dataset = fd.data.arrays([[1.0], [2.0], [3.0]], [5.0, 6.0, 7.0])
    data = dataset.split(Replicated(), nodes=4, seed=9)  # more nodes than rows are fine
    assert data.sizes == [3, 3, 3, 3]
    for node in range(4):
        x, y = data.rows(node).batch()
        assert torch.equal(x, dataset.x)
        assert torch.equal(y, dataset.y)
    # The first places of the pooled rows are the rows: programs find the labels there.
    assert torch.equal(data.rows(POOLED).batch(torch.arange(3))[1], dataset.y)


@pytest.mark.parametrize(("nodes", "why"), [(None, "among how many"), (0, "positive integer")])
def test_the_number_of_nodes_must_be_known(nodes, why: str) -> None:
    with pytest.raises(fd.BadInput, match=why):
        fd.data.arrays([[1.0]], [1.0]).split(Replicated(), nodes=nodes)
