"""Which rows are held out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.holdout import holdout


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=80),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 5),
)
def test_laws(labels, fraction, seed):
    y = torch.tensor(labels)
    train, test = holdout(y, 6, fraction, Key(seed))  # class 5 is always empty, others sometimes
    assert sorted(train.tolist() + test.tolist()) == list(range(len(y)))
    assert train.tolist() == sorted(train.tolist())
    assert test.tolist() == sorted(test.tolist())
    assert len(test) == min(max(round(len(y) * fraction), 1), len(y) - 1)
    for c in range(5):
        # Within one row, but for classes of one row, which come last, and the bounds of 1 and N-1.
        assert abs(int((y[test] == c).sum()) - fraction * int((y == c).sum())) < 2
    again = holdout(y, 6, fraction, Key(seed))
    assert torch.equal(again[0], train)
    assert torch.equal(again[1], test)


def test_every_class_gives_its_share_exactly_where_it_can():
    y = torch.arange(500) % 5
    _, test = holdout(y, 5, 0.2, Key(0))
    assert torch.bincount(y[test]).tolist() == [20] * 5


def test_a_class_keeps_its_last_training_row():
    y = torch.tensor([0] * 8 + [1])
    train, test = holdout(y, 2, 0.3, Key(0))  # 2.4 and 0.3 rows: three in all
    assert len(test) == 3
    assert y[train].tolist().count(1) == 1


def test_the_key_decides_and_targets_need_no_classes():
    y = torch.linspace(0, 1, 100)
    tests = {tuple(holdout(y, None, 0.25, Key(seed))[1].tolist()) for seed in range(4)}
    assert len(tests) == 4
    assert {len(t) for t in tests} == {25}


def test_one_row_cannot_be_divided():
    with pytest.raises(BadInput, match="the data has 1 row; at least two are needed"):
        holdout(torch.tensor([0]), 1, 0.5, Key(0))
