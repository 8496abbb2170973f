"""Runs in numbers: which metric, which target, who reached it and when."""

import math

import pytest

from foedus.core.errors import BadInput
from foedus.core.records.ledger import Costs
from foedus.core.records.run import Record
from foedus.report.summary import ALONE, POOLED, SILENT, TOGETHER, compare, named

from .fakes import Centralized, FedAvg, LocalOnly, Simulation, SyncSGD, fake, judged, record


def test_labels_are_class_names_numbered_where_shared():
    runs = [fake(FedAvg(), []), fake(SyncSGD(), []), fake(FedAvg(), [])]
    assert list(named(runs)) == ["FedAvg 1", "SyncSGD", "FedAvg 2"]
    assert list(named({"mine": runs[0]})) == ["mine"]
    assert list(named(runs[1])) == ["SyncSGD"]


@pytest.mark.parametrize("runs", [[], {}, [1], {"a": None}])
def test_what_is_not_a_run_is_refused(runs):
    with pytest.raises(BadInput):
        compare(runs)


def test_roles():
    c = compare(
        {
            "c": fake(Centralized(), [record(1, 0.5)]),
            "l": fake(LocalOnly(), [record(1, 0.5)]),
            "f": fake(FedAvg(), [record(1, 0.5, bytes_up=8)]),
            "s": fake(Simulation(), [record(1, 0.5)]),
        }
    )
    assert [s.role for s in c.programs] == [POOLED, ALONE, TOGETHER, SILENT]


def test_default_target_is_95_per_cent_of_the_best_federated_in_whole_per_cents():
    best = [record(1, 0.30, bytes_up=1), record(2, 0.913, bytes_up=2), record(3, 0.90, bytes_up=3)]
    c = compare([fake(FedAvg(), best), fake(Centralized(), [record(1, 0.99)])])
    assert c.target == 0.87  # 0.95 * 0.913 = 0.867, and not 0.95 * 0.99 = 0.94


@pytest.mark.parametrize("best", [0.0123, 0.99, 1.0, 7.77, 12345.0, -3.0, 0.0])
def test_default_target_of_an_error_is_reached_by_the_best(best):
    c = compare(fake(FedAvg(), [Record(1, rmse=best + 10, bytes_up=1), Record(2, rmse=best, bytes_up=2)]))
    assert c.target is not None
    assert best <= c.target <= best + 0.16 * abs(best)
    assert c.programs[0].reached is not None


def test_the_first_record_at_the_target_counts():
    history = [record(1, 0.1), record(2, None), record(3, 0.8), record(4, 0.7), record(5, 0.9)]
    [s] = compare(fake(FedAvg(), history), target=0.75).programs
    assert s.reached is history[2]
    assert (s.final, s.most) == (0.9, 0.9)
    assert compare(fake(FedAvg(), history), target=0.95).programs[0].reached is None


@pytest.mark.parametrize("target", [95, -0.1, math.nan, math.inf])
def test_a_target_out_of_range_is_refused(target):
    with pytest.raises(BadInput, match="between 0 and 1"):
        compare(fake(FedAvg(), [record(1, 0.5)]), target)


def test_a_target_in_per_cent_gets_a_hint():
    with pytest.raises(BadInput, match=r"did you mean 0\.95\?"):
        compare(fake(FedAvg(), [record(1, 0.5)]), 95)


def test_metrics_fall_back_from_accuracy_to_training_loss():
    for field in ("accuracy", "auc", "rmse", "loss", "train_loss"):
        c = compare(fake(FedAvg(), [Record(1, **{field: 0.5})]))
        assert c.metric is not None
        assert c.metric.field == field
    assert compare(fake(FedAvg(), [Record(1, accuracy=math.nan)])).metric is None


def test_costs_are_those_of_the_last_commit_or_of_the_ledger():
    run = fake(FedAvg(), [record(1, 0.5, bytes_up=3), record(2, None, bytes_up=6, bytes_down=1)])
    run.ledger.charge(0, Costs(bytes_up=99))
    assert compare(run).programs[0].bytes == 7
    bare = fake(FedAvg(), [])
    bare.ledger.charge(0, Costs(bytes_up=99, samples=30.0))
    [s] = compare(bare).programs
    assert (s.bytes, s.last.epochs) == (99, 0.5)  # 30 of 10 + 20 + 30 rows


def test_of_those_that_cannot_be_told_from_the_best_the_one_that_cost_least_is_chosen():
    a = fake(SyncSGD(), [record(1, 0.952, bytes_up=100)])
    b = fake(FedAvg(), [record(1, 0.950, bytes_up=10)])
    assert chosen(a, b) == "SyncSGD"  # nothing tells how far chance goes
    assert chosen(judged(a, 0.02, 0.004), judged(b, 0.02, 0.004)) == "FedAvg"
    assert chosen(a, judged(fake(FedAvg(), [record(1, 0.90, bytes_up=10)]), 0.02, 0.004)) == "SyncSGD"
    # Of the same traffic the one that computes less, then the best.
    c, d = (judged(fake(FedAvg(), [record(1, 0.95, bytes_up=9, epochs=e)]), 0.02) for e in (5.0, 2.0))
    assert chosen(c, d) == "FedAvg 2"
    e, f = (judged(fake(FedAvg(), [record(1, a, bytes_up=9)]), 0.02) for a in (0.95, 0.951))
    assert chosen(e, f) == "FedAvg 2"


def chosen(*runs):
    found = compare([*runs]).chosen
    return found and found.label
