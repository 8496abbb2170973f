"""What a run keeps of an evaluation, so that it can be drawn."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, confusion_matrix, roc_curve
from torch import nn

import foedus as fd
from foedus.core.coordination.drawn import POINTS, Drawn, curves
from foedus.core.coordination.judging import Found, Judging
from foedus.core.types.scoring import values

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
    drawn = curves([Drawn(s.coarse() if coarse else s)], 3)
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
    assert curves([Drawn(model.statistics(out, torch.zeros(600, dtype=torch.long)))], 1).roc is None
    plain = fd.Model(nn.Linear(1, 2))
    assert curves([Drawn(plain.statistics(out, torch.zeros(600, dtype=torch.long)))], 1) is None


@pytest.fixture(scope="module")
def data():
    g = np.random.default_rng(1)
    x = g.normal(size=(200, 4)).astype("f")
    y = (x[:, 0] + g.normal(size=200) > 0).astype(int)
    rows = fd.data.arrays(x[:150], y[:150], test=(x[150:], y[150:]))
    return rows.split(fd.data.IID(), nodes=3, seed=0, holdout=0.3)


def area(roc):
    x, y = map(np.array, zip(*roc, strict=True))
    return auc(x, y)


FIRST = torch.arange(600) % 3 > 0


def commits():
    """Four commits on 600 rows: the first half of them likes the second best, the other half the third."""
    model, out, y = scored()
    for spoilt in (None, ~FIRST, FIRST, slice(None)):
        output = out.clone() if spoilt is not None else 0 * out
        if spoilt is not None:
            output[spoilt] += torch.tensor([2.0, -2.0])
            output[spoilt] *= 0.5 + torch.rand(output[spoilt].shape, generator=torch.Generator().manual_seed(1))
        parts = [model.statistics(output[half], y[half]) for half in (FIRST, ~FIRST)]
        every = parts[0] + parts[1]
        yield Found(values(model.measures, every), [values(model.measures, p) for p in parts], (), parts), output


@pytest.mark.parametrize("stopped", [0, 1, 2, 3])
def test_halves_judged_in_two_rounds_are_drawn_together(stopped):
    model, _, y = scored()
    judging, outputs = Judging(), []
    for t, (found, output) in enumerate(commits(), 1):
        judging = judging.after(t, found, None, model.measures)
        if t == stopped:  # as a checkpoint has it
            judging = Judging.from_tree(judging.as_tree())
        outputs.append(output)
    assert [p.round for p, _ in judging.chosen] == [2, 3]
    assert judging.best == 2
    drawn = judging.curves()
    here, last = drawn["judged"], drawn["last"]
    # Round 2 is the first half's choice: it is drawn on the second, and the other way round.
    pairs = [(outputs[1][~FIRST], y[~FIRST]), (outputs[2][FIRST], y[FIRST])]
    matrices = [confusion_matrix(labels, out.argmax(1)) for out, labels in pairs]
    assert here.confusion == sum(matrices).tolist()
    areas = [auc(*roc_curve(labels, out[:, 1] - out[:, 0])[:2]) for out, labels in pairs]
    assert area(here.roc) == pytest.approx(np.average(areas, weights=[len(v) for _, v in pairs]), abs=0.01)
    (tn, fp), (fn, tp) = here.confusion
    assert here.at_half == pytest.approx((fp / (fp + tn), tp / (tp + fn)), abs=1e-5)
    assert (sum(c[0] for c in here.calibration), here.rows, here.round) == (600, 600, 3)
    assert (last.round, last.confusion) == (4, confusion_matrix(y, outputs[3].argmax(1)).tolist())


def test_the_mean_of_two_curves_goes_up_where_they_do():
    steps, line = [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]], [[0, 0], [1, 1]]
    parts = [Drawn(said={"rows": n, "roc": r, "at_half": [[1, 1], [2, 2]], "bins": [[1.0]] * 3, "confusion": None})
             for n, r in ((30, steps), (10, line))]  # fmt: skip
    found = curves(parts, 1).roc
    assert found == [(0, 0), (0, 0.375), (0.5, 0.5), (0.5, 0.875), (1, 1)]
    assert area(found) == pytest.approx((0.75 * 30 + 0.5 * 10) / 40)
    assert curves([parts[0], None], 1) is None


def test_a_run_keeps_the_judged_point_and_the_last(data, tmp_path):
    model = fd.Model(fd.models.logistic(4, 2), metrics=["auc", "accuracy"])
    program = fd.FedAvg(6, local=fd.LocalSGD(lr=3.0))
    run = fd.train(program, model, data, out=tmp_path / "run")
    assert run.judged.how == "held out"
    assert (run.curves["last"].round, run.curves["judged"].round) == (6, run.best.round)
    assert run.best.round < 6  # with these rates the last round is not the best
    x, y = data.test_x, data.test_y
    for which, name in (("last", "last"), ("best", "judged")):
        assert run.curves[name].confusion == confusion_matrix(y, run.model(which)(x).argmax(1)).tolist()
    again = fd.Run.load(tmp_path / "run")
    assert (again.curves, again.metrics, again.usual) == (run.curves, run.metrics, run.usual)
    for k in (1, 5):
        fd.train(program, model, data, out=tmp_path / str(k), stop=fd.AfterCommits(k))
        resumed = fd.train(program, model, data, out=tmp_path / str(k), resume=True)
        assert resumed.curves == run.curves


@pytest.mark.parametrize(("at", "runtime"), [("program", fd.Simulation(workers=2)), ("nodes", fd.Processes())])
def test_every_runtime_draws_the_same(data, at, runtime):
    model = fd.Model(fd.models.logistic(4, 2), metrics=["auc", "accuracy"])
    mine, there = (
        fd.train(fd.FedAvg(3, local=LOCAL), model, data, runtime=r, evaluate_at=at).curves
        for r in (fd.Simulation(), runtime)
    )
    assert mine["judged"].roc
    assert there == mine


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
