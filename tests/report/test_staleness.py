"""How stale updates were: the numbers, the bars, and where there is nothing to show."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.report import page
from foedus.report.staleness import Stale, measured
from foedus.report.summary import compare

from .fakes import FedAvg, SyncSGD, fake, learn
from .test_page import Page

COUNTS = st.dictionaries(st.integers(0, 500), st.integers(1, 50), min_size=1, max_size=40)


def run(counts, program=None, **changes):
    return fake(program or FedAvg(), learn(9, 0.2, 0.9, 3, up=10), staleness=counts, **changes)


@given(COUNTS, st.floats(0.01, 1.0))
def test_mean_and_quantiles_are_those_of_the_list(counts, share):
    every = sorted(Counter(counts).elements())
    s = Stale(compare(run(counts)).programs[0], counts)
    assert s.updates == len(every)
    assert s.mean == pytest.approx(sum(every) / len(every))
    q = s.quantile(share)
    assert sum(k <= q for k in every) >= share * len(every)
    assert q == every[0] or sum(k < q for k in every) < share * len(every)


def bars(html):
    found = re.findall(
        r'<rect class="s0 seen tip" x="([\d.]+)%" width="([\d.]+)%" y="([\d.]+)" height="([\d.]+)"><title>([^<]*)', html
    )
    return [(float(x), float(w), float(y), float(h), tip) for x, w, y, h, tip in found]


@given(COUNTS)
def test_bars_stand_side_by_side_and_hold_every_update(tmp_path_factory, counts):
    html = page(run(counts), tmp_path_factory.getbasetemp() / "stale.html").read_text(encoding="utf-8")
    drawn = bars(html)
    assert all(x >= 0 and x + w <= 100.1 and y >= 0 and h >= 1 for x, w, y, h, _ in drawn)
    assert all(b[0] - a[0] >= a[1] - 0.02 for a, b in pairwise(drawn))
    shares = [float(re.search(r"([\d.]+) %", tip)[1]) for *_, tip in drawn]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares) + 0.01)
    assert max(h for _, _, _, h, _ in drawn) == pytest.approx(46, abs=0.1)


def test_the_section_says_the_numbers(tmp_path):
    counts = {0: 30, 1: 40, 2: 20, 9: 10}
    p = Page(page(run(counts), tmp_path).read_text(encoding="utf-8"))
    assert "How stale updates were" in p.text()
    assert "mean 1.7, largest 9; 30 % fresh" in p.text("shares")
    assert "Half of the updates of FedAvg had missed 1 version or fewer." in p.text()
    assert "100 updates" in p.text()
    tips = [tip for *_, tip in bars(page(run(counts), tmp_path).read_text(encoding="utf-8"))]
    assert tips == [
        "0 versions missed: 30.0 % of updates", "1 version missed: 40.0 % of updates",
        "2 versions missed: 20.0 % of updates", "9 versions missed: 10.0 % of updates",
    ]  # fmt: skip


def test_a_long_tail_is_in_the_last_bar(tmp_path):
    html = page(run({0: 900, 3: 80, 700: 20}), tmp_path).read_text(encoding="utf-8")
    assert bars(html)[-1][-1] == "3 or more versions missed: 10.0 % of updates"
    assert "The last bar holds all that is beyond it." in Page(html).text()


def test_seeds_are_added_up():
    c = compare({"a": [run({0: 1, 2: 3}, seed=0), run({2: 1, 5: 1}, seed=1)]})
    assert [dict(s.counts) for s in measured(c)] == [{0: 1, 2: 4, 5: 1}]


def test_fresh_updates_and_no_staleness(tmp_path):
    assert "No update of FedAvg was stale." in Page(page(run({0: 5}), tmp_path).read_text()).text()
    both = page([run({0: 5, 1: 1}), run(None, SyncSGD())], tmp_path).read_text(encoding="utf-8")
    assert "How stale updates were" in both
    assert "How stale" not in page(run(None), tmp_path).read_text(encoding="utf-8")
