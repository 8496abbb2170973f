"""A messy table of four hospitals, from file to model: federated comes near pooled, and each alone does not."""

from pathlib import Path

import pytest
import torch

import foedus as fd
from foedus.data import load
from foedus.data.tables import look

from .make_hospitals import COLUMNS, HOSPITALS, make

SHIPPED = Path(__file__).parents[3] / "examples" / "hospitals.csv"


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    path = tmp_path_factory.mktemp("hospitals") / "hospitals.csv"
    path.write_text(make(), encoding="utf-8")
    return load("csv", path=path, target="disease", node="hospital", id="patient").split()


def test_the_shipped_copy_is_what_the_generator_makes():
    assert SHIPPED.read_text(encoding="utf-8") == make()


def test_four_hospitals_agree_on_what_their_columns_are(federation):
    assert federation.node_names == tuple(HOSPITALS)
    assert sum(federation.sizes) + len(federation.test_x) == sum(HOSPITALS.values())
    assert federation.class_names == ("no", "yes")
    # Spelled in many ways, it is one value.
    assert [f for f in federation.feature_names if f.startswith("sex")] == ["sex = female", "sex = male"]
    chol = next(line for line in federation.preparation.lines if line.startswith("chol: "))
    assert "missing values become the mean" in chol
    assert abs(federation.x.mean(0)).max() < 1
    assert federation.preparation.bytes < 10_000


@pytest.mark.parametrize("network", ["logistic", "mlp"])
def test_federated_is_near_pooled_and_above_each_alone(federation, network):
    features = len(federation.feature_names)
    module = fd.models.logistic(features, 2) if network == "logistic" else fd.models.mlp(features, 16, 2)
    model = fd.Model(module, metrics=["accuracy", "auc"])
    local = fd.LocalSGD(epochs=2, batch_size=16, lr=0.05)
    programs = (fd.FedAvg(rounds=15, local=local), fd.Centralized(15, local), fd.LocalOnly(15, local))
    federated, pooled, alone = (fd.train(p, model, federation, evaluate_every=15).history[-1].auc for p in programs)
    assert federated > 0.85
    assert federated > pooled - 0.02
    assert federated > alone + 0.04


def test_a_look_finds_out_what_is_what():
    seen = look(SHIPPED)
    assert (seen.source, seen.rows, len(seen.columns)) == ("csv", 920, len(COLUMNS))
    roles = {"target": "disease", "node": "hospital", "drop": ("patient",)}
    assert seen.options == {"path": SHIPPED, **roles, "test": None}
    assert seen.questions == ()
    table = load(seen.source, **seen.options)
    assert table.split().node_names == tuple(HOSPITALS)
    assert "node: hospital, as its name says so and it has 4 values" in seen.lines


def test_a_row_is_known_again_in_whichever_part_it_is(federation):
    """By its place in the whole table: rows that are trained on, held out or tested on are all of them, each once."""
    placed = [federation.units[federation.index.long()], federation.test_units]
    assert sorted(torch.cat(placed).tolist()) == list(range(sum(HOSPITALS.values())))
