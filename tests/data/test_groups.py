"""Rows that go together are on one side of every split and at one node; with a row a group nothing changes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data import (
    IID,
    Dirichlet,
    FeatureSkew,
    LabelSkew,
    Natural,
    QuantitySkew,
    Replicated,
    Shards,
    arrays,
)
from foedus.data.groups import numbered, usual
from foedus.data.holdout import holdout

PARTITIONS = [
    IID(), Dirichlet(0.5), LabelSkew(2), QuantitySkew(0.5), Shards(2), FeatureSkew(), Replicated(), Natural(),
]  # fmt: skip
N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype("float32")
Y = RNG.integers(0, 3, N)
PATIENT = np.array([f"p{i:02d}" for i in RNG.integers(0, 20, N)])
HOSPITAL = np.array([int(p[1:]) % 3 for p in PATIENT])


def sides(data):
    """The groups of the rows that each node trains on and holds out, as sets."""
    held = data.held_index if data.held_index is not None else data.index[:0]
    held_offsets = data.held_offsets.tolist() if data.held_offsets is not None else [0] * (data.nodes + 1)
    parts = [(data.index, data.offsets.tolist()), (held, held_offsets)]
    return [[set(PATIENT[i[a:b].numpy()]) for a, b in pairwise(o)] for i, o in parts]


@pytest.mark.parametrize("partition", PARTITIONS, ids=repr)
def test_a_group_is_at_one_node_and_on_one_side(partition):
    data = arrays(X, Y, node=HOSPITAL, group=PATIENT)
    split = data.split(partition, nodes=3, seed=1, holdout=0.3)
    train, held = sides(split)
    assert split.held_index.numel()
    for node in range(3):
        assert not train[node] & held[node]
        if not isinstance(partition, Replicated):
            for other in range(node):
                assert not (train[node] | held[node]) & (train[other] | held[other])
    if not isinstance(partition, Replicated):
        assert sorted([*split.index.tolist(), *split.held_index.tolist()]) == list(range(N))


@pytest.mark.parametrize("partition", PARTITIONS, ids=repr)
@pytest.mark.parametrize("regression", [False, True])
def test_with_a_row_a_group_it_is_the_same_draw(partition, regression):
    if regression and isinstance(partition, Dirichlet | LabelSkew | Shards):
        return
    y = X[:, 0] if regression else Y
    names = np.array([f"row {i}" for i in RNG.permutation(N)])  # in no order
    plain, grouped = (
        arrays(X, y, node=HOSPITAL, group=group, test=0.2).split(partition, nodes=3, seed=2, holdout=0.25)
        for group in (None, names)
    )
    for name in ("index", "offsets", "held_index", "held_offsets", "test_x"):
        assert torch.equal(getattr(plain, name), getattr(grouped, name))


def test_rows_keep_their_order_at_a_node():
    plain, grouped = (arrays(X, Y, node=HOSPITAL, group=g).split(Natural()) for g in (None, PATIENT))
    assert torch.equal(plain.index, grouped.index)


@given(
    groups=st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
    classes=st.sampled_from([None, 2]),
)
def test_laws_of_groups_that_are_held_out(groups, fraction, seed, classes):
    group, y = np.array(groups), torch.tensor([(g * 7) % 3 % 2 for g in groups])
    train, test = holdout(y, classes, fraction, Key(seed), group)
    assert sorted(train.tolist() + test.tolist()) == list(range(len(groups)))
    assert len(train)
    assert len(test)
    assert not set(group[train.numpy()]) & set(group[test.numpy()])
    assert torch.equal(holdout(y, classes, fraction, Key(seed), group)[1], test)


def test_held_out_groups_come_near_the_fraction_in_every_class():
    group = np.repeat(np.arange(300), RNG.integers(1, 8, 300))
    y = torch.from_numpy(group % 3)
    _, test = holdout(y, 3, 0.2, Key(0), group)
    for c in range(3):
        assert abs(int((y[test] == c).sum()) - 0.2 * int((y == c).sum())) <= 4  # half a group


def test_a_class_keeps_a_group_to_train_on():
    y = torch.tensor([0] * 8 + [1] * 3)
    group = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4])
    for seed in range(5):
        train, _ = holdout(y, 2, 0.6, Key(seed), group)  # 1.8 of three rows
        assert y[train].tolist().count(1) == 3


@pytest.mark.parametrize("fraction", [0.05, 0.95])
def test_a_test_has_some_group_and_not_all(fraction):
    group = np.array([0] * 10 + [1] * 4 + [2] * 10)
    train, test = holdout(torch.zeros(24, dtype=torch.int64), 1, fraction, Key(0), group)
    assert set(group[test if fraction < 0.5 else train].tolist()) == {1}  # the smallest


def test_a_node_of_one_group_holds_nothing_out():
    data = arrays(X[:6], Y[:6], node=[0] * 3 + [1] * 3, group=[7, 7, 7, 8, 9, 9])
    assert data.split(Natural(), holdout=0.4).holdout_sizes[0] == 0
    with pytest.raises(BadInput, match="all rows are of one group"):
        holdout(torch.zeros(3), None, 0.5, Key(0), np.array([1, 1, 1]))


def test_a_group_at_two_nodes_is_refused_where_nodes_are_given():
    data = arrays(X[:4], Y[:4], node=["a", "a", "b", "b"], group=["p", "q", "p", "r"])
    with pytest.raises(
        BadInput, match=r"rows of group 'p' are at a and at b: .*If each node counts its own: give them"
    ):
        data.split(Natural())
    assert data.split(IID(), nodes=2).nodes == 2


def test_what_a_partition_says_of_rows_is_about_groups():
    with pytest.raises(BadInput, match=r"the data has 19 rows.*\(a row stands for all rows of one group"):
        arrays(X, Y, group=PATIENT).split(IID(), nodes=40)


def test_a_group_has_its_usual_label_and_number():
    assert numbered(np.array(["b", "a", "b", "c"])).tolist() == [0, 1, 0, 2]
    assert usual(np.array([1, 0, 1, 2, 0, 0]), np.array([0, 0, 0, 1, 2, 2])).tolist() == [1, 2, 0]
    assert usual(np.array([1, 0]), np.array([0, 0])).tolist() == [0]


def test_groups_that_do_not_fit():
    with pytest.raises(BadInput, match="group must hold one id per row, all integers or all strings"):
        arrays(X[:2], Y[:2], group=[1.5, 2.5])
    with pytest.raises(BadInput, match=r"group must hold one value per row, shape \(2,\)"):
        arrays(X[:2], Y[:2], group=[1, 2, 3])
