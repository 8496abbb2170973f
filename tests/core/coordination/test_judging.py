"""At which commit a run is judged: chosen on rows that it is not judged on, the same however the run came about."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.coordination.judging import Found, Judging, better, mean_of
from foedus.core.types.metric import metric
from foedus.report.uncertainty import interval

ACCURACY = [metric("accuracy")]
LOCAL = fd.LocalSGD(epochs=1, batch_size=16, lr=0.1)


def found(all_rows, first, second, loss=1.0):
    return Found(
        {"accuracy": all_rows, "loss": loss}, [{"accuracy": first, "loss": loss}, {"accuracy": second, "loss": loss}]
    )


def judged(*commits, by=None):
    j = Judging()
    for t, f in enumerate(commits, 1):
        j = j.after(t, f, None if by is None else by[t - 1], ACCURACY)
    return j.judged(ACCURACY)


def test_each_half_is_judged_in_the_round_that_the_other_chose():
    j = judged(found(0.6, 0.5, 0.7), found(0.75, 0.8, 0.7), found(0.75, 0.6, 0.9), found(0.5, 0.5, 0.5))
    assert (j.rounds, j.how, j.by) == ((2, 3), "crossed", "accuracy")
    # The first half chose round 2, where the second has 0.7; the second chose 3, where the first has 0.6.
    assert j.here.values["accuracy"] == pytest.approx((0.7 + 0.6) / 2)
    assert j.last.values["accuracy"] == 0.5


def test_where_both_halves_agree_it_is_what_all_rows_have():
    j = judged(found(0.5, 0.5, 0.5), found(0.81, 0.8, 0.8), found(0.7, 0.7, 0.7))
    assert (j.rounds, j.here.values["accuracy"], j.last.values["accuracy"]) == ((2,), 0.81, 0.7)


def test_rows_to_choose_on_choose_for_others():
    on_others = [{"accuracy": a} for a in (0.5, 0.9, 0.6)]
    j = judged(found(0.6, 0.6, 0.6), found(0.4, 0.4, 0.4), found(0.9, 0.9, 0.9), by=on_others)
    assert (j.rounds, j.how, j.here.values["accuracy"]) == ((2,), "held out", 0.4)


def test_where_nothing_can_be_chosen_it_is_the_last():
    j = judged(Found({"accuracy": 0.9}), Found({"accuracy": 0.4}))
    assert (j.rounds, j.how, j.here.values, j.last.values) == ((2,), "last", {"accuracy": 0.4}, {"accuracy": 0.4})
    assert Judging().judged(ACCURACY) is None


def test_a_model_that_is_not_finite_changes_nothing():
    before = Judging().after(1, found(0.5, 0.5, 0.5), None, ACCURACY)
    assert before.after(2, Found({"loss": float("nan")}), None, ACCURACY) is before


def test_a_flat_metric_leaves_the_choice_to_the_loss():
    flat = [found(0.5, 0.5, 0.5, loss) for loss in (3.0, 1.0, 2.0)]
    assert judged(*flat).rounds == (2,)
    assert better({"loss": 1.0}, {"loss": 2.0}, ACCURACY)
    assert better({"accuracy": 0.1}, {}, ACCURACY)
    assert not better({"accuracy": 0.5, "loss": 1.0}, {"accuracy": 0.5, "loss": 1.0}, ACCURACY)
    assert not better({"loss": 0.1}, {"accuracy": 0.5, "loss": 1.0}, ACCURACY)  # nothing is known of the metric
    assert not better({"accuracy": float("nan")}, {"accuracy": 0.5}, ACCURACY)


def test_choosing_does_not_flatter():
    """Thirty rounds of guesses: the best of them looks better than it is, and the judged one does not."""
    rng = np.random.default_rng(0)
    best, seen = [], []
    for _ in range(200):
        right = rng.random((30, 100)) < 0.5
        commits = [found(r.mean(), r[:50].mean(), r[50:].mean()) for r in right]
        best.append(max(r.mean() for r in right))
        seen.append(judged(*commits).here.values["accuracy"])
    assert np.mean(best) > 0.58
    assert abs(np.mean(seen) - 0.5) < 4 * 0.05 / np.sqrt(200)


def test_several_models_are_their_mean():
    m = mean_of([found(0.5, 0.4, 0.6), found(0.7, 0.8, 0.6)])
    assert m == pytest.approx({"accuracy": 0.6, "loss": 1.0})
    assert [h["accuracy"] for h in m.halves] == pytest.approx([0.6, 0.6])
    assert not isinstance(mean_of([{"loss": 1.0}, {"loss": 2.0}]), Found)


# -- of runs -----------------------------------------------------------------------------------------------------------


def model(**kw):
    return fd.Model(fd.models.mlp(30, 8, 2), metrics=["auc", "accuracy"], **kw)


def data(holdout=None, test=None, seed=0):
    return fd.data.load("breast-cancer", test=test).split(fd.data.IID(), nodes=3, seed=seed, holdout=holdout)


def fedavg(rounds=4):
    return fd.FedAvg(rounds, local=LOCAL)


def auc(module, x, y):
    with torch.no_grad():
        z = module(x)
    z = z[:, 1] - z[:, 0]
    return float((z[y == 1][:, None] > z[y == 0]).double().mean())


def test_beside_test_rows_the_held_out_rows_choose():
    d = data(holdout=0.2, test=0.2)
    run = fd.train(fedavg(), model(), d)
    prefix = [fd.train(fedavg(t), model(), d).model() for t in range(1, 5)]
    held = [auc(m, d.x[d.held_index], d.y[d.held_index]) for m in prefix]
    assert run.judged.how == "held out"
    assert max(held) == held[run.judged.rounds[0] - 1]
    assert run.best.round == run.judged.rounds[0]
    assert run.best_vector.equal(fd.train(fedavg(run.best.round), model(), d).vector)
    t = run.judged.rounds[0]
    assert (
        run.judged.here.values["auc"] == run.history[t - 1].auc == pytest.approx(auc(prefix[t - 1], d.test_x, d.test_y))
    )
    assert run.judged.rows == len(d.test_y)


@pytest.mark.parametrize(("holdout", "test", "rows"), [(0.25, None, 143), (None, 0.2, 114)])
def test_one_hold_out_is_crossed(holdout, test, rows):
    run = fd.train(fedavg(), model(), data(holdout, test))
    assert (run.judged.how, run.judged.rows, run.judged.rarest is not None) == ("crossed", rows, True)
    assert set(run.judged.here.deviations) == {"auc", "accuracy", "loss"}
    assert 0.8 < interval([run], "auc").low < interval([run], "auc").high < 1


def test_on_training_rows_nothing_is_chosen_and_nothing_known_of_the_spread():
    run = fd.train(fedavg(), model(), data())
    assert (run.judged.how, run.judged.rounds, run.judged.here.deviations) == ("last", (4,), {})
    assert interval([run], "auc") is None


def test_nodes_and_coordinator_judge_alike():
    """The same rows have the same halves and groups wherever they are looked at."""
    d = data(holdout=0.25)
    here, there = (fd.train(fedavg(), model(), d, evaluate_at=at) for at in ("program", "nodes"))
    assert here.judged.rounds == there.judged.rounds
    for m in ("accuracy", "loss"):
        assert there.judged.here.values[m] == pytest.approx(here.judged.here.values[m], rel=1e-9)
        assert there.judged.here.deviation(m) == pytest.approx(here.judged.here.deviation(m), abs=1e-7)
    assert there.judged.here.deviation("auc") == pytest.approx(here.judged.here.deviation("auc"), abs=1e-4)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        (fd.LocalOnly(3, local=LOCAL), ("crossed", "held out")),
        (fd.Centralized(3, local=LOCAL), ("crossed", "held out")),
        (fd.FedPer(3, local=LOCAL), ("crossed", "crossed")),  # judged at the nodes, where its models are
        (fd.Ditto(3, local=LOCAL), ("crossed", "held out")),
    ],
)
def test_baselines_and_programs_with_personal_models_are_judged_alike(program, how):
    for d, expected in zip((data(holdout=0.25), data(holdout=0.25, test=0.2)), how, strict=True):
        run = fd.train(program, model(), d)
        assert run.judged.how == expected
        assert {"auc", "loss"} <= set(run.judged.here.deviations)


@pytest.mark.parametrize("seed", range(4))
def test_best_is_reported_by_rows_that_did_not_choose_it(seed, tmp_path):
    """One hold-out: what is called best has the judged point's values, whatever its round has on all rows."""
    d = data(holdout=0.25, seed=seed)
    run = fd.train(fd.FedAvg(6, local=fd.LocalSGD(epochs=2, batch_size=8, lr=0.5)), model(), d, out=tmp_path / "run")
    here = run.judged.here.values
    assert run.best.round in run.judged.rounds
    assert (run.best.auc, run.best.accuracy, run.best.loss) == (here["auc"], here["accuracy"], here["loss"])
    prefix = fd.train(fd.FedAvg(run.best.round, local=fd.LocalSGD(epochs=2, batch_size=8, lr=0.5)), model(), d)
    assert run.best_vector.equal(prefix.vector)
    again = fd.Run.load(tmp_path / "run")
    assert again.best == run.best
    assert torch.equal(torch.as_tensor(again.best_vector), run.best_vector)


def test_best_is_no_better_than_it_is():
    """Guesses again: the model that is kept is as good as what is said of it."""
    rng = np.random.default_rng(1)
    off = []
    for _ in range(300):
        true = rng.normal(0.6, 0.03, 20)
        j = Judging()
        for t, q in enumerate(true, 1):
            right = rng.random(100) < q
            j = j.after(t, found(right.mean(), right[:50].mean(), right[50:].mean()), None, ACCURACY)
        off.append(j.judged(ACCURACY).here.values["accuracy"] - true[j.best - 1])
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(300)


def test_a_run_that_was_stopped_is_judged_as_one_that_was_not(tmp_path):
    d = data(holdout=0.25)
    whole = fd.train(fedavg(), model(), d, out=tmp_path / "whole")
    part = fd.train(fedavg(), model(), d, stop=fd.AfterCommits(2), out=tmp_path / "part")
    again = fd.train(fedavg(), model(), d, resume=True, out=tmp_path / "part")
    assert again.judged == whole.judged
    assert max(part.judged.rounds) <= 2
    for name in ("whole", "part"):
        assert fd.Run.load(tmp_path / name).judged == whole.judged


def test_halves_are_no_other_evaluation():
    """What stands in the history is of all rows, as it was before there were halves."""
    d = data(holdout=0.25)
    run = fd.train(fedavg(), model(), d)
    assert run.history[-1].auc == pytest.approx(auc(run.model(), d.x[d.held_index], d.y[d.held_index]), abs=1e-12)


def test_rows_of_a_unit_stay_in_one_half_and_group():
    d = data(holdout=0.25)
    patients = replace(d, units=torch.arange(len(d.x)) // 4)
    cells = patients.rows(-3).cells
    of = patients.units[d.held_index.long()]
    assert all(len(set(cells[of == u].tolist())) == 1 for u in of.unique())
