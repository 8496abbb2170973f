"""Every node by its name: alone, together, pooled, on its own rows and on everybody's, and what it gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foedus.core.records.judged import as_bytes
from foedus.core.types.cells import GROUPS
from foedus.report import as_json, comparison, page, show
from foedus.report.by_node import WORST, by_node, gain_of, listed, sentence
from foedus.report.summary import compare

from .fakes import Centralized, FedAvg, LocalOnly, fake, learn
from .test_page import Page

NAMES = ("Cleveland", "Hungary", "Long Beach", "Switzerland")


def moved(spread, node, own=0):
    """How groups of a node's rows move its accuracy: by the same for all programs, but for ``own``."""
    drawn = np.random.default_rng([node, own]).standard_normal(GROUPS)
    return {"accuracy": as_bytes(spread * drawn / np.sqrt((drawn**2).sum()))}


def run(program, values, rows=100, spread=0.05, own=0, **changes):
    n = len(values)
    common = moved
    fields = {
        "nodes": n, "sizes": [300] * n, "label_counts": None,
        "node_names": NAMES if n == 4 else None,
        "node_metrics": {"accuracy": list(values)},
        "node_rows": [rows] * n if isinstance(rows, int) else list(rows),
        "node_rarest": None,
        "node_deviations": [common(spread, k, own) for k in range(n)],
    }  # fmt: skip
    sent = 0 if isinstance(program, LocalOnly | Centralized) else 10
    return fake(program, learn(9, 0.2, 0.9, 3, up=sent), **(fields | changes))


def hospitals(together=(0.86, 0.80, 0.70, 0.90), **changes):
    alone = run(LocalOnly(), (0.80, 0.79, 0.75, 0.60), node_everybody={"accuracy": [0.7, 0.6, 0.5, None]}, **changes)
    return [alone, run(FedAvg(), together, **changes), run(Centralized(), (0.87, 0.81, 0.77, 0.91), **changes)]


def found_of(runs):
    found = by_node(compare(runs))
    assert found is not None
    return found


def test_numbers_are_those_of_the_groups_by_name():
    found = found_of(hospitals())
    assert list(found.groups) == ["alone", "together", "pooled"]
    assert [n.name for n in found.nodes] == list(NAMES)
    third = found.nodes[2]
    assert (third.rows, third.few) == (100, False)
    assert third.own == {"alone": 0.75, "together": 0.70, "pooled": 0.77}
    assert third.everybody == {"alone": 0.5}
    assert third.gain is not None
    assert third.gain.value == pytest.approx(-0.05)


def test_gains_and_losses_are_claimed_beyond_an_interval_of_all_nodes_at_once():
    """Deviations are the same for both programs, so that a difference is sure however small."""
    assert sentence(found_of(hospitals())) == (
        "3 of 4 nodes gain on their own rows: Switzerland 30.0 points, Cleveland 6.0 points and Hungary 1.0 points; "
        "1 loses: Long Beach 5.0 points."
    )


def test_where_less_is_better_a_gain_is_what_is_less():
    """Of errors a node has fewer by working together: that is a gain, and stands with a plus."""
    alone, fed = hospitals()[:2]
    for r in (alone, fed):
        r.node_metrics = {"rmse": r.node_metrics["accuracy"]}
        r.node_deviations = [{"rmse": m["accuracy"]} for m in r.node_deviations]
        r.history[:] = [replace(h, accuracy=None, rmse=0.5) for h in r.history]
    found = found_of([alone, fed])
    assert found.metric.field == "rmse"
    assert found.nodes[2].gain.value == pytest.approx(0.05)
    assert gain_of(found, found.nodes[2]).strip() == "+0.050"
    assert [found.told(n) for n in found.nodes] == [-1, -1, 1, -1]


def unsure(together, **changes):
    """Each program's rows move its values in a way of their own: a difference has a standard error of 7 points."""
    alone = run(LocalOnly(), (0.80, 0.79, 0.75, 0.60), own=1, **changes)
    return found_of([alone, run(FedAvg(), together, own=2, **changes)])


def test_within_its_interval_nothing_is_claimed():
    found = unsure((0.86, 0.80, 0.70, 0.90))
    assert [found.told(n) for n in found.nodes] == [0, 0, 0, 1]
    assert sentence(found) == (
        "1 of 4 nodes gains on its own rows: Switzerland 30.0 points; of 3 no difference can be told."
    )
    # Beyond its own interval, but not beyond one for all four.
    found = unsure((0.80, 0.79, 0.75, 0.76))
    assert found.nodes[3].gain.told
    assert found.told(found.nodes[3]) == 0
    assert sentence(found) == "Of 4 nodes no difference between together and alone can be told on their own rows."


def test_too_few_rows_tell_nothing():
    found = found_of(hospitals(rows=(100, 29, 100, 12)))
    assert [n.few for n in found.nodes] == [False, True, False, True]
    assert sentence(found) == (
        "1 of 4 nodes gains on its own rows: Cleveland 6.0 points; 1 loses: Long Beach 5.0 points; of 2 no difference "
        "can be told (2 have too few)."
    )


def test_too_few_of_a_class_are_for_what_compares_classes():
    changes = {"node_rarest": [10, 9, None, 50]}
    assert [n.few for n in found_of(hospitals(**changes)).nodes] == [False] * 4
    alone, together, _ = hospitals(**changes)
    for r in (alone, together):
        r.node_metrics = {"auc": r.node_metrics["accuracy"]}
    assert [n.few for n in found_of([alone, together]).nodes] == [False, True, False, False]


def test_without_deviations_single_runs_claim_nothing():
    found = found_of(hospitals(node_deviations=None))
    assert all(n.gain is None for n in found.nodes)
    assert "these runs do not tell" in sentence(found)


def test_over_seeds_numbers_are_means_if_a_node_is_the_same_with_every_seed():
    def seeds(program, values, names, sizes):
        return [
            run(program, [v + 0.01 * s for v in values], seed=s, node_names=names, sizes=sizes[s]) for s in range(2)
        ]

    same = {"alone": seeds(LocalOnly(), (0.5, 0.6), ("a", "b"), [[9, 9], [8, 10]])}
    same["fed"] = seeds(FedAvg(), (0.7, 0.8), ("a", "b"), [[9, 9], [8, 10]])
    found = found_of(same)
    assert found.seed is None
    assert found.nodes[1].own["together"] == pytest.approx(0.805)
    # Without names, nodes of another size are other nodes.
    other = {"alone": seeds(LocalOnly(), (0.5, 0.6), None, [[9, 9], [8, 10]])}
    found = found_of(other)
    assert found.seed == 0
    assert found.nodes[1].own["alone"] == 0.6


def test_one_node_and_nodes_without_a_value():
    found = found_of([run(LocalOnly(), (0.5,)), run(FedAvg(), (0.9,))])
    assert sentence(found) == "1 of 1 node gains on its own rows: node 0 40.0 points."
    found = found_of([run(LocalOnly(), (None, 0.5)), run(FedAvg(), (0.9, None))])
    assert [n.gain for n in found.nodes] == [None, None]
    assert found_of([run(FedAvg(), (0.9, None))]).gains is False


def test_a_diverged_program_stands_for_nobody():
    wild = run(FedAvg(), (0.1, 0.1, 0.1, 0.1), status="diverged")
    assert list(found_of([hospitals()[0], wild]).groups) == ["alone"]


def test_the_page_has_a_row_a_node(tmp_path):
    p = Page(page(hospitals(rows=(100, 60, 40, 12)), tmp_path).read_text(encoding="utf-8"))
    cells = p.row("Switzerland")
    assert cells[1] == "12"
    assert cells[2] == "Switzerland: alone 60.0 %, together 90.0 %, pooled 91.0 %"
    assert cells[3:6] == ["60.0 % °", "90.0 % °", "91.0 % °"]
    assert cells[6].startswith("+30.0 points")
    assert cells[7] == "–"
    assert p.row("Long Beach")[7] == "50.0 %"
    assert "1 loses: Long Beach 5.0 points" in p.text("lead")
    assert "alone: LocalOnly" in p.text()
    assert "fewer than 30, or than 10 of a class" in p.text("small")


def many(n=200):
    values = [0.5 + 0.002 * k for k in range(n)]
    return [run(LocalOnly(), [v - 0.1 for v in values]), run(FedAvg(), values)]


def test_of_many_nodes_all_are_dots_and_the_ten_worst_have_a_row(tmp_path):
    found = found_of(many())
    assert [n.name for n in listed(found)] == [f"node {k}" for k in range(WORST)]
    p = Page(page(many(), tmp_path).read_text(encoding="utf-8"))
    assert p.row("node 9")[4] == "51.8 %"
    assert p.row("node 10") == ["node 10"]
    assert "These are the 10 of 200 nodes that have least." in p.text("small")
    assert "mean 69.9 %, the worst tenth of nodes 51.9 %" in p.text("shares")


def test_a_terminal_has_the_same_rows():
    for sheet in (comparison(hospitals()), show(hospitals()[1])):
        lines = sheet.plain(120).splitlines()
        assert any(line.startswith("Long Beach") and "70.0 %" in line for line in lines)
        assert all(line.isascii() for line in lines)
    line = next(x for x in comparison(hospitals()).plain(120).splitlines() if x.startswith("Switzerland"))
    assert "+30.0 points *" in line


def test_json_has_every_node():
    told = as_json(hospitals())["each_node"]
    assert told["metric"] == "accuracy"
    assert told["groups"] == {"alone": "LocalOnly", "together": "FedAvg", "pooled": "Centralized"}
    last = told["nodes"][3]
    assert last["name"] == "Switzerland"
    assert last["own"] == {"alone": 0.6, "together": 0.9, "pooled": 0.91}
    assert last["gain"]["value"] == pytest.approx(0.3)
    assert last["gain"]["claimed"] is True
    assert told["sentence"].startswith("3 of 4 nodes gain")
    assert as_json(hospitals()[0])["each_node"]["nodes"][0]["everybody"] == {"alone": 0.7}
    assert as_json(fake(FedAvg(), learn(3, 0.1, 0.9, 2)))["each_node"] is None
