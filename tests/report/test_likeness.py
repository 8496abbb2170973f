"""What stands in one column was measured alike, or is marked; nothing is said of a run that diverged."""

from dataclasses import dataclass

import pytest
import torch

from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.run import Record
from foedus.report import as_json, comparison
from foedus.report.document import render
from foedus.report.likeness import said
from foedus.report.race import TRAFFIC, race
from foedus.report.summary import compare
from foedus.report.verdict import tiles, verdict

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, learn, record


@dataclass(frozen=True)
class FedPer:
    rounds: int = 20


OWN = EvaluatedOn("train", "nodes", "own")


def run(program, end, on=EvaluatedOn("test"), up=1000, **more):
    return fake(program, learn(20, 0.1, end, 4, up=up, down=up), evaluated_on=on, **more)


def runs(**more):
    return {
        "alone": run(LocalOnly(), 0.4, EvaluatedOn("test", models="each"), up=0),
        "fed": run(FedAvg(), 0.8),
        "sync": run(SyncSGD(), 0.7, up=2000),
        "per": run(FedPer(), 0.95, OWN, **more),
    }


def test_numbers_of_other_rows_are_marked_and_left_out_of_every_sentence():
    c = compare(runs())
    assert c.chosen is not None
    assert c.chosen.label == "fed"
    assert [s.label for s in c.programs if c.odd(s)] == ["per"]
    assert c.target == 0.75  # 95 % of the best that is alike
    assert c.programs[3].reached is None
    for sentence in (verdict(c), race(c, TRAFFIC), *(t.what for t in tiles(c))):
        assert "per" not in sentence.replace("per node", "")
    whole = " ".join(comparison(runs()).plain(200).split())
    assert "* Not to be compared: accuracy of per is that on the training rows, at every node" in whole
    page = render(c, "a title")
    assert page.count('<span class="sign">*</span>') == 1
    assert "Not to be compared" in page
    assert [g["comparable"] for g in as_json(runs())["groups"]] == [True, True, True, False]


def test_like_beside_like_needs_no_mark():
    together = {k: r for k, r in runs().items() if k != "per"}
    assert not any("*" in line for line in said(compare(together)))
    at_nodes = {"per": run(FedPer(), 0.9, EvaluatedOn("held out", "nodes", "own")),
                "fed": run(FedAvg(), 0.8, EvaluatedOn("held out", "nodes"))}  # fmt: skip
    assert said(compare(at_nodes))[0] == (
        "Accuracy is that on the rows that nodes hold out, at every node with the model that it has."
    )


def test_an_auc_is_of_all_rows_wherever_they_are_and_a_function_of_ones_own_is_not():
    pooled, over_nodes = EvaluatedOn("held out"), EvaluatedOn("held out", "nodes")
    for metric in ("accuracy", "auc", "f1", "sensitivity_at_threshold_0.3"):
        assert pooled.like(over_nodes, metric)
        assert "mean over nodes" not in over_nodes.said(metric)
    assert not pooled.like(over_nodes, "my_own")
    assert over_nodes.like(over_nodes, "my_own")
    assert over_nodes.said("my_own").endswith("; my own is the mean over nodes, by their rows")
    own = EvaluatedOn("held out", "nodes", "own")
    assert not own.like(EvaluatedOn("held out", models="each"), "accuracy")
    assert not EvaluatedOn("test", models="program").like(EvaluatedOn("test"), "accuracy")


def test_seeds_that_were_measured_in_two_ways_are_marked():
    group = [run(FedAvg(), 0.8, seed=0), run(FedAvg(), 0.9, OWN, seed=1)]
    c = compare({"a": group, "b": run(SyncSGD(), 0.7)})
    assert [c.odd(s) for s in c.programs] == [True, False]


def test_what_programs_minimise_is_said():
    found = {"fed": run(FedAvg(), 0.8, objective="rows"), "sync": run(SyncSGD(), 0.7, objective="rows")}
    assert said(compare(found))[-1] == (
        "All that train together minimise the mean loss over all rows (nodes count by their rows)."
    )
    found["sync"].objective = "nodes"
    assert said(compare(found))[-1].startswith("They do not minimise the same: fed the mean loss over all rows")


@pytest.mark.parametrize("others", [{}, {"sync": run(SyncSGD(), 0.7)}])
def test_no_headline_of_a_run_that_diverged(others):
    c = compare({"fed": run(FedAvg(), 0.95, status="diverged"), "pooled": run(Centralized(), 0.9, up=0), **others})
    if others:
        assert c.chosen is not None
        assert c.chosen.label == "sync"
        assert c.target == 0.66
    else:
        assert verdict(c).startswith("fed diverged, so that nothing can be said of what working together brings. ")
        assert [t.what for t in tiles(c)] == ["accuracy, all data in one place"]
    assert "95" not in verdict(c)
    assert race(c, TRAFFIC) == "" or "fed" not in race(c, TRAFFIC)
    assert any("this is what was left" in line for line in said(c))


def test_other_models_in_one_table_are_remarked():
    small, large = (fake(FedAvg(), [record(9, 0.9, bytes_up=9)], vector=torch.zeros(n)) for n in (16, 2410))
    c = compare({"logistic": small, "mlp": large, "mlp 2": large})
    assert "They did not train the same model: logistic 16 numbers; mlp and mlp 2 2,410 numbers." in said(c)
    assert not [s for s in said(compare([small, small])) if "model" in s]


def test_runs_are_compared_by_what_most_of_them_measured():
    auc = [fake(FedAvg(), [Record(9, loss=0.1, auc=0.9, bytes_up=9)]) for _ in range(2)]
    other = fake(SyncSGD(), [Record(9, loss=0.2, accuracy=0.8, bytes_up=9)])
    c = compare([other, *auc])
    assert c.metric is not None
    assert c.metric.field == "auc"
    assert "SyncSGD was not measured by AUC." in said(c)
    # The loss is no measure of both: it may be of another kind.
    assert compare([other, auc[0]]).metric.field == "accuracy"
