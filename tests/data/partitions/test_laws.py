"""What every partition keeps: each row once, no node empty, the same bits from the same seed."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.data import IID, Dirichlet, FeatureSkew, LabelSkew, Natural, QuantitySkew, Shards, arrays


def dataset(labels, node=None):
    return arrays(torch.arange(float(len(labels)))[:, None], torch.tensor(labels), node=node)


labels = st.lists(st.integers(0, 5), min_size=1, max_size=120)
partitions = st.one_of(
    st.just(IID()),
    st.builds(Shards, per_node=st.integers(1, 3)),
    st.builds(Dirichlet, alpha=st.floats(1e-3, 1e4), min_rows=st.integers(1, 3)),
    st.builds(QuantitySkew, alpha=st.floats(1e-300, 1e300), min_rows=st.integers(1, 3)),
    st.builds(LabelSkew, labels_per_node=st.integers(1, 3)),
    st.builds(FeatureSkew, strength=st.floats(0, 1)),
)
DRAWN = [IID(), Shards(), Dirichlet(alpha=1.0), QuantitySkew(alpha=1.0), LabelSkew(), FeatureSkew(strength=0.5)]
LABELLED = [Shards(), Dirichlet(alpha=1.0), LabelSkew()]


@given(labels=labels, partition=partitions, nodes=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_each_row_once_or_a_reason(labels, partition, nodes, seed):
    data = dataset(labels)
    each = next(
        (getattr(partition, f) for f in ("per_node", "min_rows", "labels_per_node") if hasattr(partition, f)), 1
    )
    if nodes * each > len(labels):
        with pytest.raises(
            BadInput, match=f"{nodes} nodes at least {each} rows? each: the data has {len(labels)} rows"
        ):
            data.split(partition, nodes, seed)
        return
    if isinstance(partition, LabelSkew):
        size_C = np.unique(labels, return_counts=True)[1]
        possible = each <= len(size_C) <= nodes * each <= np.minimum(size_C, nodes).sum()
        if not possible:
            with pytest.raises(BadInput, match="LabelSkew"):
                data.split(partition, nodes, seed)
            return
    fed = data.split(partition, nodes, seed)
    assert fed.index.dtype == torch.int64
    assert fed.offsets.dtype == torch.int64
    assert fed.index.sort().values.tolist() == list(range(len(labels)))
    assert (fed.offsets[0], fed.offsets[-1], fed.nodes) == (0, len(labels), nodes)
    assert min(fed.sizes) >= each
    for k in range(nodes):  # the rows of a node keep the data set's order
        own = fed.index[fed.offsets[k] : fed.offsets[k + 1]]
        assert own.tolist() == sorted(own.tolist())
    again = dataset(labels).split(partition, nodes, seed)
    assert torch.equal(again.index, fed.index)
    assert torch.equal(again.offsets, fed.offsets)


@pytest.mark.parametrize("partition", DRAWN)
def test_the_seed_decides(partition):
    data = dataset([c for c in range(5) for _ in range(40)])
    draws = {tuple(data.split(partition, 10, seed).index.tolist()) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize("partition", DRAWN)
def test_each_of_them_holds_out(partition):
    fed = dataset([0, 1] * 50).split(partition, 5, holdout=0.3)
    assert torch.cat([fed.index, fed.held_index]).sort().values.tolist() == list(range(100))
    assert fed.tested_on == "held out"


@pytest.mark.parametrize("partition", DRAWN)
def test_drawing_leaves_the_global_generators_alone(partition):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    dataset([0, 1] * 20).split(partition, 4, holdout=0.2)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize("partition", DRAWN)
@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (None, r"needs to know among how many: split\(.*, nodes=20\)"),
        (0, r"nodes must be a positive integer, got 0"),
        (2.0, r"nodes must be a positive integer, got 2\.0"),
        (True, r"nodes must be a positive integer, got True"),
        (11, r"the data has 10 rows, enough for (10|5) nodes"),
    ],
)
def test_bad_number_of_nodes(partition, nodes, message):
    with pytest.raises(BadInput, match=message):
        dataset([0, 1] * 5).split(partition, nodes)


@pytest.mark.parametrize("partition", LABELLED)
def test_a_regression_has_no_labels_to_divide_by(partition):
    data = arrays(torch.ones(10, 1), torch.ones(10))
    with pytest.raises(BadInput, match=rf"{type(partition).__name__} divides by label.*use IID\(\), or Natural\(\)"):
        data.split(partition, 2)


@pytest.mark.parametrize("partition", [IID(), Natural()])
def test_a_million_nodes_are_a_matter_of_a_second(partition):
    n = 1_000_000
    data = arrays(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64), node=np.arange(n))
    start = time.process_time()
    fed = data.split(partition, n)
    assert time.process_time() - start < 5  # about 0.2 s of work; a loop over nodes would take tens
    assert fed.nodes == n
