"""How it is for each node, and what a run brings along: preparation, settings file, origin."""

import math
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.coordination.spread import worst_tenth
from foedus.report import as_json, page, show
from foedus.report.by_node import node_values
from foedus.report.nodes import fairness
from foedus.report.summary import METRICS, compare

from .fakes import FedAvg, fake, learn
from .test_page import Page

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(VALUES)
def test_the_worst_tenth_is_at_most_the_mean_and_of_a_tenth(values):
    worst = worst_tenth(values, higher=True)
    assert min(values) - 1e-12 <= worst <= sum(values) / len(values) + 1e-12
    assert worst == pytest.approx(-worst_tenth([-v for v in values], higher=False))
    k = math.ceil(len(values) / 10)
    assert worst == pytest.approx(sum(sorted(values)[:k]) / k)


def run(values, program=None, **changes):
    fields = {"node_metrics": {"accuracy": values, "loss": [1.0] * len(values)}} | changes
    return fake(program or FedAvg(), learn(9, 0.2, 0.9, 3, up=10), **fields)


def test_numbers_are_those_of_the_nodes():
    values = [0.5 + i / 100 for i in range(40)]
    found = fairness(compare(run(values)).programs)
    assert found is not None
    metric, [f] = found
    assert metric.field == "accuracy"
    assert (f.nodes, f.mean, f.worst) == (40, pytest.approx(0.695), pytest.approx(0.515))


def test_nodes_without_a_value_are_left_out():
    assert node_values(run([0.5, None, math.nan, 0.7]), METRICS[0]) == [(0, 0.5), (3, 0.7)]
    assert fairness(compare(run([None, None], node_metrics={"accuracy": [None, None]})).programs) is None


def test_over_seeds_it_is_the_mean_of_each():
    found = fairness(compare({"a": [run([0.1, 0.9], seed=0), run([0.3, 0.9], seed=1)]}).programs)
    assert found is not None
    [f] = found[1]
    assert (f.mean, f.worst) == (pytest.approx(0.55), pytest.approx(0.2))
    assert [name for name, _ in f.values] == ["node 0, seed 0", "node 0, seed 1", "node 1, seed 0", "node 1, seed 1"]


def test_the_section_draws_every_node_and_says_the_worst(tmp_path):
    values = [0.71] * 2 + [0.95] * 18
    html = page(run(values), tmp_path).read_text(encoding="utf-8")
    p = Page(html)
    assert "How it is for each node" in p.text()
    assert "With FedAvg the worst tenth of nodes has 71 %, while the mean over nodes is 93 %." in p.text()
    assert len(re.findall(r'<circle class="s0 seen spot"', html)) == 20 + 1  # and one in the key
    assert p.row("node 0")[1:] == ["–", "node 0: together 71.0 %", "71.0 %"]


def test_dots_of_many_nodes_are_few_and_inside(tmp_path):
    html = page(run([i / 5000 for i in range(5000)]), tmp_path).read_text(encoding="utf-8")
    at = [
        (float(x), float(y)) for x, y in re.findall(r'<circle class="s0 seen tip" cx="([\d.]+)%" cy="([\d.-]+)"', html)
    ]
    assert 100 <= len(at) <= 120
    assert all(0 <= x <= 100 and 0 <= y <= 46 for x, y in at)
    same = page(run([0.5] * 5000), tmp_path).read_text(encoding="utf-8")
    assert all(float(y) >= 0 for y in re.findall(r'seen tip" cx="[\d.]+%" cy="([\d.-]+)"', same))


def test_no_section_without_values(tmp_path):
    assert "for each node" not in page(fake(FedAvg(), learn(5, 0.1, 0.9, 2)), tmp_path).read_text(encoding="utf-8")


def test_the_worst_of_few_nodes_is_called_the_worst_node(tmp_path):
    assert "With FedAvg the worst node has 50 %" in Page(page(run([0.5, 0.7, 0.9]), tmp_path).read_text()).text()
    assert "the worst node has 50 %" in show(run([0.5, 0.7, 0.9])).plain(100)
    assert as_json(run([0.5, 0.7, 0.9]))["node_metrics"]["accuracy"]["worst_tenth"] == 0.5


def test_how_the_tables_were_prepared(tmp_path):
    lines = [f"column {i} <b>: median 3" for i in range(20)]
    made = run([0.5], preparation=SimpleNamespace(lines=lines, bytes=12_300))
    p = Page(page(made, tmp_path).read_text(encoding="utf-8"))
    assert "How the tables were prepared" in p.text()
    assert "12.3 kB" in p.text()
    assert all(line in p.text() for line in lines)
    assert as_json(made)["preparation"] == {"lines": lines, "bytes": 12_300}


def test_the_first_seed_stands_for_what_the_others_agreed_on(tmp_path):
    seeds = [run([0.5], preparation=SimpleNamespace(lines=[f"age: mean 5{k}"], bytes=100)) for k in range(3)]
    p = Page(page({"FedAvg": seeds}, tmp_path).read_text(encoding="utf-8"))
    assert "What the nodes agreed on with the first seed" in p.text()
    assert "age: mean 50" in p.text()
    assert "age: mean 51" not in p.text()


def test_the_settings_file_and_the_origin_are_those_of_the_run(tmp_path):
    made = run([0.5], config='seed = 7\nname = "<x>"\n', origin={"foedus": "0.0.9", "CPU": "<abacus>"})
    p = Page(page(made, tmp_path).read_text(encoding="utf-8"))
    assert 'name = "<x>"' in p.text()
    assert "<abacus>" in p.text()
    assert "Python" not in p.text()
    assert as_json(made)["origin"] == {"foedus": "0.0.9", "CPU": "<abacus>"}


def test_notices_are_said_once_and_nodes_by_name(tmp_path):
    a, b = (
        run([0.5, 0.9, 0.7], notices=["went on with another torch"], node_names=("Ulm", "<Kiel>", "Trier"))
        for _ in "ab"
    )
    html = page({"a": a, "b": b}, tmp_path).read_text(encoding="utf-8")
    p = Page(html)
    assert p.text("trouble") == "a and b: went on with another torch"
    assert "&lt;Kiel&gt;: together 90.0 %" in html
    assert "Trier: 30 rows" in html
    assert "went on with another torch" in show(a).plain(80)


def test_origins_that_differ_are_said_run_by_run(tmp_path):
    a, b = ({"CPU": cpu, "foedus": "0.0.9"} for cpu in ("abacus", "slide rule"))
    said = Page(
        page({"a": run([0.5], origin=a), "b": run([0.5], origin=b)}, tmp_path).read_text(encoding="utf-8")
    ).text()
    assert said.index("abacus") < said.index("slide rule") < said.index("Versions") < said.index("0.0.9")
    assert said.count("0.0.9") == 1
