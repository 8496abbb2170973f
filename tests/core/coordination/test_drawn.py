"""What a run keeps of an evaluation, so that it can be drawn."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, confusion_matrix, roc_curve
from torch import nn

import foedus as fd
from foedus.core.coordination.drawn import POINTS, curves

LOCAL = fd.LocalSGD(lr=0.1)


def scored(n=600):
    g = torch.Generator().manual_seed(0)
    out = 2 * torch.randn(n, 2, generator=g)
    y = (out[:, 1] - out[:, 0] + 2 * torch.randn(n, generator=g) > 0).long()
    return fd.Model(nn.Linear(1, 2), metrics=["auc", "f1"]), out, y


@pytest.mark.parametrize("coarse", [False, True])
def test_they_are_those_of_sklearn(coarse):
    model, out, y = scored()
    s = model.statistics(out, y)
    drawn = curves(s.coarse() if coarse else s, 3)
    p = out.softmax(1)[:, 1].numpy()
    fpr, tpr, _ = roc_curve(y, p)
    x, found = map(np.array, zip(*drawn.roc, strict=True))
    assert (drawn.roc[0], drawn.roc[-1]) == ((0, 0), (1, 1))
    assert len(drawn.roc) <= POINTS + 1
    assert auc(x, found) == pytest.approx(auc(fpr, tpr), abs=0.005)
    assert drawn.confusion == confusion_matrix(y, out.argmax(1)).tolist()
    (tn, fp), (fn, tp) = drawn.confusion
    assert drawn.at_half == pytest.approx((fp / (fp + tn), tp / (tp + fn)), abs=1e-5)
    so, said = calibration_curve(y, p, n_bins=10)
    assert [c[2] for c in drawn.calibration] == pytest.approx(so, abs=1e-4)
    assert [c[1] for c in drawn.calibration] == pytest.approx(said, abs=2e-3)
    assert sum(c[0] for c in drawn.calibration) == drawn.rows == 600


def test_there_are_none_of_one_class_or_of_sums_alone():
    model, out, _ = scored()
    assert curves(model.statistics(out, torch.zeros(600, dtype=torch.long)), 1).roc is None
    plain = fd.Model(nn.Linear(1, 2))
    assert curves(plain.statistics(out, torch.zeros(600, dtype=torch.long)), 1) is None


@pytest.fixture(scope="module")
def data():
    g = np.random.default_rng(1)
    x = g.normal(size=(200, 4)).astype("f")
    y = (x[:, 0] + g.normal(size=200) > 0).astype(int)
    rows = fd.data.arrays(x[:150], y[:150], test=(x[150:], y[150:]))
    return rows.split(fd.data.IID(), nodes=3, seed=0, holdout=0.3)


def test_a_run_keeps_the_last_and_the_best(data, tmp_path):
    model = fd.Model(fd.models.logistic(4, 2), metrics=["auc"])
    run = fd.train(fd.FedAvg(5, local=LOCAL), model, data, out=tmp_path / "run")
    assert (run.curves["last"].round, run.curves["best"].round) == (5, run.best.round)
    x, y = data.test_x, data.test_y
    assert run.curves["last"].confusion == confusion_matrix(y, run.model()(x).argmax(1)).tolist()
    again = fd.Run.load(tmp_path / "run")
    assert (again.curves, again.metrics, again.usual) == (run.curves, run.metrics, run.usual)
    resumed = fd.train(fd.FedAvg(5, local=LOCAL), model, data, resume=run)
    assert resumed.curves == run.curves


def test_at_nodes_nothing_is_sent_that_the_metrics_do_not_need(data):
    plain = fd.train(fd.FedAvg(1, local=LOCAL), fd.Model(fd.models.logistic(4, 2)), data, evaluate_at="nodes")
    assert plain.curves["last"] is None
    here = fd.train(fd.FedAvg(1, local=LOCAL), fd.Model(fd.models.logistic(4, 2)), data)
    assert sum(map(sum, here.curves["last"].confusion)) == 50
    assert here.curves["last"].roc is None


def test_models_of_nodes_own_have_them_where_each_is_measured_on_its_rows(data):
    model = fd.Model(fd.models.logistic(4, 2), metrics=["auc", "accuracy"])
    alone = fd.train(fd.LocalOnly(2, local=LOCAL), model, data, evaluate_at="nodes")
    assert alone.curves["last"].rows == sum(data.holdout_sizes)
    assert not fd.train(fd.LocalOnly(2, local=LOCAL), model, data).curves.get("last")
