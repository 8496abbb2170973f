"""What groups of rows move values by: influence functions where these are known, and sums of any parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.types.cells import CELLS, GROUPS
from foedus.core.types.grouped import Grouped, by_cell
from foedus.core.types.metric import LOSS, Metric, metric
from foedus.core.types.scoring import needs

ROWS = 60
ALONE = torch.arange(ROWS)  # every row a group of its own, all in the first half


def classified(metrics, cells=ALONE, seed=0, rows=ROWS, classes=2):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (rows,), generator=g)
    output = torch.randn(rows, classes, generator=g) + 1.2 * torch.nn.functional.one_hot(y, classes)
    measures = [metric(m) for m in metrics]
    losses = torch.nn.functional.cross_entropy(output, y, reduction="none")
    return output, y, losses, measures, by_cell(output, y, losses, needs(measures), cells, None)


def moved(grouped, measures, halves=(0,)):
    return grouped.deviations(measures, halves)


def test_a_mean_is_moved_by_what_a_row_is_above_it():
    output, y, losses, measures, grouped = classified(["accuracy"])
    right = (output.argmax(1) == y).double().numpy()
    found = moved(grouped, measures)
    assert found["accuracy"][:ROWS] == pytest.approx((right - right.mean()) / ROWS, abs=1e-12)
    assert found["loss"][:ROWS] == pytest.approx(((losses - losses.mean()) / ROWS).numpy(), abs=1e-6)
    assert (found["accuracy"][ROWS:] == 0).all()


def test_an_area_under_the_curve_has_delongs_variance():
    output, y, _, measures, grouped = classified(["auc"])
    scores = (output[:, 1] - output[:, 0]).double().numpy()
    ones, zeros = scores[y.numpy() == 1], scores[y.numpy() == 0]
    above = (ones[:, None] > zeros).astype(float)
    delong = above.mean(1).var() / len(ones) + above.mean(0).var() / len(zeros)
    assert float(np.square(moved(grouped, measures)["auc"]).sum()) == pytest.approx(delong, rel=0.06)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "mcc", "kappa", "brier", "average_precision"])
def test_any_metric_of_sums_is_moved_as_leaving_a_row_out_moves_it(name):
    """The jackknife that leaves out, instead of adding, one row has the same variance to first order."""
    output, y, losses, measures, grouped = classified([name])

    def value(rows):
        made = by_cell(output[rows], y[rows], losses[rows], needs(measures), torch.zeros_like(rows), None)
        from foedus.core.types.grouped import _statistics
        from foedus.core.types.scoring import value as of

        total = {k: t.double().sum(0) for k, t in made.counted.items()}
        return of(measures[0], _statistics(total, total))

    every = torch.arange(ROWS)
    without = np.array([value(every[every != i]) for i in range(ROWS)])
    left_out = (value(every) - without) * (1 - 1 / ROWS)
    found = moved(grouped, measures)[name][:ROWS]
    assert float(np.square(found).sum()) == pytest.approx(float(np.square(left_out).sum()), rel=0.12)
    assert np.corrcoef(found, left_out)[0, 1] > 0.99


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_errors_are_moved_by_their_influence_whatever_the_targets_offset(offset):
    g = torch.Generator().manual_seed(1)
    y = torch.randn(ROWS, 1, generator=g, dtype=torch.float64) + offset
    output = y + 0.5 * torch.randn(ROWS, 1, generator=g, dtype=torch.float64)
    measures = [metric(m) for m in ("rmse", "mae", "r2")]
    unit = torch.tensor([2.0], dtype=torch.float64)
    grouped = by_cell(output, y, torch.zeros(ROWS), needs(measures), ALONE, unit)
    e, t = (2 * (output - y)).flatten().numpy(), 2 * (y - y.mean()).flatten().numpy()
    rmse, around = np.sqrt(np.mean(e**2)), np.mean(t**2)
    expected = {
        "rmse": (e**2 - rmse**2) / (2 * rmse * ROWS),
        "mae": (abs(e) - abs(e).mean()) / ROWS,
        "r2": -(e**2 - rmse**2 / around * t**2) / (around * ROWS),
    }
    found = moved(grouped, measures)
    for name, influence in expected.items():
        assert np.square(found[name]).sum() == pytest.approx(np.square(influence).sum(), rel=0.12)
        assert np.corrcoef(found[name][:ROWS], influence)[0, 1] > 0.99


@settings(max_examples=6)
@given(st.integers(1, 5), st.integers(0, 100))
def test_parts_add_up_to_the_whole(parts, seed):
    cells = torch.randint(CELLS, (ROWS,), generator=torch.Generator().manual_seed(seed))
    output, y, losses, measures, whole = classified(["auc_ovr", "f1_macro", "log_loss"], cells, seed, classes=3)
    total = Grouped({})
    for rows in torch.arange(ROWS).tensor_split(parts):
        total = total + by_cell(output[rows], y[rows], losses[rows], needs(measures), cells[rows], None)
    for k, t in whole.counted.items():
        torch.testing.assert_close(total.counted[k], t, rtol=1e-12, atol=1e-12)
    assert sum(whole.rows) == ROWS
    assert whole.rarest == int(torch.bincount(y).min())


def test_halves_are_told_apart_and_what_is_not_defined_is_not_there():
    output, y, losses, measures, _ = classified(["auc"])
    of_one_class = y * GROUPS + ALONE % GROUPS  # a half a class
    grouped = by_cell(output, y, losses, needs(measures), of_one_class, None)
    assert "auc" not in grouped.deviations(measures, (0,))
    assert "loss" in grouped.deviations(measures, (0,))
    assert "auc" in grouped.deviations(measures, (0, 1))
    assert grouped.rows == tuple(torch.bincount(y).double().tolist())
    assert Grouped({}).deviations(measures, (0, 1)) == {}
    assert (Grouped({}).rows, Grouped({}).rarest) == ((0.0, 0.0), None)


def test_what_cannot_be_taken_apart_has_no_deviations():
    measures = [Metric("mine", lambda outputs, targets: 1.0), metric("median_absolute_error"), LOSS]
    y = torch.randn(ROWS, 1)
    grouped = by_cell(y + 1, y, torch.ones(ROWS), needs(measures), ALONE, None)
    assert set(grouped.deviations(measures, (0,))) == {"loss"}


def test_few_rows_are_told_by_where_they_fall_and_many_by_counts():
    """What a node with few rows answers is small, and to the bit what counts would have said."""
    _, _, _, measures, few = classified(["auc", "accuracy"])
    assert sum(t.numel() * t.element_size() for t in few.tensors.values()) < 8 * CELLS * 4 + 4 * ROWS
    counts = Grouped(few.counted)
    assert "coarse" in counts.tensors
    assert {m: d.tobytes() for m, d in few.deviations(measures, (0,)).items()} == {
        m: d.tobytes() for m, d in counts.deviations(measures, (0,)).items()
    }
    assert few.rarest == counts.rarest
    for both in (few + counts, counts + few, Grouped.sum([few, few])):
        assert torch.equal(both.counted["coarse"], 2 * counts.tensors["coarse"])
    many = 50_000
    g = torch.Generator().manual_seed(0)
    output, y = torch.randn(many, 2, generator=g), torch.randint(2, (many,), generator=g)
    whole = by_cell(output, y, torch.ones(many), needs(measures), torch.arange(many) % CELLS, None)
    assert "coarse" in whole.tensors
