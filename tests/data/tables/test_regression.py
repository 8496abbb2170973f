"""A regression from a table: whatever the size of its target, it is learned alike, and errors are in its own unit."""

import math

import numpy as np
import pytest

import foedus as fd
from foedus.data.tables import TableFile

SIZES = {"tiny": (1e-6, 0.0), "one": (1.0, 0.0), "huge": (1e6, 0.0), "far from zero": (1.0, 1e6)}
METRICS = ["rmse", "mae", "median_absolute_error", "r2"]


@pytest.fixture
def made(tmp_path):
    def make(size, offset, nodes=1, rows=150):
        g = np.random.default_rng(0)
        for node in range(nodes):
            x = g.normal(size=(rows, 3))
            y = (x @ [1.0, -2.0, 0.5] + 0.3 * g.normal(size=rows)) * size + offset
            lines = [",".join(repr(float(v)) for v in (*row, t)) for row, t in zip(x, y, strict=True)]
            (tmp_path / f"{node}.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
        return tmp_path

    return make


def run_of(data, **options):
    model = fd.Model(fd.models.mlp(3, 8, 1), "mse", METRICS)
    local = fd.LocalSGD(epochs=2, batch_size=16, lr=0.1)  # as ``foedus init`` writes it
    return fd.train(fd.FedAvg(10, local=local), model, data, **options)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_learned_whatever_the_size_of_its_target(made, size):
    scale, offset = SIZES[size]
    table = fd.data.load("csv", path=made(scale, offset) / "0.csv", target="y", test=0.3)
    data = table.split(fd.data.IID(), nodes=3)
    run = run_of(data)
    last = run.history[-1]
    assert last.metrics["r2"] > 0.9
    # In the target's unit, as the recipe's answers have it.
    recipe = data.preparation.recipe
    said = np.array(recipe.answers(run.model()(data.test_x).detach()))
    true = np.array(recipe.answers(data.test_y))
    assert last.rmse == pytest.approx(math.sqrt(np.square(said - true).mean()), rel=1e-5)
    assert last.metrics["mae"] == pytest.approx(np.abs(said - true).mean(), rel=1e-5)
    assert last.metrics["median_absolute_error"] == pytest.approx(np.median(np.abs(said - true)), rel=1e-5)
    # What always answering the mean of the training targets would be worth.
    mean = recipe.answers(data.y[data.index].mean())[0]
    assert run.usual["rmse"] == pytest.approx(math.sqrt(np.square(mean - true).mean()), rel=1e-4)
    assert abs(run.usual["r2"]) < 0.1


def test_where_rows_are_only_at_their_nodes_errors_are_in_the_same_unit(made):
    folder = made(1e6, 0.0, nodes=2)
    files = fd.data.AtNodes(TableFile(str(folder / "{node}.csv"), "y"), 2, holdout=0.3)
    run = run_of(files)
    assert run.evaluated_on.where == "nodes"
    assert run.history[-1].metrics["r2"] > 0.9
    assert 2e5 < run.history[-1].rmse < 1e6 < run.usual["rmse"] < 4e6


def test_not_scaled_it_is_as_the_file_has_it(made):
    table = fd.data.load("csv", path=made(3.0, 1.0) / "0.csv", target="y", scale_target=False)
    data = table.split(fd.data.IID(), nodes=3)
    assert data.preparation.unit is None
    run = run_of(data)
    assert run.history[-1].rmse == pytest.approx(math.sqrt(run.history[-1].loss), rel=1e-5)
    around = (data.test_y - data.y[data.index].mean()).square().mean().sqrt()
    assert run.usual["rmse"] == pytest.approx(float(around), rel=1e-4)
