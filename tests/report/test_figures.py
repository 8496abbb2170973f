"""Axes and drawings."""

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

import foedus.report
from foedus.report.axis import log_axis, steps, value_axis
from foedus.report.figures import HEIGHT, WIDTH, Line, columns, curve, line_chart
from foedus.report.looks import Style, computed, styles
from foedus.report.units import human_bytes, human_seconds


@pytest.mark.parametrize(
    "values",
    [(1.0, 300.0), (4e5, 1.2e8), (5.0, 5.0), (40.0, 50.0), (1e-3, 1e6), (1e-30, 1e30), (1e25, 2e26), (1, 1e16)],
)
def test_log_axis_has_a_few_ticks_inside(values):
    axis = log_axis(values, str)
    assert 1 <= len(axis.ticks) <= 6
    assert all(-0.01 <= axis.at(t) <= 1.01 for t in axis.ticks)
    assert list(axis.ticks) == sorted(axis.ticks)
    assert axis.at(axis.low) == 0
    assert axis.at(axis.high) == pytest.approx(1)
    assert axis.at(math.sqrt(axis.low * axis.high)) == pytest.approx(0.5)


def test_clock_ticks_are_minutes_and_hours():
    assert [human_seconds(t) for t in log_axis((30.0, 40_000.0), human_seconds, clock=True).ticks] == [
        "1 min", "10 min", "1 h", "10 h",
    ]  # fmt: skip


@pytest.mark.parametrize("values", [(0.1, 0.96), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.953, 0.957), (0.0, 1.0)])
def test_shares_stay_between_0_and_1(values):
    axis = value_axis(values, str, share=True)
    assert 0 <= axis.low <= min(values) <= max(values) <= axis.high <= 1
    assert 2 <= len(axis.ticks) <= 8


def test_an_exploding_loss_gets_a_log_axis():
    assert value_axis((0.1, 1e30), str).log
    assert not value_axis((0.1, 2.0), str).log
    assert not value_axis((-1.0, 1e30), str).log


def test_steps_are_round_and_enclose():
    assert steps(0.12, 0.97, 5) == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def points_of(svg: str) -> list[tuple[float, float]]:
    path = re.search(r'<polyline class="s0 line" points="([^"]*)"', svg)
    assert path is not None
    pairs = [p.split(",") for p in path[1].split()]
    return [(float(a), float(b)) for a, b in pairs]


def chart(lines, xs=(1.0, 100.0)) -> str:
    x, y = log_axis(xs, human_bytes), value_axis((0.0, 1.0), str, share=True)
    return line_chart(lines, x, y, name="n", title="t", desc="d", x_label="bytes", target=(0.5, "target"))


def test_a_curve_goes_through_its_points():
    drawn = points_of(chart([curve(Line("a", Style("s0")), [(1, 0.0), (10, 0.5), (100, 1.0)], ["", "", ""], 1)]))
    (x0, y0), (x1, y1), (x2, y2) = drawn
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)  # equal factors are equal distances
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2  # up is more


def test_points_that_a_log_axis_cannot_show_are_left_out():
    line = curve(Line("a", Style("s0")), [(0, 0.1), (1, 0.2), (math.inf, 0.3), (5, 0.4)], list("wxyz"), 3)
    assert (line.xs, line.ys, line.tips, line.mark) == ((1, 5), (0.2, 0.4), ("x", "z"), 1)
    assert curve(Line("a", Style("s0")), [(0, 0.1)], ["w"], 0).mark is None


def test_long_histories_are_thinned_and_keep_both_ends():
    pairs = [(float(k), k / 100_000) for k in range(1, 100_001)]
    svg = chart([curve(Line("a", Style("s0")), pairs, ["tip"] * len(pairs), None)], (1.0, 1e5))
    drawn = points_of(svg)
    assert 50 < len(drawn) < 200
    assert drawn[-1][1] == min(y for _, y in drawn)
    assert len(svg) < 20_000


def test_labels_keep_apart_and_inside():
    lines = [Line(f"program {i}", Style("s0"), level=0.9 + i / 1000) for i in range(8)]
    at = sorted(float(y) for y in re.findall(r'class="label" x="[^"]*" y="([^"]*)"', chart(lines)))
    assert len(at) == 8
    assert min(b - a for a, b in pairwise(at)) >= 13.9
    assert at[0] > 0
    assert at[-1] < HEIGHT
    right = [float(x) for x in re.findall(r'class="label" x="([^"]*)"', chart(lines))]
    assert max(right) + 9 * 6.1 <= WIDTH


def test_columns_stack_to_their_height():
    svg = columns([[10, 30], [0, 20]], ["c0", "c1"], ["one", "two"], name="n", title="t", desc="d")
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"/>', svg)]
    assert heights == [50, 150, 100]  # of 200 for 40 rows; the empty part is not drawn


def test_colours_are_of_programs_and_a_greys_dashes_go_by_its_role_in_whatever_order():
    made = styles(["pooled", "together", "alone", *["together"] * 7])
    assert [s.css for s in made] == ["g1", "s0", "g0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"]
    assert len(set(made)) == 10
    assert [s.dash for s in made if s.css.startswith("s")] == [""] * 8  # dashes are never another program
    assert styles(["alone", "pooled"]) == [made[2], made[0]]
    assert len({s.dash for s in (*styles(["alone", "pooled", "silent"]), computed(0), computed(0, second=True))}) == 4


def test_the_dashes_of_all_charts_are_those_of_one_page():
    """No other file has a pattern of its own, and no other style."""
    here = Path(foedus.report.__file__).parent
    for file in here.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        if file.name != "looks.py":
            assert not re.search(r'"\d \d(?: \d \d)*"|\bStyle\("', source), file
    css = (here / "page.css").read_text(encoding="utf-8")
    assert "stroke-dasharray" not in css


def test_the_name_of_the_target_stands_beside_the_plot_with_the_others():
    line = curve(Line("a", Style("s0")), [(1, 0.1), (100, 0.5)], ["", ""], None)
    svg = chart([line])
    at = {name: float(x) for x, name in re.findall(r'<text class="label[^"]*" x="([\d.]+)"[^>]*>([^<]+)<', svg)}
    right = max(float(x) for x in re.findall(r'<line class="grid"[^>]* x2="([\d.]+)"', svg))
    assert set(at) == {"a", "target"}
    assert all(x > right for x in at.values())


@pytest.mark.parametrize("low", [7e-7, 1e-5, 0.3])
@pytest.mark.parametrize("decades", [0.1, 1, 3, 6, 11])
def test_the_texts_of_ticks_do_not_run_into_each_other(low, decades):
    high = low * 10**decades
    x, y = log_axis((low, high), human_seconds, clock=True), value_axis((0.0, 1.0), str)
    line = curve(Line("a program's long na", Style("s0")), [(low, 0.1), (high, 0.5)], ["", ""], None)
    svg = line_chart([line], x, y, name="n", title="t", desc="d", x_label="time")
    texts = re.findall(r'<text class="mid" x="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    assert texts
    ends = [(float(at) - 2.8 * len(t), float(at) + 2.8 * len(t)) for at, t in texts]
    assert all(b < a for (_, b), (a, _) in pairwise(ends))


def test_ticks_have_as_many_decimals():
    assert value_axis((0.76, 0.89), lambda v: f"{v:g}").texts == ("0.75", "0.80", "0.85", "0.90")


@pytest.mark.parametrize("values", [(1.5, 1.5), (1.5, 40.0), (-3.0, 0.5), (-1.0, -1.0), (2.0,)])
def test_what_is_no_share_is_shown_too(values):
    """A changed run.json can say anything."""
    axis = value_axis(values, str, share=True)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert all(0 <= axis.at(v) <= 1 for v in values)
