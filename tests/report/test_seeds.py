"""Several seeds as one: means and deviations are NumPy's, and one run is a group of one."""

import json
import math
import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.report import as_json, by_setting, comparison, page, plot
from foedus.report.race import ROUNDS, TRAFFIC, race
from foedus.report.seeds import common, mean_record, sd, within_spread
from foedus.report.summary import Comparison, compare
from foedus.report.verdict import tiles, troubles, verdict

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, learn, record, seeds

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(FINITE, min_size=2, max_size=8))
def test_mean_and_deviation_are_numpys(values):
    [s] = compare({"a": [fake(FedAvg(), [Record(1, rmse=v)], seed=i) for i, v in enumerate(values)]}, 0.0).programs
    assert s.final == pytest.approx(np.mean(values), rel=1e-12, abs=1e-9)
    assert sd(s.finals) == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-6)
    assert (s.low, s.high) == ((min(values),), (max(values),))


def test_costs_are_means():
    group = [
        fake(FedAvg(), [record(4, 0.5, bytes_up=10, virtual_s=1.0)], seed=1),
        fake(FedAvg(), [record(7, 0.7, bytes_up=20, virtual_s=4.0)], seed=2),
    ]
    [s] = compare({"a": group}).programs
    assert (s.last.round, s.last.bytes_up, s.last.virtual_s) == (5.5, 15, 2.5)


def test_a_record_is_the_mean_of_one_and_fields_are_means_of_what_is_known():
    one = record(3, 0.5)
    assert mean_record([one]) is one
    a = Record(2, loss=1.0, accuracy=None, bytes_up=3, virtual_s=1.0, metrics={"x": 1.0, "y": math.nan})
    b = Record(2, loss=math.nan, accuracy=None, bytes_up=5, virtual_s=math.inf, metrics={"x": 2.0})
    m = mean_record([a, b])
    assert (m.round, m.loss, m.accuracy, m.bytes_up, m.metrics) == (2, 1.0, None, 4, {"x": 1.5})
    assert math.isnan(m.virtual_s)


def test_a_curve_is_where_all_seeds_were_evaluated():
    histories = [[record(t, 0.1 * t) for t in rounds] for rounds in ((1, 2, 3), (1, 3, 4), (1, 2, 3, 4))]
    assert [tuple(r.round for r in records) for records in common(histories)] == [(1, 1, 1), (3, 3, 3)]
    [s] = compare({"a": [fake(FedAvg(), h, seed=i) for i, h in enumerate(histories)]}).programs
    assert [r.round for r in s.evaluated] == [1, 3]
    assert s.finals == pytest.approx((0.3, 0.4, 0.4))  # the last of each seed, whenever that was


def settings() -> dict:
    return {
        "pooled": seeds(Centralized(), 0.97, 0.98, up=0),
        "alone": seeds(LocalOnly(), 0.6, 0.7, up=0),
        "fed": seeds(FedAvg(), 0.90, 0.94, 0.95),
        "sync": seeds(SyncSGD(), 0.91, 0.93, up=3000),
    }


def test_a_group_of_one_is_a_run(tmp_path):
    runs = {label: group[0] for label, group in settings().items()}
    ones = {label: [run] for label, run in runs.items()}
    assert page(runs, tmp_path / "a").read_bytes() == page(ones, tmp_path / "b").read_bytes()
    assert plot(runs, tmp_path / "a.svg").read_text().count("<path") == plot(
        ones, tmp_path / "b.svg"
    ).read_text().count("<path")
    assert comparison(runs).plain(200) == comparison(ones).plain(200)
    assert as_json(runs) == as_json(ones)
    assert "seeds" not in page(runs, tmp_path / "c").read_text(encoding="utf-8")


def test_the_order_of_seeds_does_not_matter(tmp_path):
    first = settings()
    other = {label: random.Random(3).sample(group, len(group)) for label, group in settings().items()}
    assert page(first, tmp_path / "a").read_bytes() == page(other, tmp_path / "b").read_bytes()
    assert as_json(first) == as_json(other)


def test_the_order_of_settings_changes_no_number():
    first, other = settings(), dict(reversed(settings().items()))
    assert verdict(compare(first)) == verdict(compare(other))
    groups = {g["label"]: g for g in as_json(first)["groups"]}
    assert groups == {g["label"]: g for g in as_json(other)["groups"]}


def test_a_group_without_runs_is_refused():
    with pytest.raises(BadInput, match="'b' has none"):
        compare({"a": seeds(FedAvg(), 0.9), "b": []})
    with pytest.raises(BadInput, match="'a' is a str"):
        compare({"a": ["run"]})


@pytest.mark.parametrize(
    ("values", "text"),
    [((0.9,), "90.0 %"), ((0.94, 0.96), "95.0 ± 1.4 %"), ((0.9, 0.9), "90.0 ± 0.0 %"), ((), "–")],
)
def test_shares_with_their_deviation(values, text):
    metric = compare(fake(FedAvg(), [record(1, 0.5)])).metric
    assert metric is not None
    assert metric.spread_text(values) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [((3.1,), "3.1"), ((1.0, 2.0), "1.50 ± 0.71"), ((100.0, 140.0), "120 ± 28"), ((0.5, 0.5), "0.500 ± 0.000")],
)
def test_errors_have_as_many_digits_as_their_deviation(values, text):
    metric = compare(fake(FedAvg(), [Record(1, rmse=0.5)])).metric
    assert metric is not None
    assert metric.spread_text(values) == text


def test_the_target_is_over_the_seeds_that_reached_it(tmp_path):
    fast = fake(FedAvg(), [record(2, 0.9, bytes_up=100), record(3, 0.9, bytes_up=200)], seed=0)
    slow = fake(FedAvg(), [record(2, 0.5, bytes_up=100), record(3, 0.91, bytes_up=200)], seed=1)
    never = fake(FedAvg(), [record(2, 0.5, bytes_up=100), record(3, 0.6, bytes_up=200)], seed=2)
    c = compare({"fed": [fast, slow, never]}, 0.9)
    [s] = c.programs
    assert s.reached is not None
    assert (s.reached.round, s.reached.bytes_up, s.reached_by) == (2.5, 150, "2 of 3 seeds")
    assert race(c, ROUNDS) == "To reach 90 %, fed needed 2.5 rounds (2 of 3 seeds)."
    html = page({"fed": [fast, slow, never]}, tmp_path, target=0.9).read_text(encoding="utf-8")
    assert "2 of 3 seeds" in html


def groups(alone: list[float], fed: list[float]) -> Comparison:
    return compare({"alone": seeds(LocalOnly(), *alone, up=0), "fed": seeds(FedAvg(), *fed)})


def test_a_difference_within_its_interval_is_not_claimed():
    near, far = groups([0.80, 0.90], [0.84, 0.92]), groups([0.50, 0.53], [0.84, 0.87])
    assert verdict(near).startswith("Working together made no difference that can be told: accuracy is")
    assert verdict(far).startswith("Working together took accuracy from")
    assert verdict(far).endswith("Numbers are means over 2 seeds.")
    assert any("no difference that can be told" in t.context for t in tiles(near))
    assert not any("no difference that can be told" in t.context for t in tiles(far))


@given(st.lists(FINITE, min_size=2, max_size=5), st.lists(FINITE, min_size=2, max_size=5))
def test_within_the_spread_is_what_it_says(a, b):
    if np.var(a) + np.var(b) > 1e-6 * max(1.0, np.mean(a) ** 2, np.mean(b) ** 2):
        p = stats.ttest_ind(a, b, equal_var=False).pvalue
        if abs(p - 0.05) > 1e-6 and np.var(a) > 0 and np.var(b) > 0:
            assert within_spread(a, b) == (p > 0.05)


def test_nobody_wins_a_race_by_less_than_the_spread(tmp_path):
    def run(program, seed, rounds):
        return fake(program, [record(rounds, 0.9, bytes_up=1000 * rounds)], seed=seed)

    near = {"a": [run(FedAvg(), 0, 5), run(FedAvg(), 1, 9)], "b": [run(SyncSGD(), 0, 6), run(SyncSGD(), 1, 9)]}
    far = {"a": [run(FedAvg(), 0, 5), run(FedAvg(), 1, 6)], "b": [run(SyncSGD(), 0, 60), run(SyncSGD(), 1, 66)]}
    assert race(compare(near, 0.9), TRAFFIC).endswith("(within the spread over seeds).")
    assert race(compare(far, 0.9), TRAFFIC).endswith("(11 times that).")
    assert not bold(page(near, tmp_path / "a", target=0.9))
    assert bold(page(far, tmp_path / "b", target=0.9)) == {"rounds", "traffic"}


def bold(file) -> set[str]:
    return set(re.findall(r'data-label="(\w+) [^"]*" class="[a-z ]*least"', file.read_text(encoding="utf-8")))


def test_a_seed_that_did_not_finish_is_named():
    group = seeds(FedAvg(), 0.9, 0.91, 0.92)
    group[1].status = "diverged"
    [said] = troubles(compare({"fed": group}))
    assert said.startswith("fed with 1 of 3 seeds diverged (")


def test_bands_are_drawn_for_groups_only(tmp_path):
    html = page(settings(), tmp_path).read_text(encoding="utf-8")
    charts = dict(re.findall(r'aria-labelledby="(\w+)-t \w+-d">(.*?)</svg>', html, flags=re.S))
    for name in ("bytes", "rounds", "epochs", "time"):
        assert charts[name].count("band") == 4
    assert "Lines are means over seeds; a band goes from the lowest seed to the highest." in html


def test_a_band_encloses_its_curve(tmp_path):
    html = page({"fed": seeds(FedAvg(), 0.7, 0.9)}, tmp_path).read_text(encoding="utf-8")
    band = re.search(r'<polygon class="s0 band" points="([^"]*)"', html)
    line = re.search(r'<polyline class="s0 line" points="([^"]*)"', html)
    assert band is not None
    assert line is not None
    edge = [tuple(map(float, p.split(","))) for p in band[1].split()]
    there, back = edge[: len(edge) // 2], edge[len(edge) // 2 :][::-1]
    assert there == sorted(there)
    assert back == sorted(back)  # there and back again, or the band would cross itself
    highs, lows = dict(there), dict(back)
    for x, y in (tuple(map(float, p.split(","))) for p in line[1].split()):
        assert highs[x] - 0.11 <= y <= lows[x] + 0.11  # down is more in a drawing


def sweep(n: int) -> dict:
    found = {f"lr={i}": seeds(FedAvg(), 0.5 + 0.4 * i / n, 0.52 + 0.4 * i / n) for i in range(n)}
    return {"alone": seeds(LocalOnly(), 0.3, 0.32, up=0), **found}


def test_of_many_settings_the_best_are_told_apart(tmp_path):
    c = compare(sweep(30))
    assert [s.label for s in c.ranked][:3] == ["lr=29", "lr=28", "lr=27"]
    assert [s.label for s in c.ranked][-1] == "alone"
    assert [s.label for s in c.shown] == ["alone", "lr=25", "lr=26", "lr=27", "lr=28", "lr=29"]
    html = page(sweep(30), tmp_path).read_text(encoding="utf-8")
    charts = dict(re.findall(r'aria-labelledby="(\w+)-t \w+-d">(.*?)</svg>', html, flags=re.S))
    assert charts["rounds"].count("rest line") == 25
    assert len(re.findall(r'<text class="label"', charts["rounds"])) == 6
    assert "The other 7" in html


def test_a_hundred_settings_stay_small(tmp_path):
    assert page(sweep(100), tmp_path).stat().st_size < 1_000_000


def test_labels_that_begin_alike_keep_their_ends(tmp_path):
    runs = {f"rate=0.1 local_epochs={i}": seeds(FedAvg(), 0.8 + i / 100)[0] for i in range(3)}
    shown = re.findall(r"</title>([^<]*…[^<]*)</text>", page(runs, tmp_path).read_text(encoding="utf-8"))
    assert len(set(shown)) == 3


def test_runs_that_differ_in_the_seed_only_belong_together():
    a = [fake(FedAvg(), [], seed=i, config=f"seed = {i}\n[data]\nnodes = 3\n") for i in (0, 1)]
    b = fake(FedAvg(rounds=9), [], seed=0)
    c = fake(SyncSGD(), [], seed=0)
    d = fake(FedAvg(), [], seed=1, config="seed = 1\n[data]\nnodes = 4\n")
    found = by_setting([a[0], b, c, a[1], d])
    assert found == {"FedAvg 1": a, "FedAvg 2": [b], "SyncSGD": [c], "FedAvg 3": [d]}


def test_json_of_groups_is_numbers():
    found = json.loads(json.dumps(as_json(settings(), 0.9), allow_nan=False))
    assert found["target"] == 0.9
    fed = next(g for g in found["groups"] if g["label"] == "fed")
    assert set(fed) == {
        "label", "subject", "network", "program", "role", "seeds", "statuses", "evaluated_on", "comparable",
        "objective", "baseline", "rounds", "judged", "final", "costs", "time_shares", "suspects", "to_target",
    }  # fmt: skip
    assert fed["seeds"] == [0, 1, 2]
    assert fed["final"]["n"] == 3
    assert fed["judged"]["low"] < fed["judged"]["value"] < fed["judged"]["high"]
    assert fed["final"]["mean"] == pytest.approx(np.mean(fed["final"]["values"]))
    assert fed["final"]["sd"] == pytest.approx(np.std(fed["final"]["values"], ddof=1))
    assert fed["costs"]["bytes_up"] == 20_000
    assert fed["to_target"]["seeds"] == 2


def test_learning_curves_of_different_length_still_make_a_page(tmp_path):
    group = [fake(FedAvg(), learn(n, 0.1, 0.9, 3, up=5), seed=n) for n in (0, 3, 7)]
    html = page({"fed": group}, tmp_path).read_text(encoding="utf-8")
    assert "A line ends where the first of its seeds ended." in html
