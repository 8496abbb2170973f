"""Axes and drawings."""

import math
import re
from itertools import pairwise

import pytest

from foedus.report.axis import log_axis, steps, value_axis
from foedus.report.figures import HEIGHT, WIDTH, Line, Style, columns, curve, line_chart, styles
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


def test_programs_get_colours_and_baselines_greys():
    made = styles(["pooled", "together", "alone", *["together"] * 7], "together")
    assert [s.css for s in made] == ["g0", "s0", "g1", "s1", "s2", "s3", "s4", "s5", "s0", "s1"]
    assert len(set(made)) == 10  # a colour that comes again comes with another dash
