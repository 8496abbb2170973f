"""Intervals: closed forms where there are some, and what they cover of what they claim to cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.records.judged import Judged, Measured, as_bytes
from foedus.core.types.cells import GROUPS, cells
from foedus.report import as_json
from foedus.report.ends import PLAIN, POSITIVE, ROOT, SHARE, t_quantile
from foedus.report.uncertainty import (
    TOO_FEW,
    Sampled,
    difference,
    interval,
    of_mean,
    of_pairs,
    of_two_means,
    overfitted,
    tied,
    worse_at_the_end,
)

from .fakes import FedAvg, SyncSGD, fake, record


def by_group(influence_N: np.ndarray, units_N: np.ndarray) -> np.ndarray:
    group = cells(units_N, np.zeros(len(units_N), dtype=np.int64)) % GROUPS
    return np.bincount(group, weights=influence_N / len(influence_N), minlength=GROUPS)


def mean_of(values_N: np.ndarray, units_N: np.ndarray) -> Sampled:
    n = len(values_N)
    moved = by_group(values_N - values_N.mean(), units_N) * math.sqrt(n / (n - 1))
    return Sampled(float(values_N.mean()), moved, n)


def test_of_a_row_in_every_group_the_interval_of_a_mean_is_students():
    values = np.tile([1.0, 2.0], GROUPS // 2)
    moved = (values - 1.5) / GROUPS * math.sqrt(GROUPS / (GROUPS - 1))
    found = of_mean([Sampled(1.5, moved, GROUPS)])
    wide = t_quantile(0.975, GROUPS - 1) * values.std(ddof=1) / math.sqrt(GROUPS)
    assert (found.low, found.high) == pytest.approx((1.5 - wide, 1.5 + wide))
    assert found.covers == "over which rows happen to be judged; not over other data"


@given(st.integers(1, 40), st.integers(0, 40))
def test_the_interval_of_a_share_is_wilsons_and_stays_between_0_and_1(n, k):
    k = min(k, n)
    p = k / n
    moved = np.zeros(GROUPS)  # a row a group
    moved[:n] = (np.arange(n) < k) - p
    found = of_mean([Sampled(p, moved / n, n)], SHARE)
    t = t_quantile(0.975, 1 / (1 / max(1, n - 1) + 1 / GROUPS))
    middle, wide = p + t * t / (2 * n), t * math.sqrt(p * (1 - p) / n + t * t / (4 * n * n))
    assert found.low == pytest.approx(max(0, (middle - wide) / (1 + t * t / n)), abs=1e-9)
    assert found.high == pytest.approx(min(1, (middle + wide) / (1 + t * t / n)), abs=1e-9)
    assert 0 <= found.low <= p <= found.high <= 1
    assert found.high > found.low  # also where all rows are right


def test_what_is_above_zero_has_an_interval_above_zero():
    found = of_mean([Sampled(0.1, np.full(GROUPS, 0.02), 20)], POSITIVE)
    assert 0 < found.low < 0.1 < found.high


def test_the_same_rows_make_a_pair_and_other_rows_do_not():
    rng = np.random.default_rng(1)
    rows, noise = rng.normal(size=900), rng.normal(size=(2, 900))
    a, b = (mean_of(rows + 0.1 * noise[i], np.arange(900)) for i in (0, 1))
    apart = mean_of(rows + 0.1 * noise[1], np.arange(5000, 5900))
    width = [(d.high - d.low) for d in (of_pairs([(a, b)]), of_pairs([(a, apart)]))]
    assert width[0] == pytest.approx(2 * 1.98 * 0.1 * math.sqrt(2 / 900), rel=0.3)
    assert width[1] == pytest.approx(2 * 1.98 * math.sqrt(2 / 900), rel=0.3)
    itself = of_pairs([(a, a)])
    assert (itself.low, itself.value, itself.high, itself.told) == (0, 0, 0, False)


def test_seeds_on_the_same_rows_do_not_narrow_and_on_other_rows_do():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=2000)
    one = of_mean([mean_of(rows, np.arange(2000))])
    same = of_mean([mean_of(rows, np.arange(2000))] * 4)
    assert same.high - same.low == pytest.approx(one.high - one.low)
    assert same.covers == "over which rows happen to be judged and how training went; not over other data"
    other = of_mean([mean_of(rng.normal(size=2000), np.arange(2000 * i, 2000 * i + 2000)) for i in range(4)])
    assert 0.3 < (other.high - other.low) / (one.high - one.low) < 0.9


def test_training_is_what_seeds_differ_by_beyond_their_rows():
    moved = np.zeros(GROUPS)
    moved[0] = 1e-9
    values = [0.80, 0.84, 0.88]
    found = of_mean([Sampled(v, moved, 100) for v in values])
    wide = t_quantile(0.975, 2) * 0.04 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.84 - wide, 0.84 + wide), abs=1e-6)
    older = of_mean([Sampled(v) for v in values])  # of runs that tell nothing of their rows
    assert (older.low, older.high) == pytest.approx((found.low, found.high), abs=1e-6)
    assert older.covers == "over how training went; not over which rows happen to be judged or other data"
    assert of_mean([Sampled(0.8)]) is None


def test_pairs_of_seeds_are_told_apart_sooner_than_their_means():
    ours, theirs = ([Sampled(v) for v in values] for values in ([0.80, 0.84, 0.88], [0.79, 0.83, 0.87]))
    assert of_pairs(list(zip(ours, theirs, strict=True))).told
    assert not of_two_means(ours, theirs).told


def test_intervals_cover_what_they_claim():
    """2,000 small samples: means with and without pairs, of one and of three seeds with rows in common."""
    rng = np.random.default_rng(3)
    hit = {"one": 0, "pair": 0, "seeds": 0}
    claimed = 0
    times = 600
    for _ in range(times):
        quality, hard = 0.85, rng.normal(size=240)
        right = [(hard + rng.normal(size=240) < 1.466).astype(float) for _ in range(2)]
        a, b = (mean_of(r[:60], np.arange(60)) for r in right)
        hit["one"] += quality in of_mean([a], SHARE)
        d = of_pairs([(a, b)])
        hit["pair"] += 0 in d
        claimed += d.told
        seeds = []
        for _ in range(3):
            held = rng.choice(240, 60, replace=False)
            seeds.append(mean_of(right[0][held], held))
        hit["seeds"] += quality in of_mean(seeds, SHARE)
    assert all(0.92 <= h / times <= 0.985 for h in hit.values()), hit
    assert claimed / times < 0.08


def test_seeds_on_other_rows_do_not_hide_a_heavy_tail():
    """Five seeds that each judge 100 of 400 rows: what one row may do is what it does to one seed."""
    rng, held = np.random.default_rng(4), []
    for _ in range(150):
        squares, seeds = rng.standard_t(3, 400) ** 2, []
        for _ in range(5):
            rows = rng.choice(400, 100, replace=False)
            m = mean_of(squares[rows], rows)
            root = math.sqrt(m.value)
            seeds.append(Sampled(root, m.deviations / (2 * root), 100))
        held.append(math.sqrt(3) in of_mean(seeds, ROOT))
    assert 0.89 < np.mean(held) < 0.99  # 83 per cent, where the mean over seeds is taken for one of 100 rows


def test_of_what_could_be_more_than_twice_as_large_nothing_is_told():
    moved = np.full(GROUPS, 0.1) / math.sqrt(GROUPS)
    assert not of_mean([Sampled(1.0, moved, 200)], POSITIVE).few
    moved[0] = 0.6  # a row that makes up most of it
    assert of_mean([Sampled(1.0, moved, 200)], POSITIVE).few == TOO_FEW


# -- of runs -----------------------------------------------------------------------------------------------------------


def judged(value: float, last: float, *, moved: float = 0.01, rows: int = 200, rarest: int | None = 80) -> Judged:
    rng = np.random.default_rng(int(1e6 * value))
    noise = rng.normal(size=GROUPS)
    here, end = (as_bytes(moved * noise / np.sqrt(GROUPS)), as_bytes(moved * rng.normal(size=GROUPS) / np.sqrt(GROUPS)))
    return Judged(
        rounds=(3,), how="crossed", by="accuracy", rows=rows, rarest=rarest,
        here=Measured({"accuracy": value}, {"accuracy": here}), last=Measured({"accuracy": last}, {"accuracy": end}),
    )  # fmt: skip


def run(value: float, seed: int = 0, program=FedAvg(), **changes):
    return fake(program, [record(1, 0.1), record(2, 0.2)], seed=seed, judged=judged(value, value, **changes))


def test_a_run_is_told_by_its_judged_point_and_an_older_one_by_its_last_round():
    found = interval([run(0.9)], "accuracy")
    assert found.value == 0.9
    assert 0.85 < found.low < 0.9 < found.high < 0.95
    assert not found.few
    old = [fake(FedAvg(), [record(1, 0.5), record(2, v)], seed=i) for i, v in enumerate((0.7, 0.8))]
    assert interval(old, "accuracy").value == pytest.approx(0.75)
    assert interval(old[:1], "accuracy") is None


def test_few_rows_are_too_few_to_tell():
    assert interval([run(0.9, rows=29)], "accuracy").few == TOO_FEW
    few = difference([run(0.9, rows=29)], [run(0.1, rows=29)], "accuracy")
    assert few.few == TOO_FEW
    assert not few.told


def test_the_best_setting_and_those_that_cannot_be_told_from_it():
    settings = [[run(v, s, SyncSGD()) for s in (0, 1)] for v in (0.70, 0.90, 0.9001)]
    assert tied(settings, "accuracy", higher=True) == (2, {1, 2})
    assert tied(settings, "accuracy", higher=False) == (0, {0})
    assert tied([[fake(FedAvg(), [record(1, 0.5)])]] * 2, "accuracy", True) is None


def test_overfitting_is_a_loss_beyond_the_interval():
    over = fake(FedAvg(), [record(1, 0.1)], judged=judged(0.90, 0.80))
    assert worse_at_the_end(over, "accuracy", higher=True).value == pytest.approx(0.1)
    assert worse_at_the_end(over, "accuracy", higher=False) is None
    assert worse_at_the_end(fake(FedAvg(), [], judged=judged(0.90, 0.899)), "accuracy", higher=True) is None
    assert worse_at_the_end(fake(FedAvg(), []), "accuracy", higher=True) is None


def test_bounds_go_by_the_metric():
    assert interval([run(0.99, rows=60)], "accuracy").high <= 1
    assert interval([run(0.99, moved=0.1)], "accuracy", PLAIN).high > 1


def test_json_says_how_a_run_is_judged():
    found = as_json(fake(FedAvg(), [record(1, 0.1)], judged=judged(0.90, 0.80)))["judged"]
    assert (found["rounds"], found["how"], found["by"], found["rows"]) == ([3], "crossed", "accuracy", 200)
    told = found["values"]["accuracy"]
    assert told["value"] == 0.9
    assert told["interval"]["low"] < 0.9 < told["interval"]["high"]
    assert told["in_the_last_round"] == 0.8
    assert told["interval"]["covers"] == "over which rows happen to be judged; not over other data"
    assert as_json(fake(FedAvg(), [record(1, 0.1)]))["judged"] is None


def test_overfitting_is_said_with_its_round():
    run = fake(FedAvg(), [record(1, 0.1)], judged=judged(0.90, 0.80))
    said = overfitted(run)
    assert said.startswith(
        "overfitted: accuracy went from 90.0 % in round 3 to 80.0 % in the last (by 10.0 points, 95 % "
    )
    assert said.endswith("on rows that had no say in the choice); it is judged in round 3")
    assert overfitted(fake(FedAvg(), [record(1, 0.1)], judged=judged(0.90, 0.90))) is None
    assert overfitted(fake(FedAvg(), [record(1, 0.1)])) is None
