"""History is a list that a notebook shows as a table and that pandas takes; the ledger is likewise."""

import copy
import pickle
import sys

import pytest

import foedus as fd
from foedus import History, Record


@pytest.fixture
def run(model, data):
    return fd.train(fd.FedAvg(rounds=20), model, data, per_node=True, evaluate_nodes=20)


def test_it_is_a_list(run):
    history = run.history
    assert isinstance(history, list)
    assert history == list(history)
    assert pickle.loads(pickle.dumps(history)) == history == copy.deepcopy(history)
    assert isinstance(pickle.loads(pickle.dumps(history)), History)
    assert [r.round for r in history[-2:]] == [19, 20]
    assert isinstance(history[:3], History)
    assert [*history, Record(21)][-1] == Record(21)


def test_a_run_read_from_its_folder_has_one(model, data, tmp_path):
    run = fd.train(fd.FedAvg(rounds=2), model, data, out=tmp_path / "run")
    assert isinstance(fd.Run.load(tmp_path / "run").history, History)
    assert fd.Run.load(tmp_path / "run").history == run.history


def test_as_a_data_frame(run):
    found = run.history.to_pandas()
    assert list(found.index) == list(range(1, 21))
    assert found["loss"].tolist() == [r.loss for r in run.history]
    assert "rmse" not in found  # nobody measured it
    assert found["node_mean_accuracy"].isna().sum() == 19
    assert len(History().to_pandas()) == 0


def test_the_ledger_as_a_data_frame(run, model, data):
    found = run.ledger.to_pandas()
    assert list(found.index) == list(range(data.nodes))
    assert found["bytes_up"].sum() == run.ledger.bytes_up
    total = fd.train(fd.FedAvg(rounds=1), model, data).ledger.to_pandas()
    assert list(total.index) == ["total"]


def test_a_table_of_its_ends(run):
    html = run.history._repr_html_()
    assert html.count("<tr") == 1 + 13
    assert "train loss" in html
    assert "rmse" not in html


def test_without_pandas_it_says_so(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(fd.BadInput, match="pip install pandas"):
        run.history.to_pandas()
