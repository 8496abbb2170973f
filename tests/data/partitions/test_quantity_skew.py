"""QuantitySkew: sizes differ, what is in them does not."""

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import QuantitySkew, arrays


def dataset(rows=3000):
    return arrays(torch.zeros(rows, 1), torch.arange(rows) % 3)


def test_as_alpha_grows_all_sizes_are_equal():
    assert set(dataset(3000).split(QuantitySkew(1e12), 7).sizes) == {428, 429}


@pytest.mark.parametrize("alpha", [1e-300, 1e-6, 1e-3])
def test_as_alpha_shrinks_one_node_has_all_but_what_the_others_need(alpha):
    sizes = dataset().split(QuantitySkew(alpha, min_rows=4), 10).sizes
    assert sorted(sizes) == [4] * 9 + [2964]


def test_sizes_are_spread_as_dirichlets_are():
    # Of K proportions from Dirichlet(alpha) each has the variance (1/K)(1 - 1/K) / (K alpha + 1).
    alpha, nodes, rows = 0.5, 10, 30_000
    share = np.array([dataset(rows).split(QuantitySkew(alpha), nodes, seed=s).sizes for s in range(60)]) / rows
    assert share.mean(0) == pytest.approx(np.full(nodes, 0.1), abs=0.06)
    assert share.var() == pytest.approx(0.1 * 0.9 / (nodes * alpha + 1), rel=0.15)


def test_labels_are_those_of_the_whole():
    fed = dataset().split(QuantitySkew(0.5), 5, seed=2)
    for counts, n in zip(np.array(fed.label_counts()), fed.sizes, strict=True):
        assert np.abs(counts - n / 3).max() < 5 * np.sqrt(n * 2 / 9) + 1


def test_as_many_rows_as_are_asked_for_in_all():
    assert dataset(30).split(QuantitySkew(0.1, min_rows=3), 10).sizes == [3] * 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 0}, "QuantitySkew: alpha must be a finite number above 0, got 0"),
        ({"alpha": float("inf")}, "QuantitySkew: alpha must be a finite number above 0, got inf"),
        ({"alpha": True}, "QuantitySkew: alpha must be a finite number above 0, got True"),
        ({"alpha": 1.0, "min_rows": 0}, "QuantitySkew: min_rows must be a positive integer, got 0"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(BadInput, match=message):
        QuantitySkew(**fields)
