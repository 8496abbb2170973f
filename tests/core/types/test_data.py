"""Data divided among nodes: what is held out, inputs that are read when asked for, and the fingerprint of it all."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import foedus as fd
from foedus.core.errors import BadInput
from foedus.core.types.data import POOLED, TEST, Examples, FederatedDataset
from foedus.data import IID, Dataset, Dirichlet, Natural, arrays


@dataclass(frozen=True)
class Kept:
    """Inputs that are asked for, though they lie in memory; noise on top shows which generator it is drawn from."""

    values: Tensor
    noise: float = 0.0

    def __len__(self):
        return len(self.values)

    def gather(self, index):
        assert index.dtype == torch.int64
        x = self.values[index]
        return x + self.noise * torch.randn(x.shape) if self.noise else x


def table(labels, node=None):
    return arrays(torch.arange(float(len(labels)))[:, None], torch.tensor(labels), node=node)


def federated(**changes):
    fields = {
        "x": torch.arange(12.0).view(6, 2),
        "y": torch.tensor([0, 1, 2, 0, 1, 2]),
        "index": torch.tensor([0, 1, 3, 4]),
        "offsets": torch.tensor([0, 2, 4]),
        "held_index": torch.tensor([2, 5]),
        "held_offsets": torch.tensor([0, 1, 2]),
        "classes": 3,
    }
    return FederatedDataset(**(fields | changes))


# -- rows held out by each node ----------------------------------------------------------------------------------

divisions = st.tuples(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.integers(1, 12),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)


@given(divisions)
def test_a_nodes_rows_are_those_it_trains_on_and_those_it_holds_out(case):
    labels, nodes, fraction, seed = case
    nodes = min(nodes, len(labels))
    whole = table(labels).split(IID(), nodes, seed)
    fed = table(labels).split(IID(), nodes, seed, holdout=fraction)
    assert torch.cat([fed.index, fed.held_index]).sort().values.tolist() == list(range(len(labels)))
    assert fed.nodes == whole.nodes
    for k in range(nodes):
        train, held = fed.rows(k).index.tolist(), fed.held_out(k).index.tolist()
        assert sorted(train + held) == whole.rows(k).index.tolist()
        assert (train, held) == (sorted(train), sorted(held))
        n = len(train) + len(held)
        assert len(held) == (0 if n == 1 else min(max(round(n * fraction), 1), n - 1))
        own = fed.y[whole.rows(k).index]
        for c in range(4):  # in proportion, but for classes of one row, which come last
            assert abs(int((fed.y[held] == c).sum()) - fraction * int((own == c).sum())) < 2
    assert fed.holdout_sizes == [len(fed.held_out(k)) for k in range(nodes)]
    assert [a + b for a, b in zip(fed.sizes, fed.holdout_sizes, strict=True)] == whole.sizes


def test_each_class_of_a_node_gives_its_share_exactly_where_it_can():
    fed = table([i % 5 for i in range(500)], node=[i // 250 for i in range(500)]).split(Natural(), holdout=0.2)
    for k in range(2):
        assert fed.held_out(k).batch()[1].bincount().tolist() == [10] * 5


def test_a_node_with_one_row_trains_on_it():
    fed = table([0, 1, 1, 0], node=["ann", "bob", "bob", "bob"]).split(Natural(), holdout=0.9)
    assert fed.rows(0).index.tolist() == [0]
    assert len(fed.held_out(0)) == 0
    assert fed.holdout_sizes == [0, 2]
    x, y = fed.held_out(0).batch()
    assert (x.shape, y.shape) == ((0, 1), (0,))


def test_the_seed_decides_what_is_held_out():
    data = table([0, 1] * 50, node=[i // 25 for i in range(100)])  # nothing else is drawn
    draws = [data.split(Natural(), seed=seed, holdout=0.2).held_index.tolist() for seed in (0, 1, 2, 0)]
    assert draws[0] == draws[3]
    assert len({tuple(d) for d in draws}) == 3


def test_nodes_draw_for_themselves():
    data = table([0] * 100, node=[i // 50 for i in range(100)])
    fed = data.split(Natural(), holdout=0.5)
    assert fed.held_out(0).index.tolist() != (fed.held_out(1).index - 50).tolist()


def test_holding_out_changes_nothing_about_who_owns_what():
    data = table([i % 4 for i in range(200)])
    with_, without = (data.split(Dirichlet(0.3), 7, seed=3, holdout=h) for h in (0.25, None))
    for k in range(7):
        assert torch.cat([with_.rows(k).index, with_.held_out(k).index]).sort().values.tolist() == sorted(
            without.rows(k).index.tolist()
        )
    assert without.holdout_sizes is None
    assert without.held_out(0) is None


def test_a_regression_holds_out_too():
    fed = arrays(torch.zeros(30, 2), torch.linspace(0, 1, 30)).split(IID(), 3, holdout=0.3)
    assert fed.holdout_sizes == [3, 3, 3]


@pytest.mark.parametrize("holdout", [0, 1, 1.5, -0.1, True, float("nan")])
def test_bad_holdout(holdout):
    with pytest.raises(BadInput, match=f"holdout is the fraction of its rows .* between 0 and 1; got {holdout}"):
        table([0, 1]).split(IID(), 1, holdout=holdout)


# -- what stands for the test set --------------------------------------------------------------------------------


def test_the_test_set_goes_first():
    fed = federated(test_x=torch.zeros(1, 2), test_y=torch.tensor([2]))
    assert fed.tested_on == "test"
    assert fed.rows(TEST).batch()[1].tolist() == [2]
    assert fed.size(TEST) == 1


def test_then_all_that_nodes_hold_out_and_it_is_not_trained_on():
    fed = federated()
    assert fed.tested_on == "held out"
    assert fed.rows(TEST).index.tolist() == [2, 5]
    assert fed.rows(POOLED).index.tolist() == [0, 1, 3, 4]
    assert (fed.size(TEST), fed.size(POOLED)) == (2, 4)


@pytest.mark.parametrize(
    "held",
    [(None, None), (torch.tensor([], dtype=torch.int64), torch.tensor([0, 0, 0]))],
    ids=["nothing is asked for", "nobody has rows to hold out"],
)
def test_then_the_training_rows(held):
    fed = federated(index=torch.tensor([3, 4, 0, 1]), held_index=held[0], held_offsets=held[1])
    assert fed.tested_on == "train"
    assert fed.rows(TEST).index.tolist() == [0, 1, 3, 4]  # in the order of the data, however they are divided


def test_pseudo_nodes_hold_nothing_out():
    assert federated().held_out(POOLED) is None
    assert federated().held_out(TEST) is None


def test_a_run_is_judged_by_what_nodes_hold_out():
    data = table([i % 2 for i in range(40)])
    module = nn.Linear(1, 2)
    data = data.split(IID(), 4, holdout=0.25)
    run = fd.train(fd.FedAvg(rounds=1, local=fd.LocalSGD(lr=0.0)), fd.Model(module), data)
    assert run.evaluated_on.rows == "held out"
    x, y = data.rows(TEST).batch()
    loss = nn.functional.cross_entropy(run.model()(x), y).item()
    assert run.history[-1].loss == pytest.approx(loss, rel=1e-5)


# -- names -------------------------------------------------------------------------------------------------------


def test_nodes_keep_their_names():
    assert table([0, 1, 1], node=["bob", "ann", "bob"]).split(Natural()).node_names == ("ann", "bob")
    assert table([0, 1, 1], node=[10, 9, 10]).split(Natural()).node_names == ("9", "10")
    assert table([0, 1, 1]).split(IID(), 2).node_names is None


# -- inputs that are read when asked for -------------------------------------------------------------------------


def test_what_gathers_is_examples():
    assert isinstance(Kept(torch.zeros(2, 2)), Examples)
    assert not isinstance([0.0], Examples)


def moons(noise=0.0, asked_for=True):
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(60, 4)).astype("f")), torch.arange(60) % 3
    wrap = (lambda t: Kept(t, noise)) if asked_for else (lambda t: t)
    return Dataset(wrap(x[:48]), y[:48], 3, test_x=wrap(x[48:]), test_y=y[48:])


def train(data, workers=1, **local):
    """A short run on these data, which then lie where workers read them but are still the same data."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 3))
    job = fd.LocalSGD(**({"epochs": 2, "batch_size": 5, "lr": 0.1} | local))
    fed = data.split(IID(), 4, holdout=0.2)
    run = fd.train(fd.FedAvg(rounds=2, local=job), fd.Model(module), fed, runtime=fd.Simulation(workers=workers))
    assert fed.fingerprint == data.split(IID(), 4, holdout=0.2).fingerprint
    return run


@pytest.mark.parametrize("batch_size", [5, None])
def test_inputs_asked_for_give_the_bits_of_inputs_in_memory(batch_size):
    asked, held = (train(moons(asked_for=a), batch_size=batch_size) for a in (True, False))
    assert asked.sha256 == held.sha256
    assert [r.loss for r in asked.history] == [r.loss for r in held.history]


def test_inputs_that_draw_give_the_same_bits_with_two_workers():
    runs = [train(moons(noise=0.5), workers) for workers in (1, 2)]
    assert len({r.sha256 for r in runs}) == 1
    assert len({tuple(r.loss for r in run.history) for run in runs}) == 1
    assert runs[0].sha256 != train(moons()).sha256


@pytest.mark.parametrize("batch_size", [5, None])
def test_every_pass_draws_anew(batch_size):
    seen = []

    class Watched(Kept):
        def gather(self, index):
            x = super().gather(index)
            seen.append((index.tolist(), x))
            return x

    x, y = torch.zeros(8, 4), torch.arange(8) % 2
    data = Dataset(Watched(x, 1.0), y, 2, test_x=x, test_y=y).split(IID(), 1)
    job = fd.LocalSGD(epochs=3, batch_size=batch_size, lr=0.1)
    seen.clear()
    fd.train(fd.FedAvg(rounds=1, local=job), fd.Model(nn.Linear(4, 2)), data)
    of_row_0 = [x[at.index(0)].tolist() for at, x in seen if 0 in at and len(at) > 2]  # two are looked at beforehand
    assert len({tuple(row) for row in of_row_0}) == len(of_row_0) == 3


def test_dividing_data_that_draw_leaves_the_generator_alone():
    state = torch.get_rng_state()
    fed = moons(noise=1.0).split(IID(), 4)
    assert fed.fingerprint
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert moons(noise=1.0).split(IID(), 4).fingerprint == fed.fingerprint


def test_two_rows_of_32_bit_positions():
    fed = federated(index=torch.tensor([0, 1, 3, 4], dtype=torch.int32), x=Kept(torch.arange(12.0).view(6, 2)))
    x, y = fed.rows(1).batch()
    assert (x.tolist(), y.tolist()) == ([[6.0, 7.0], [8.0, 9.0]], [0, 1])
    assert fed.rows(1).batch(torch.tensor([1]))[0].tolist() == [[8.0, 9.0]]


def test_no_rows_at_all_have_the_shape_of_rows():
    fed = federated(x=Kept(torch.arange(12.0).view(6, 2)), held_offsets=torch.tensor([0, 0, 2]))
    x, y = fed.held_out(0).batch()
    assert (x.shape, y.shape) == ((0, 2), (0,))


# -- the fingerprint ---------------------------------------------------------------------------------------------


def test_the_fingerprint_does_not_depend_on_where_the_numbers_lie():
    x = torch.arange(24.0).view(6, 4)
    same = [
        federated(),
        federated(x=torch.arange(12.0).view(6, 2).clone()),
        federated(x=x[:, :2].copy_(torch.arange(12.0).view(6, 2))),  # every other pair of a larger memory
        federated(x=torch.arange(12.0).view(6, 2).t().contiguous().t()),  # column by column
        federated(name="another"),
    ]
    assert len({f.fingerprint for f in same}) == 1
    assert len(same[0].fingerprint) == 16
    moved = federated()
    moved.use({k: v.clone() for k, v in moved.tensors().items()})
    assert moved.fingerprint == same[0].fingerprint


BASE = federated()
CHANGES = {
    "a number": {"x": BASE.x.clone().index_fill_(0, torch.tensor([3]), 7.0)},
    "the type of the numbers": {"x": BASE.x.to(torch.int64)},
    "the shape of a row": {"x": BASE.x.view(6, 1, 2)},
    "a label": {"y": torch.tensor([0, 1, 2, 0, 1, 1])},
    "whose rows": {"index": torch.tensor([0, 3, 1, 4])},
    "how many rows each": {"offsets": torch.tensor([0, 1, 4])},
    "what is held out": {"held_index": torch.tensor([5, 2])},
    "who holds it out": {"held_offsets": torch.tensor([0, 2, 2])},
    "nothing is held out": {"held_index": None, "held_offsets": None},
    "a test set": {"test_x": torch.zeros(1, 2), "test_y": torch.tensor([0])},
    "another test set": {"test_x": torch.zeros(1, 2), "test_y": torch.tensor([1])},
    "inputs that are asked for": {"x": Kept(BASE.x)},
    "a number that is asked for": {"x": Kept(BASE.x + 1)},
    "a test number that is asked for": {"test_x": Kept(torch.ones(1, 2)), "test_y": torch.tensor([0])},
}


def test_any_change_of_data_or_ownership_changes_the_fingerprint():
    found = {"unchanged": BASE.fingerprint} | {what: federated(**c).fingerprint for what, c in CHANGES.items()}
    assert len(set(found.values())) == len(found), found


@given(st.integers(0, 5), st.integers(0, 1), st.floats(-100, 100, width=32))
def test_every_number_counts(row, column, value):
    x = BASE.x.clone()
    x[row, column] = value
    same_bits = torch.equal(x.view(torch.int32), BASE.x.view(torch.int32))
    assert (federated(x=x).fingerprint == BASE.fingerprint) == same_bits


# -- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": torch.tensor([0])}, "a federation needs at least one node"),
        ({"offsets": torch.tensor([0, 4, 4])}, "node 1 has no rows"),
        ({"offsets": torch.tensor([0, 2, 3])}, "offsets go from 0 to 3, expected 0 to 4"),
        ({"index": torch.tensor([0, 1, 3, 6])}, r"names rows outside 0\.\.5"),
        ({"held_index": torch.tensor([2, -1])}, r"names rows outside 0\.\.5"),
        ({"held_offsets": None}, "need both held_index and held_offsets, or neither"),
        ({"held_offsets": torch.tensor([0, 2])}, "held_offsets must be 3 numbers from 0 to 2, .* it has 2"),
        ({"held_offsets": torch.tensor([0, 1, 1])}, "held_offsets must be 3 numbers from 0 to 2, .* from 0 to 1"),
        ({"node_names": ("a",)}, "1 node names for 2 nodes"),
        ({"y": torch.tensor([0, 1, 2, 0, 1, 3])}, "label 3 in row 5 is outside the 3 classes"),
        ({"x": torch.full((6, 2), float("nan"))}, "x has 12 NaN or infinite values, the first in row 0, column 0"),
        ({"x": Kept(torch.full((6, 2), float("nan")))}, "x has 2 NaN or infinite values, the first in row 0"),
        ({"x": Kept(torch.zeros(5, 2))}, "5 rows of x but 6 of y"),
        ({"test_x": Kept(torch.zeros(1, 3)), "test_y": torch.tensor([0])}, r"test rows have shape \(3,\)"),
    ],
)
def test_what_does_not_fit(changes, message):
    with pytest.raises(BadInput, match=message):
        federated(**changes)
