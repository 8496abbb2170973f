"""Scoring: every metric is that of scikit-learn where rows are kept, within a bin where they are not, and of all rows
however they are divided.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from foedus import Model
from foedus.core.errors import BadInput
from foedus.core.types.metric import Metric
from foedus.core.types.ranking import Ranking, area, edges
from foedus.core.types.scoring import needs, value, values
from foedus.core.types.statistics import Statistics, measured

N = 400


def draw(kind, n=N, seed=0):
    """Outputs, targets and a model of their shape."""
    g = torch.Generator().manual_seed(seed)
    if kind == "two":
        out = 3 * torch.randn(n, 2, generator=g)
        return out, (out[:, 1] - out[:, 0] + 4 * torch.randn(n, generator=g) > 0).long(), "cross_entropy"
    if kind == "logit":
        out = 3 * torch.randn(n, 1, generator=g)
        return out, (out[:, 0] + 4 * torch.randn(n, generator=g) > 1).long(), "bce"
    if kind == "four":
        out = 2 * torch.randn(n, 4, generator=g)
        return out, (out + 3 * torch.randn(n, 4, generator=g)).argmax(1), "cross_entropy"
    if kind == "labels":
        out = 2 * torch.randn(n, 3, generator=g)
        return out, (out + 3 * torch.randn(n, 3, generator=g) > 0).float(), "bce"
    out = 3 * torch.randn(n, 2, generator=g) + 5
    return out, out + torch.randn(n, 2, generator=g) ** 3, "mse"


def probability(kind, out):
    return (out.double().softmax(1) if kind in ("two", "four") else out.double().sigmoid()).numpy()


def of_two(function, **options):
    return lambda y, p, out: function(y, (p[:, -1] > 0.5).astype(int), **options)


def of_four(function, **options):
    return lambda y, p, out: function(y, p.argmax(1), **options)


def ranked(function, **options):
    return lambda y, p, out: function(y, p[:, -1], **options)


def cut(function, at, **options):
    return lambda y, p, out: function(y, (p[:, -1] >= at).astype(int), **options)


def sensitivity_at_specificity(y, p, out):
    fpr, tpr, _ = sk.roc_curve(y, p[:, -1], drop_intermediate=False)
    return tpr[1 - fpr >= 0.9].max()


TWO = {
    "accuracy": of_two(sk.accuracy_score),
    "balanced_accuracy": of_two(sk.balanced_accuracy_score),
    "f1": of_two(sk.f1_score),
    "precision": of_two(sk.precision_score),
    "recall": of_two(sk.recall_score),
    "sensitivity": of_two(sk.recall_score),
    "specificity": of_two(sk.recall_score, pos_label=0),
    "kappa": of_two(sk.cohen_kappa_score),
    "mcc": of_two(sk.matthews_corrcoef),
    "roc_auc": ranked(sk.roc_auc_score),
    "average_precision": ranked(sk.average_precision_score),
    "neg_brier_score": ranked(sk.brier_score_loss),
    "neg_log_loss": lambda y, p, out: sk.log_loss(y, np.stack([1 - p[:, -1], p[:, -1]], 1)),
    "sensitivity_at_threshold_0.3": cut(sk.recall_score, 0.3),
    "specificity_at_threshold_0.3": cut(sk.recall_score, 0.3, pos_label=0),
    "f1_at_threshold_0.3": cut(sk.f1_score, 0.3),
    "accuracy_at_threshold_0.3": cut(sk.accuracy_score, 0.3),
    "sensitivity_at_specificity_0.9": sensitivity_at_specificity,
}
FOUR = {
    "accuracy": of_four(sk.accuracy_score),
    "balanced_accuracy": of_four(sk.balanced_accuracy_score),
    **{f"f1_{how}": of_four(sk.f1_score, average=how) for how in ("macro", "weighted")},
    **{f"precision_{how}": of_four(sk.precision_score, average=how) for how in ("macro", "weighted")},
    **{f"recall_{how}": of_four(sk.recall_score, average=how) for how in ("macro", "weighted")},
    "kappa": of_four(sk.cohen_kappa_score),
    "mcc": of_four(sk.matthews_corrcoef),
    "roc_auc_ovr": lambda y, p, out: sk.roc_auc_score(y, p, multi_class="ovr"),
    "roc_auc_ovr_weighted": lambda y, p, out: sk.roc_auc_score(y, p, multi_class="ovr", average="weighted"),
    "neg_log_loss": lambda y, p, out: sk.log_loss(y, p),
    "brier": lambda y, p, out: np.square(p - np.eye(4)[y]).sum(1).mean(),
}
LABELS = {
    "accuracy": lambda y, p, out: ((p > 0.5) == y).mean(),
    "auc": lambda y, p, out: sk.roc_auc_score(y, p, average="macro"),
    "average_precision": lambda y, p, out: sk.average_precision_score(y, p, average="macro"),
    "brier": lambda y, p, out: np.square(p - y).mean(),
}
NUMBERS = {
    "neg_root_mean_squared_error": lambda y, p, out: math.sqrt(sk.mean_squared_error(y, out)),
    "mse": lambda y, p, out: sk.mean_squared_error(y, out),
    "neg_mean_absolute_error": lambda y, p, out: sk.mean_absolute_error(y, out),
    "neg_median_absolute_error": lambda y, p, out: sk.median_absolute_error(y, out),
    "r2": lambda y, p, out: sk.r2_score(y, out),
}
KINDS = {"two": TWO, "logit": TWO, "four": FOUR, "labels": LABELS, "numbers": NUMBERS}
CASES = [(kind, name) for kind, names in KINDS.items() for name in names]


def model_of(kind, names):
    out, y, loss = draw(kind)
    return Model(nn.Linear(1, out.shape[1]), loss, names), out, y


def expected(kind, name, out, y):
    y = y.double() if y.is_floating_point() else y
    return KINDS[kind][name](y.numpy(), probability(kind, out), out.double().numpy())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_it_is_that_of_sklearn_where_rows_are_kept(kind, name):
    model, out, y = model_of(kind, [name])
    parts = [model.statistics(out[a:b], y[a:b]) for a, b in ((0, 7), (7, 150), (150, N))]
    got = value(model.measures[0], Statistics.sum(parts))
    assert got == pytest.approx(expected(kind, name, out, y), abs=1e-9)


def tolerance(name, s):
    """What bins may cost: nothing to counts and sums, for ranks half the pairs that share a bin."""
    if name in ("roc_auc", "auc", "roc_auc_ovr", "roc_auc_ovr_weighted"):
        return max(float((r.negatives * r.positives).sum()) / 2 / math.prod(r.sizes) for r in s.rankings) + 1e-12
    if "median" in name:
        return 0.05  # 1 / 32 of an octave, about two
    # A precision at the end of a bin stands for those within it; a cut may lie within a bin.
    return 0.01 if name in ("average_precision", "sensitivity_at_specificity_0.9") else 1e-9


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_it_is_so_within_a_bin_where_only_sums_are_sent(kind, name):
    model, out, y = model_of(kind, [name])
    s = model.statistics(out, y).coarse()
    want = expected(kind, name, out, y)
    assert value(model.measures[0], s) == pytest.approx(want, abs=tolerance(name, s))
    assert not set(s.tensors) & {"scores", "labels", "deviations", "outputs", "targets"}
    # Where rows fall is as many numbers, sorted, so that they say no more than how many fall where.
    by_row = {n: t for n, t in s.tensors.items() if isinstance(t, torch.Tensor) and len(t) == N}
    assert set(by_row) <= {"placed", "sized"}
    assert all(t.dtype == torch.int32 and t.equal(t.sort(0).values) for t in by_row.values())


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.lists(st.integers(0, 4), min_size=40, max_size=40), st.permutations(range(5)))
def test_however_rows_are_divided_the_measure_is_that_of_all(kind, owner, order):
    model, out, y = model_of(kind, list(KINDS[kind]))
    node = torch.tensor(owner).repeat(N // 40)
    parts = [model.statistics(out[node == k], y[node == k]).coarse() for k in order if (node == k).any()]
    apart, whole = Statistics.sum(parts), model.statistics(out, y).coarse()
    sums, others = apart.counted(), whole.counted()
    assert all(torch.equal(sums[n], others[n]) for n in ("confusion", "histogram", "sizes") if n in others)
    assert apart.rows == whole.rows == N
    one, other = values(model.measures, apart), values(model.measures, whole)
    assert one == pytest.approx(other, rel=1e-12)
    of_counts = [m.name for m in model.measures if m.option or m.kind in ("auc", "f1", "mcc", "average_precision")]
    assert all(one[n] == other[n] for n in of_counts)  # to the last bit


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_whole_weights_are_rows_that_are_there_so_often(kind):
    model, out, y = model_of(kind, list(KINDS[kind]))
    w = torch.randint(0, 4, (N,), generator=torch.Generator().manual_seed(3))
    weighed = model.statistics(out, y, weights_N=w.double())
    again = model.statistics(out.repeat_interleave(w, 0), y.repeat_interleave(w, 0))
    for a, b in ((weighed, again), (weighed.coarse(), again.coarse())):
        assert values(model.measures, a) == pytest.approx(values(model.measures, b), rel=1e-9)


def test_halves_are_added_and_nothing_is_neutral():
    model, out, y = model_of("two", ["auc", "f1"])
    a, b = model.statistics(out[:100], y[:100]), model.statistics(out[100:], y[100:])
    assert values(model.measures, a + b) == values(model.measures, model.statistics(out, y))
    assert (a + Statistics({})).tensors is a.tensors
    assert (Statistics({}) + a).tensors is a.tensors
    mixed = a + b.coarse()  # rows beside counts: counts are what both have
    assert values(model.measures, mixed) == values(model.measures, (a + b).coarse())
    assert Statistics.sum([]).rows == 0
    assert values(model.measures, Statistics.sum([])) == {}


@pytest.mark.parametrize(
    ("name", "y", "predicted"),
    [
        ("auc", [1, 1, 1], [0, 1, 1]), ("average_precision", [0, 0, 0], [0, 1, 1]), ("precision", [0, 1, 1], [0, 0, 0]),
        ("recall", [0, 0, 0], [0, 1, 0]), ("specificity", [1, 1, 1], [0, 1, 0]), ("f1", [0, 0, 0], [0, 0, 0]),
        ("kappa", [0, 0, 0], [0, 0, 0]), ("mcc", [1, 1, 1], [0, 1, 0]),
        ("sensitivity_at_threshold_0.3", [0, 0, 0], [0, 1, 0]),
    ],
)  # fmt: skip
def test_what_is_not_defined_is_not_there(name, y, predicted):
    model = Model(nn.Linear(1, 2), metrics=[name])
    out = torch.eye(2)[predicted] * 4
    s = model.statistics(out, torch.tensor(y))
    assert value(model.measures[0], s) is None
    assert name not in values(model.measures, s)
    assert value(model.measures[0], s.coarse()) is None


def test_a_constant_target_has_no_r2_and_a_mean_far_from_zero_loses_nothing():
    m = Model(nn.Linear(1, 1), "mse", ["r2"])
    assert "r2" not in values(m.measures, m.statistics(torch.ones(3, 1), torch.full((3, 1), 2.0)))
    g = torch.Generator().manual_seed(0)
    y = torch.randn(1000, 1, generator=g, dtype=torch.float64) + 1e9
    out = y + 0.1 * torch.randn(1000, 1, generator=g, dtype=torch.float64)
    s = Statistics.sum(
        measured(o, t, o[:, 0] * 0, needs(m.measures)) for o, t in zip(out.split(9), y.split(9), strict=True)
    )
    assert value(m.measures[0], s) == pytest.approx(sk.r2_score(y, out), abs=1e-9)


def test_errors_are_in_the_target_s_own_unit():
    model, out, y = model_of("numbers", ["rmse", "mae", "median_absolute_error", "r2"])
    unit = torch.tensor([1000.0, 0.001], dtype=torch.float64)
    got = values(model.measures, model.statistics(out, y, unit))
    a, b = (y * unit).numpy(), (out * unit).numpy()
    assert got["rmse"] == pytest.approx(math.sqrt(sk.mean_squared_error(a, b)), rel=1e-6)
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(a, b), rel=1e-6)
    assert got["r2"] == pytest.approx(sk.r2_score(a, b), rel=1e-6)
    assert got["loss"] == pytest.approx(sk.mean_squared_error(y, out), rel=1e-5)  # as it is trained


def test_calibration_is_by_tenths_of_what_was_said():
    p = torch.tensor([0.05, 0.15, 0.15, 0.95], dtype=torch.float64)
    model = Model(nn.Linear(1, 1), "bce", ["calibration_error"])
    s = model.statistics(torch.logit(p).unsqueeze(1), torch.tensor([0, 0, 1, 1]))
    assert value(model.measures[0], s) == pytest.approx((0.05 + abs(0.3 - 1) + 0.05) / 4)


def test_sure_scores_are_told_apart_where_probabilities_of_float32_are_not():
    z = torch.tensor([[18.0], [19.0], [20.0], [21.0]])
    model = Model(nn.Linear(1, 1), "bce", ["auc"])
    s = model.statistics(z, torch.tensor([0, 0, 1, 1])).coarse()
    assert values(model.measures, s)["auc"] == 1.0
    assert len(edges().unique()) == len(edges())
    assert bool((edges().diff() > 0).all())


# -- functions of one's own --------------------------------------------------------------------------------------------


def test_a_function_of_ones_own_is_given_all_rows_where_they_are_kept():
    mine = Metric("within_one", lambda o, t: ((o - t).abs() < 1).float().mean(), form="share")
    model = Model(nn.Linear(1, 2), "mse", [mine, "rmse"])
    out, y, _ = draw("numbers")
    parts = [model.statistics(o, t) for o, t in zip(out.split(90), y.split(90), strict=True)]
    found = values(model.measures, Statistics.sum(parts))
    assert found["within_one"] == pytest.approx(((out - y).abs() < 1).float().mean().item())
    assert "within_one" not in values(model.measures, Statistics.sum(parts).coarse())


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda o, t: 1 / 0, "the metric mine raised ZeroDivisionError: division by zero.*return None"),
        (lambda o, t: torch.zeros(3), "the metric mine must return one number"),
    ],
)
def test_one_that_fails_is_named(function, says):
    model = Model(nn.Linear(1, 2), metrics=[Metric("mine", function)])
    out, y, _ = draw("two")
    with pytest.raises(BadInput, match=says):
        values(model.measures, model.statistics(out, y))


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_one_that_is_not_defined_is_not_there(nothing):
    model = Model(nn.Linear(1, 2), metrics=[Metric("mine", lambda o, t: nothing)])
    out, y, _ = draw("two")
    assert list(values(model.measures, model.statistics(out, y))) == ["loss"]


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=60))
def test_an_area_is_that_of_the_ranking_to_the_bit(rows):
    scores, yes = (np.array(column) for column in zip(*rows, strict=True))
    scores = scores.astype(np.float32)
    assert area(scores, yes) == Ranking.of(torch.from_numpy(scores), torch.from_numpy(yes)).auc
