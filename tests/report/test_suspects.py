"""Whom a rule left out: in a sentence, as numbers, and drawn for few nodes and many."""

import json
import math
import re
from dataclasses import replace

import pytest

from foedus.report import as_json, comparison, page, show
from foedus.report.suspects import ALL_NAMED, BANDS, NAMED, sentence, told

from .fakes import FedAvg, fake, learn


def judged(shares, rounds=10, far=3.0, **more):
    """A run in which each node's updates are left out to such a share, in the first rounds wholly or not at all."""
    history = learn(rounds, 0.3, 0.9, 0.5)

    def said(t):
        return {n: (1.0 if t < share * rounds else 0.0, far if share else 1.0) for n, share in shares.items()}

    history = [replace(r, suspects=said(t)) for t, r in enumerate(history)]
    nodes = max(shares) + 1
    return fake(FedAvg(), history, nodes=nodes, sizes=[10] * nodes, label_counts=None, **more)


@pytest.mark.parametrize(
    ("shares", "dishonest", "said"),
    [
        ({0: 0.1, 1: 0.9, 2: 0.0}, (), "Node 1 was left out in 9 of 10 rounds."),
        (
            {0: 0.1, 1: 1.0, 2: 0.0},
            (1,),
            "Node 1 was left out in all 10 rounds. That is the dishonest node.",
        ),
        (
            {0: 0.8, 1: 0.8, 2: 0.0, 3: 0.0},
            (0, 1),
            "Node 0 and node 1 were left out in 8 of 10 rounds. These are all of the 2 dishonest nodes.",
        ),
        (
            {0: 0.8, 1: 0.7, 2: 0.6, 3: 0.0, 4: 0.0, 5: 0.0},
            (0, 1),
            "Node 0, node 1 and node 2 were left out in 8 of 10 rounds, 7 of 10 rounds and 6 of 10 rounds. "
            "These are all of the 2 dishonest nodes, and 1 honest node.",
        ),
        (
            {0: 0.2, 1: 0.3, 2: 0.0},
            (2,),
            "No node was left out in most of its rounds; node 1 was most: 30 % of its updates. The dishonest "
            "node does not stand out.",
        ),
        (
            {0: 0.9, 1: 0.9, 2: 0.0},
            (1,),
            "The rule leaves out 2 of 3 nodes in most rounds, which says little of any; node 0 was farthest "
            "off: 3 times as far off as most.",
        ),
        ({0: 0.0, 1: 0.0, 2: 0.0}, (), "No node's update was left out of any round."),
    ],
)
def test_the_sentence(shares, dishonest, said):
    assert sentence(judged(shares, dishonest=dishonest)) == said


def test_names_and_marks():
    names = ("berlin", "<b>paris</b>", "rome")
    run = judged({0: 0.1, 1: 1.0, 2: 0.0}, node_names=names, dishonest=(1,))
    assert sentence(run) == "<b>paris</b> was left out in all 10 rounds. That is the dishonest node."
    html = page(run).html
    assert "&lt;b&gt;paris&lt;/b&gt; †" in html
    assert "<b>paris" not in html
    text = show(run).plain(120)
    assert "1 node of 3 was dishonest (<b>paris</b>)" in text
    assert (
        "<b>paris</b>, dishonest: left out in 10 of 10 rounds, 100 % of its updates; 3 times as far off as most" in text
    )


def test_a_run_without_such_a_rule_says_nothing():
    run = fake(FedAvg(), learn(5, 0.3, 0.9, 0.5))
    assert told(run) == []
    assert as_json(run)["suspects"] is None
    assert "left out" not in page(run).html
    assert "suspects" not in show(run).plain(100)


def test_json_has_every_node_and_round():
    run = judged({0: 0.1, 1: 0.9, 2: 0.0}, far=math.inf, dishonest=(1,))
    first, *others = json.loads(json.dumps(as_json(run)["suspects"], allow_nan=False))
    assert (first["name"], first["left_out_in"], first["rounds"], first["dishonest"]) == ("node 1", 9, 10, True)
    assert first["distance"] is None
    assert first["by_round"] == {str(t): float(t <= 9) for t in range(1, 11)}
    assert [n["node"] for n in others] == [0, 2]
    two = as_json({"Krum": [run, run]})
    assert [len(nodes) for nodes in two["groups"][0]["suspects"]] == [3, 3]


def test_a_comparison_names_the_worst_of_each_setting():
    text = comparison({"Krum": judged({0: 0.9, 1: 0.0, 2: 0.0}), "Median": judged({0: 0.0, 1: 0.8})}).plain(120)
    assert "Krum: Node 0 was left out in 9 of 10 rounds." in text
    assert "Median: Node 1 was left out in 8 of 10 rounds." in text


@pytest.mark.parametrize("nodes", [4, ALL_NAMED, ALL_NAMED + 1, 200, 2000])
def test_the_drawing_fits_any_number_of_nodes(nodes):
    run = judged({n: 1.0 if n % 5 == 0 else 0.1 for n in range(nodes)}, rounds=12)
    (drawing,) = re.findall(r'<svg class="suspects".*?</svg>', page(run).html)
    names = re.findall(r">node (\d+)</text>", drawing)
    assert len(names) == (nodes if nodes <= ALL_NAMED else NAMED)
    assert all(int(n) % 5 == 0 for n in names[: nodes // 5])
    assert drawing.count('class="hit tip"') <= max(ALL_NAMED, NAMED + BANDS)
    height = int(re.search(r'viewBox="0 0 \d+ (\d+)"', drawing)[1])
    assert height < 700
    assert len(drawing) < 60_000


def test_many_rounds_become_stripes_and_who_was_not_asked_is_white():
    run = judged({0: 1.0, 1: 0.0}, rounds=1000)
    (drawing,) = re.findall(r'<svg class="suspects".*?</svg>', page(run).html)
    assert drawing.count('class="out"') == 2  # one shade for each: whole lines are one piece
    sometimes = [{0: (1.0, 2.0), 1: (0.0, 1.0)} if r.round % 2 else {1: (0.0, 1.0)} for r in run.history[:20]]
    asked = [replace(r, suspects=said) for r, said in zip(run.history, sometimes, strict=False)]
    (drawing,) = re.findall(r'<svg class="suspects".*?</svg>', page(fake(FedAvg(), asked)).html)
    assert drawing.count("M") == 11  # ten rounds of the one, and all of the other in one piece
