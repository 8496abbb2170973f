"""The page's section on what models get right and wrong."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tests.report.fakes import FedAvg, SyncSGD, fake, learn

from foedus import report
from foedus.core.records.curves import Curves
from foedus.core.records.judged import Judged, Measured
from foedus.core.types.metric import named
from foedus.report.figures import Style
from foedus.report.goodness import goodness, guessing
from foedus.report.summary import TOGETHER, compare

TWO = Curves(
    5, 40.0, [(0.0, 0.0), (0.1, 0.6), (1.0, 1.0)], (0.1, 0.6), [(10.0, 0.15, 0.2), (30.0, 0.85, 0.9)],
    [[18.0, 2.0], [8.0, 12.0]],
)  # fmt: skip


def matrix(n):
    rows = [[9.0 if i == j else float(j == (i + 1) % n) for j in range(n)] for i in range(n)]
    return Curves(5, 10.0 * n, confusion=rows)


def section(runs):
    c = compare(runs)
    return goodness(c, {s.label: Style(f"s{i}") for i, s in enumerate(c.programs)})


def run(curves, program=None, **more):
    history = learn(5, 0.1, 0.8, 2, up=10, down=10)
    return fake(program or FedAvg(), history, curves={} if curves is None else {"last": curves}, **more)


class Table(HTMLParser):
    """Cells of every table, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.open = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open = False

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_two_classes_have_curves_and_a_table_in_their_own_names():
    names = ("well", "sick")
    html = section({"a": run(TWO, class_names=names), "b": run(TWO, SyncSGD(), class_names=names)})
    assert html.count('<svg class="chart"') == 2
    assert "the share of sick that is found against the share of well" in html
    assert "at the probability 0.5 a finds 60.0 % of sick and 10.0 % of well" in html.replace("\u00a0", " ")
    assert "it was so in 20 % where 15 % was said, 90 % where 85 % was said" in html.replace("\u00a0", " ")
    rows = Table(html.replace("\u00a0", " ")).rows
    assert rows[:3] == [["is", "well", "sick", "rows"], ["well", "90 %", "10 %", "20"], ["sick", "40 %", "60 %", "20"]]
    assert "The same of b" in html
    assert "All as of round 5." in html


def test_what_is_drawn_is_the_judged_point():
    judged = Judged((2, 4), "crossed", "accuracy", 40, None, Measured(), Measured())
    both = {"judged": TWO, "last": replace(TWO, confusion=[[20, 0], [0, 20]])}
    history = learn(5, 0.1, 0.8, 2, up=10, down=10)
    html = section(fake(FedAvg(), history, curves=both, judged=judged)).replace("\u00a0", " ")
    assert Table(html).rows[1] == ["class 0", "90 %", "10 %", "20"]
    assert "All as of rounds 2 and 4; where halves of the rows are judged in different rounds, both together." in html
    [other] = [fake(SyncSGD(), history, curves=both, judged=replace(judged, rounds=(3,)))]
    several = section({"a": fake(FedAvg(), history, curves=both, judged=judged), "b": other})
    assert "All as of the rounds in which the runs are judged; where halves" in several


def test_ten_classes_are_a_table_and_many_their_commonest_confusions():
    html = section(run(matrix(10)))
    rows = Table(html).rows
    assert len(rows) == 11
    assert all(len(row) == 12 for row in rows)
    assert 'class="chart"' not in html
    many = Table(section(run(matrix(40)))).rows
    assert many[0] == ["is", "taken for", "rows", "of its class"]
    assert len(many) == 11


def test_names_of_classes_are_text():
    html = section(run(TWO, class_names=("<b>", "&")))
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_there_is_no_section_where_there_is_nothing_to_say():
    assert section({"a": run(None), "b": run(None, SyncSGD())}) == ""


@pytest.mark.parametrize(
    ("usual", "metrics", "says"),
    [
        ({"accuracy": 0.627, "loss": 0.6}, ["auc", "accuracy"], "the most frequent class.* accuracy 62.7 %"),
        ({"rmse": 77.04, "r2": -0.01}, ["r2", "rmse"], "always answers the mean of the training targets.* RMSE 77"),
        ({"auc": 0.5}, ["auc"], "^$"),
        (None, ["accuracy"], "^$"),
    ],
)
def test_what_guessing_is_worth_is_said(usual, metrics, says):
    c = compare(run(None, usual=usual, metrics=tuple(map(named, metrics))))
    assert re.search(says, guessing(c))


def test_the_whole_page_has_it(tmp_path):
    page = report.page({"a": run(TWO)}, tmp_path / "page.html").read_text()
    assert "What the models get right and wrong" in page
    assert [s.role for s in compare({"a": run(TWO)}).programs] == [TOGETHER]
