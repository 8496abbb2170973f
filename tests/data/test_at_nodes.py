"""Rows that stay at their nodes: a run over them is the run over one data set of all rows, bit by bit.

Where there are processes, the loaders refuse to be called in this one: whatever passes has held no row here.
"""

import gc
import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import AtNodes, Natural, TableFile, arrays, load
from foedus.data.tables import formats

from .tables.make_hospitals import HOSPITALS, make

K, N = 4, 90
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5)).astype("float32")
Y = (X[:, 0] + 0.5 * RNG.normal(size=N) > 0).astype(int)
NODE = np.sort(RNG.integers(0, K, N))


@dataclass(frozen=True)
class Mine:
    """A node's rows of the arrays above. ``not_in``: the process that must not load any."""

    not_in: int = 0
    regression: bool = False

    def __call__(self, node):
        assert os.getpid() != self.not_in, "the coordinator has loaded rows"
        y = X[:, 1] if self.regression else Y
        return arrays(X[node == NODE], y[node == NODE])


def model(features=5, outputs=2):
    torch.manual_seed(0)
    return fd.Model(nn.Linear(features, outputs))


def train(data, runtime=None, program=None, net=None, **options):
    program = program or fd.FedAvg(rounds=3)
    return fd.train(program, net or model(), data, runtime=runtime or fd.Simulation(), seed=1, **options)


FEW = 2
"""Nodes where each is a process: to start one takes a second."""
ELSEWHERE = AtNodes(Mine(os.getpid()), FEW)
HERE = AtNodes(Mine(), FEW)


@pytest.mark.parametrize("holdout", [None, 0.25])
def test_in_simulation_it_is_the_run_over_all_rows(holdout):
    whole = train(arrays(X, Y, node=NODE).split(Natural(), holdout=holdout, seed=3))
    run = train(AtNodes(Mine(), K, holdout=holdout, seed=3))
    assert run.sha256 == whole.sha256
    assert run.ledger.total == whole.ledger.total
    assert [r.virtual_s for r in run.history] == [r.virtual_s for r in whole.history]
    assert (run.nodes, run.sizes, run.label_counts) == (whole.nodes, whole.sizes, whole.label_counts)
    # What nodes find is that of all rows together, in another order of sums.
    assert run.evaluated_on.rows == whole.evaluated_on.rows == ("train" if holdout is None else "held out")
    for a, b in zip(run.history, whole.history, strict=True):
        assert a.accuracy == pytest.approx(b.accuracy, rel=1e-6)
        assert a.loss == pytest.approx(b.loss, rel=1e-5)
        assert a.epochs == b.epochs


def test_what_nodes_would_tell_can_be_asked(files):
    told = hospitals(files).ask(fd.Simulation())
    assert (len(told.feature_names), told.classes) == (30, 2)
    assert sum(told.sizes) == sum(HOSPITALS.values())


def test_any_number_of_workers_has_the_same_bits():
    assert train(ELSEWHERE, fd.Simulation(workers=2)).sha256 == train(HERE).sha256


# A device's operations are counted where a row is.
@pytest.mark.parametrize(
    "runtime", [fd.Processes(device=fd.network.Device(flops_per_second=1e9)), fd.Processes(exchange="tree")]
)
def test_in_node_processes_no_row_was_ever_here(runtime):
    run = train(HERE, evaluate_nodes=2)
    there = train(ELSEWHERE, runtime, evaluate_nodes=2)
    assert there.sha256 == run.sha256
    assert [r.loss for r in there.history] == [r.loss for r in run.history]
    assert there.node_metrics == run.node_metrics
    assert there.label_counts == run.label_counts


def test_peers_evaluate_what_the_parent_cannot():
    gossip = fd.programs.Gossip(rounds=3, topology=fd.topologies.Ring())
    mine = NODE < FEW
    whole = train(arrays(X[mine], Y[mine], node=NODE[mine]).split(Natural()), program=gossip)
    run = train(HERE, program=gossip)
    there = train(ELSEWHERE, fd.Processes(), gossip)
    assert run.sha256 == whole.sha256 == there.sha256
    assert there.history[-1].metrics == run.history[-1].metrics
    for name, value in whole.history[-1].metrics.items():
        assert run.history[-1].metrics[name] == pytest.approx(value, rel=1e-6)


def test_it_goes_on_from_a_checkpoint(tmp_path):
    data = AtNodes(Mine(), K)
    whole = train(data, program=fd.FedAvg(rounds=4))
    train(data, program=fd.FedAvg(rounds=4), out=tmp_path / "run", stop=fd.sampling.AfterCommits(2))
    assert train(data, program=fd.FedAvg(rounds=4), out=tmp_path / "run", resume=True).sha256 == whole.sha256
    with pytest.raises(BadInput, match="of another run: its nodes is 4"):
        train(AtNodes(Mine(), K - 1), resume=whole)


def test_a_regression():
    net = fd.Model(nn.Linear(5, 1), loss="mse")
    whole = train(arrays(X, X[:, 1], node=NODE).split(Natural()), net=net)
    run = train(AtNodes(Mine(regression=True), K), net=net)
    assert run.sha256 == whole.sha256
    assert run.label_counts is None
    assert run.history[-1].rmse == pytest.approx(whole.history[-1].rmse, rel=1e-5)


def test_rows_that_a_node_holds_out_itself():
    def load(node):
        mine = node == NODE
        test = (X[mine][:3], Y[mine][:3]) if node else None
        return arrays(X[mine][3:], Y[mine][3:], test=test)

    run = train(AtNodes(load, K), evaluate_nodes=1)
    assert run.evaluated_on.rows == "held out"
    # Node 0 keeps none, and evaluates on none.
    assert [m is None for m in run.node_metrics["loss"]] == [True, False, False, False]


def test_labels_that_nobody_tells():
    run = train(AtNodes(Mine(), K, tell_labels=False))
    assert run.label_counts is None
    assert run.sha256 == train(AtNodes(Mine(), K)).sha256


@pytest.mark.parametrize("runtime", [fd.Simulation(), fd.Processes()])
def test_a_program_that_needs_all_rows_is_refused(runtime):
    with pytest.raises(BadInput, match="needs all rows in one place, and the rows are only at their nodes"):
        train(AtNodes(Mine(), 1), runtime, fd.programs.Centralized(rounds=1))


def test_what_does_not_fit_is_said():
    def odd(node):
        return arrays(np.ones((4, 3 + (node == 2))), [0, 1, 0, 1])

    with pytest.raises(BadInput, match=r"data differ: node 2 has rows of x float32 \(4,\) and y int64 \(\), node 0"):
        train(AtNodes(odd, 3))
    with pytest.raises(BadInput, match=r"must answer with a Dataset.*it answered with a list"):
        train(AtNodes(lambda node: [1, 2], 3))
    with pytest.raises(BadInput, match="node north cannot tell of its data: ZeroDivisionError"):
        train(AtNodes(lambda node: 1 // node, 2, node_names=("north", "south")))
    with pytest.raises(BadInput, match="the model cannot take this data"):
        train(AtNodes(Mine(), K), net=model(features=7))
    with pytest.raises(BadInput, match="how many nodes"):
        AtNodes(Mine(), 0)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The hospitals' table as one file, and a file for each hospital; a column that is empty at one of them."""
    folder = tmp_path_factory.mktemp("hospitals")
    header, *rows = make().splitlines()
    at = header.split(",").index("hospital")
    chol = header.split(",").index("chol")

    def emptied(row):
        cells = row.split(",")
        if cells[at] == "Hungary":
            cells[chol] = "?"
        return ",".join(cells)

    rows = [emptied(row) for row in rows]
    (folder / "all.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for node, name in enumerate(sorted(HOSPITALS)):
        mine = [row for row in rows if row.split(",")[at] == name]
        (folder / f"hospital-{node}.csv").write_text("\n".join([header, *mine]) + "\n", encoding="utf-8")
    return folder


def hospitals(folder, **options):
    table = TableFile(str(folder / "hospital-{node}.csv"), "disease", {"id": "patient", "drop": ["hospital"]})
    return AtNodes(table, len(HOSPITALS), **options)


def train_hospitals(data, runtime=None, **options):
    return train(data, runtime, fd.FedAvg(rounds=3), model(30), **options)


@pytest.mark.parametrize("holdout", [None, 0.2])
def test_a_table_prepared_at_its_nodes_is_the_table_in_one_place(files, holdout):
    table = load("csv", path=files / "all.csv", target="disease", node="hospital", id="patient", test=None)
    split = table.split(holdout=holdout, seed=2)
    whole = train_hospitals(split)
    run = train_hospitals(hospitals(files, holdout=holdout, seed=2))
    assert run.preparation.recipe == whole.preparation.recipe
    assert run.sha256 == whole.sha256
    assert run.class_names == whole.class_names == ("no", "yes")
    assert run.label_counts == whole.label_counts
    assert run.history[-1].loss == pytest.approx(whole.history[-1].loss, rel=1e-5)


def test_a_table_of_which_only_node_processes_read_a_file(files, monkeypatch):
    run = train_hospitals(hospitals(files))

    def tables():
        gc.collect()
        return [t for t in gc.get_objects() if type(t) is torch.Tensor and t.dim() == 2 and len(t) > 20]

    before = tables()  # other tests' of this process

    def look(record):
        held = [t for t in tables() if not any(t is b for b in before)]
        assert not held, "the coordinator holds rows"

    with pytest.raises(AssertionError, match="holds rows"):
        train_hospitals(hospitals(files), progress=look)

    def refused(*args):
        raise AssertionError("the coordinator has read a file")

    monkeypatch.setattr(formats, "open_text", refused)  # in this process; the nodes' have their own
    with pytest.raises(BadInput, match="the coordinator has read a file"):
        train_hospitals(hospitals(files))
    gc.collect()
    there = train_hospitals(hospitals(files), fd.Processes(), progress=look)
    assert there.sha256 == run.sha256
    assert there.preparation == run.preparation


def write(folder, *columns):
    """A file for each node of its columns by name."""
    for node, cells in enumerate(columns):
        rows = zip(*cells.values(), strict=True)
        text = "\n".join([",".join(cells), *(",".join(map(str, row)) for row in rows)])
        (folder / f"t{node}.csv").write_text(text + "\n", encoding="utf-8")
    names = list(columns[0])
    lines = [",".join([*names, "node"])]
    for node, cells in enumerate(columns):
        lines += [",".join([*map(str, row), str(node)]) for row in zip(*(cells[n] for n in names), strict=True)]
    (folder / "all.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def both(folder, nodes, holdout=None, **options):
    """``(recipe, label counts)`` agreed on at the nodes, and in one place."""
    whole = load("csv", path=folder / "all.csv", target="y", node="node", test=None, **options).split(holdout=holdout)
    outputs = 1 if whole.classes is None else whole.classes
    net = fd.Model(nn.Linear(len(whole.feature_names), outputs), "mse" if whole.classes is None else "cross_entropy")
    program = fd.FedAvg(rounds=1)
    here = train(whole, program=program, net=net)
    data = AtNodes(TableFile(str(folder / "t{node}.csv"), "y", options), nodes, holdout=holdout)
    there = train(data, program=program, net=net)
    assert there.sha256 == here.sha256
    assert there.preparation.recipe == here.preparation.recipe
    assert there.label_counts == here.label_counts
    return there


def test_a_column_is_text_if_it_is_at_any_node(tmp_path):
    write(
        tmp_path,
        {"a": [1, 2, 3], "code": [1, 2.0, ""], "gap": ["", "?", ""], "y": ["yes", "yes", "yes"]},
        {"code": ["x", "long word", "x"], "a": [4, "", 6], "gap": ["red", "", "Blue"], "y": ["no", "", "no"]},
        {"gap": ["red", "red"], "a": [0, 1], "y": ["maybe", "no"], "code": ["", "x"]},
    )
    run = both(tmp_path, 3)
    assert "code = 1" in run.preparation.recipe.feature_names
    assert run.class_names == ("maybe", "no", "yes")
    assert any("1 row without a y left out" in line for line in run.preparation.lines)


def test_a_target_is_an_amount_unless_all_nodes_see_few_integers(tmp_path):
    write(tmp_path, {"a": [1, 2, 3], "y": [1, 2, 3]}, {"a": [1, 2, 5], "y": [1.5, 2, 3]})
    assert both(tmp_path, 2).class_names is None
    write(tmp_path, {"a": [1, 2, 3], "y": [1, 2, 3]}, {"a": [1, 2, 5], "y": [10, 2, 3]})
    assert both(tmp_path, 2).class_names == ("1", "2", "3", "10")


@pytest.mark.parametrize(
    ("positive", "names"), [(">1", ("<=1", ">1")), ([2, 3], ("other", "2 or 3")), ([0, 2, 3], ("1", "0, 2 or 3"))]
)
def test_two_classes_of_more(tmp_path, positive, names):
    write(tmp_path, {"a": [1, 2, 3], "y": [0, 1, "?"]}, {"a": [1, 2, 5], "y": [3, 2.0, 2]}, {"a": [4, 5], "y": [2, 3]})
    run = both(tmp_path, 3, positive=positive)
    assert run.class_names == names


def test_rows_that_belong_together_are_held_out_together(tmp_path):
    def columns(node):
        rows = range(40)
        return {"who": [f"{node}{i // 4}" for i in rows], "a": [i % 7 for i in rows], "y": [i // 4 % 2 for i in rows]}

    write(tmp_path, columns("p"), columns("q"))
    run = both(tmp_path, 2, holdout=0.25, group="who")
    assert run.preparation.recipe.feature_names == ("a",)
    assert sum(map(sum, run.label_counts)) == 64  # five of twenty groups are held out, less one for the share of each


def test_a_column_that_a_node_lacks_is_missing_there(tmp_path):
    rows = [
        {"a": [1, 2, 3], "b": [4, 5, 7], "y": [0, 1, 1]},
        {"c": ["u", "v"], "a": [3, 4], "y": [1, 0]},
        {"y": [1, 0], "a": [5, 9], "b": [1, 1], "c": ["v", ""]},
    ]
    for node, columns in enumerate(rows):
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (tmp_path / f"t{node}.csv").write_text("\n".join(lines) + "\n")
    options = {"text": ["c"], "missing_values": {"b": ["1"]}}
    net = fd.Model(nn.Linear(6, 2))
    whole = load("csv", path=tmp_path, target="y", test=None, **options).split()
    here = train(whole, program=fd.FedAvg(rounds=1), net=net)
    there = train(
        AtNodes(TableFile(str(tmp_path / "t{node}.csv"), "y", options), 3), program=fd.FedAvg(rounds=1), net=net
    )
    assert there.preparation.recipe == here.preparation.recipe
    assert there.sha256 == here.sha256
    assert there.preparation.recipe.feature_names == ("a", "b", "b missing", "c = u", "c = v", "c missing")
    assert "node 1 has no b: missing in all its rows" in there.preparation.lines


def test_what_cells_mean_is_agreed_on_where_they_are(tmp_path):
    write(
        tmp_path,
        {"chol": [0, 210, "0.0"], "price": ["5 €", "1.50 €", ""], "sex": ["M", "female", "f"], "y": [0, 1, 1]},
        {"chol": [190, "?", 200], "price": ["2 €", "0 €", "9 €"], "sex": ["male", "F", "m"], "y": [1, 0, 0]},
    )
    run = both(
        tmp_path,
        2,
        missing_values={"chol": ["0"], "price": ["0"]},
        numeric=["price"],
        spelling={"sex": {"M": "male", "F": "female"}},
    )
    assert run.preparation.recipe.feature_names[-2:] == ("sex = female", "sex = male")


def test_amounts_of_a_target_are_not_told(tmp_path):
    write(tmp_path, {"a": [1, 2, 3], "y": [1.25, 2, 3]})
    for options in ({}, {"positive": ">1.5"}):
        said = TableFile(str(tmp_path / "t{node}.csv"), "y", options)(0).rows.tell()
        assert said["target"]["labels"] == (["<=1.5", ">1.5"] if options else None)
        assert "1.25" not in str(said)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            ({"a": [1, 2], "y": [0, 1]}, {"A": [1, 2], "y": [0, 1]}),
            {},
            "node 0 has a column 'a' and node 1 a column",
        ),
        (({"a": [1, 2], "y": [0, 1]}, {"a": [1, 2], "z": [0, 1]}), {}, "target: there is no column 'y'"),
        (({"a": [1, 2], "y": [0, 1]}, {"b": [1, 2], "y": [0, 1]}), {"text": ["c"]}, "text: there is no column 'c'"),
        (({"a": [1, 2], "y": [0, 1]},) * 2, {"rename": {"c": "d"}}, "rename: there is no column 'c'"),
        (
            ({"a": ["1 €", 2], "y": [0, 1]}, {"a": ["$1", 2], "y": [0, 1]}),
            {"numeric": ["a"]},
            "column a holds amounts in two units: node 0 is in €, node 1 in \\$",
        ),
        (
            ({"a": [1, 2], "y": [0, 1]}, {"a": ["x", ""], "y": [0, 1]}),
            {},
            "a is of numbers at node 0 and of text at node 1",
        ),
        (({"a": ["", ""], "b": [1, 2], "y": [0, 1]},) * 2, {}, "column a has no value in any of the 4 rows"),
        (
            ({"a": [1, 2], "y": [1, 1]},) * 2,
            {},
            "target y is '1' in all rows that have one, so there",
        ),
        (({"a": [1, 2], "y": ["no", "yes"]}, {"a": [1, 2], "y": [0.5, 1.25]}), {}, "not a number at every node"),
        (({"a": [1, 2], "y": ["", ""]},), {}, "node 0 cannot prepare its table: .*y is missing in all 2 rows"),
        (
            ({"a": [1, 2], "y": [0.5, 0.5]},) * 2,
            {},
            "target y is 0.5 in all training rows, so there is",
        ),
        (({"a": [1, 2], "y": [1, 2]},) * 2, {"positive": ">2"}, "positive: y is <=2 in all rows that have one"),
        (({"a": [1, 2], "y": [0, 1]},) * 2, {"positive": [2]}, "the target y has no label 2: It has 0, 1"),
        (
            ({"a": [1, 2], "y": [0, 1]}, {"a": [1, 2], "y": ["no", "yes"]}),
            {"positive": ">0"},
            "target y is of text at node 1, and positive, '>0', compares numbers",
        ),
        (({"a": [1, 2], "y": [0, 1]},), {"dorp": ["a"]}, "a table has no option 'dorp': did you mean 'drop'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, columns, options, message):
    write(tmp_path, *columns) if len({*map(tuple, columns)}) == 1 else [
        (tmp_path / f"t{i}.csv").write_text(
            "\n".join([",".join(c), *(",".join(map(str, r)) for r in zip(*c.values(), strict=True))]) + "\n"
        )
        for i, c in enumerate(columns)
    ]
    with pytest.raises(BadInput, match=message):
        train(AtNodes(TableFile(str(tmp_path / "t{node}.csv"), "y", options), len(columns)))


def test_a_file_for_each_node(tmp_path):
    write(tmp_path, {"a": [1, 2], "y": [0, 1]}, {"a": [1, 3], "y": [1, 1]})
    table = TableFile((tmp_path / "t1.csv", tmp_path / "t0.csv"), "y")
    assert table.file(0).name == "t1.csv"
    assert train(AtNodes(table, 2), net=model(1)).sizes == [2, 2]
    with pytest.raises(BadInput, match="names 2 files, and there is a node 2"):
        train(AtNodes(table, 3), net=model(1))
    with pytest.raises(BadInput, match="is one file for all nodes"):
        train(AtNodes(TableFile("t.csv", "y"), 2))
