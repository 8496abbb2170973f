"""A run read from its folder says what the run itself says; evaluation at the nodes."""

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import foedus as fd
from foedus.core.coordination.evaluation import over_nodes
from foedus.core.records.lock import FolderLock
from foedus.core.records.typed import as_record
from foedus.core.types.metric import named

FEDAVG = fd.FedAvg(rounds=4, local=fd.LocalSGD(lr=0.2))


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(90, 4)).astype("f")
    y = (x[:, 0] > 0).astype(int)
    dataset = fd.data.arrays(x, y, node=[f"site {i % 5}" for i in range(90)])
    return dataset.split(fd.data.Natural(), holdout=0.3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)))


def test_a_run_comes_back_from_its_folder(data, model, tmp_path):
    run = fd.train(FEDAVG, model, data, out=tmp_path / "run", evaluate_nodes=2, per_node=True, config="a = 1\n")
    back = fd.Run.load(tmp_path / "run")
    assert torch.equal(back.vector, run.vector)
    assert torch.equal(back.best_vector, run.best_vector)
    for field in (
        "sha256", "history", "status", "seed", "nodes", "sizes", "label_counts", "evaluated_on", "best", "name",
        "node_metrics", "node_rows", "node_rarest", "node_deviations", "node_everybody",
        "origin", "notices", "config", "node_names", "class_names", "objective", "metrics", "usual", "curves",
    ):  # fmt: skip
        assert getattr(back, field) == getattr(run, field), field
    assert repr(back.program) == repr(run.program)
    assert back.ledger.total == run.ledger.total
    assert back.ledger.nodes == run.ledger.nodes
    assert (back.ledger.virtual_s, back.ledger.wall_s) == (run.ledger.virtual_s, run.ledger.wall_s)
    assert back.node_names == tuple(f"site {i}" for i in range(5))
    assert len(back.origin["data"]) == 16
    assert back.plot(tmp_path / "a.png").exists()
    assert back.report(tmp_path / "a.html").exists()
    with pytest.raises(fd.BadInput, match="not its code"):
        back.model()


def test_the_models_file_holds_the_modules_own_names_and_numbers(data, model, tmp_path):
    run = fd.train(FEDAVG, model, data, out=tmp_path / "run")
    for which, name in (("last", "model"), ("best", "best")):
        held = safetensors.torch.load_file(tmp_path / "run" / f"{name}.safetensors")
        trained = run.state_dict(which)
        assert list(trained) == list(run.model(which).state_dict())
        assert held.keys() == trained.keys()
        assert all(torch.equal(held[k], trained[k]) for k in held)
        assert "1.num_batches_tracked" in held


def test_a_model_leaves_as_onnx(data, model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = fd.train(FEDAVG, model, data)
    x, _ = data.rows(0).batch()
    session = onnxruntime.InferenceSession(run.to_onnx(tmp_path / "model.onnx", x[:2]))
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert torch.allclose(torch.from_numpy(out), run.model()(x), atol=1e-5)


def test_a_run_that_goes_on_or_was_killed_can_be_looked_at(data, model, tmp_path):
    out, seen = tmp_path / "run", []
    fd.train(FEDAVG, model, data, out=out, progress=lambda r: seen.append(fd.Run.load(out)))
    assert [s.status for s in seen] == ["running"] * 4
    assert [len(s.history) for s in seen] == [1, 2, 3, 4]
    assert torch.equal(seen[-1].vector, fd.Run.load(out).vector)
    told = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(told | {"status": "running"}))
    assert fd.Run.load(out).status == "killed"
    lock = FolderLock(out)
    lock.acquire()
    assert fd.Run.load(out).status == "running"
    lock.release()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", b"{", "damaged"),
        ("run.json", b"{}", "damaged"),
        ("run.json", None, "holds no run"),
        ("model.safetensors", b"not a model", "damaged"),
        ("history.jsonl", b"{}}\n", "damaged"),
    ],
)
def test_a_damaged_folder_is_one_clear_line(data, model, tmp_path, name, content, says):
    fd.train(FEDAVG, model, data, out=tmp_path / "run")
    if content is None:
        (tmp_path / "run" / name).unlink()
    else:
        (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(fd.BadInput, match=says) as e:
        fd.Run.load(tmp_path / "run")
    assert "\n" not in str(e.value)


GONE = object()


def places(told, path=()):
    """The path of everything in a JSON value; of a list its first element stands for all."""
    if path:
        yield path
    inner = told.items() if isinstance(told, dict) else enumerate(told[:1]) if isinstance(told, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(told, path, value):
    told = json.loads(json.dumps(told))
    at = told
    for key in path[:-1]:
        at = at[key]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return told


def looked_at(folder, page=None):
    """What every look at a folder does: it works, or is one line that names the file. Returns that."""
    try:
        run = fd.Run.load(folder)
        fd.report.show(run)
        fd.report.as_json(run)
        if page is not None:
            run.report(page)
    except fd.BadInput as e:
        return str(e)
    return ""


@pytest.fixture
def of_all_kinds(data, model, tmp_path):
    """The folder of a run with something in every field of its files, which says no digests of them."""
    fd.train(FEDAVG, model, data, out=tmp_path / "run", evaluate_nodes=1, per_node=True, stop=fd.AfterCommits(3))
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(told | {"lines": None}))
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("values", "whole_page"),
    [
        pytest.param((None, "x", [[]]), False, id="some"),
        pytest.param((None, "x", -1, 1.5, True, [], {}, ["x"], {"a": 1}, [[]], 10**30, GONE), True, id="all",
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["run.json", "history.jsonl", "ledger.jsonl"])
def test_a_field_of_a_wrong_type_is_one_line_that_names_it(of_all_kinds, tmp_path, name, values, whole_page):
    file, refused = of_all_kinds / name, 0
    lines = [file.read_text()] if name == "run.json" else file.read_text().splitlines()
    at = len(lines) // 2  # the second of three lines
    for path in places(json.loads(lines[at])):
        for value in values:
            if path[0] == "node_metrics" and type(value) is list:
                continue  # any numbers may be there
            other = [*lines[:at], json.dumps(changed(json.loads(lines[at]), path, value)), *lines[at + 1 :]]
            file.write_text("\n".join(other) + "\n")
            says = looked_at(of_all_kinds, tmp_path / "page.html" if whole_page else None)
            refused += bool(says)
            if says:
                assert f"{name} is damaged" in says
                assert "\n" not in says
                assert name == "run.json" or "in line 2" in says
    assert refused > 20


def test_what_is_wrong_is_named(of_all_kinds):
    line = of_all_kinds / "history.jsonl"
    line.write_text(line.read_text().replace('"accuracy":', '"accuracy":"', 1).replace(',"auc"', '","auc"', 1))
    assert "history.jsonl is damaged in line 1: field accuracy: Expected `float | null`, got `str`" in looked_at(
        of_all_kinds
    )
    told = json.loads((of_all_kinds / "run.json").read_text())
    (of_all_kinds / "run.json").write_text(json.dumps(changed(told, ("ledger", "nodes", "0", "jobs"), "9")))
    assert "field ledger.nodes.jobs: Expected `int`, got `str`" in looked_at(of_all_kinds)


@pytest.mark.parametrize("name", ["history.jsonl", "ledger.jsonl"])
def test_one_bit_of_a_figure_is_not_shown_as_another(data, model, tmp_path, name):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out)
    whole = (out / name).read_bytes()
    at = whole.rindex(b'"bytes_up":') + len(b'"bytes_up":')
    (out / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(fd.BadInput, match=f"{name} was changed"):
        fd.Run.load(out)


def test_a_figure_that_is_no_number_comes_back_as_such():
    """JSON has no NaN: it is written as null."""
    assert math.isnan(as_record({"round": 1, "metrics": {"odd": None}}).metrics["odd"])


def test_no_folder_no_run(tmp_path):
    with pytest.raises(fd.BadInput, match="is not a folder"):
        fd.Run.load(tmp_path / "nothing")


# -- evaluation at the nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_every_node_evaluates_on_what_it_holds_out(data, model, workers):
    run = fd.train(FEDAVG, model, data, evaluate_nodes=3, runtime=fd.Simulation(workers=workers))
    module = run.model()
    expected = []
    for n in range(5):
        x, y = data.held_out(n).batch()
        expected.append((module(x).argmax(1) == y).double().mean().item())
    assert run.node_metrics["accuracy"] == pytest.approx(expected)
    last = run.history[-1].metrics
    assert last["node_mean_accuracy"] == pytest.approx(np.mean(expected))
    assert last["node_worst_decile_accuracy"] == pytest.approx(min(expected))
    # Due in round 3 and, as the last, in round 4.
    assert ["node_mean_accuracy" in r.metrics for r in run.history] == [False, False, True, True]
    assert run.evaluated_on.rows == "held out"
    plain = fd.train(FEDAVG, model, data)
    assert plain.sha256 == run.sha256
    assert plain.history[-1].bytes_up == run.history[-1].bytes_up
    assert plain.node_metrics is None


def test_without_held_out_rows_nodes_use_their_training_rows(model):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("f")
    data = fd.data.arrays(x, (x[:, 0] > 0).astype(int)).split(fd.data.IID(), nodes=4)
    run = fd.train(FEDAVG, model, data, evaluate_nodes=1, stop=fd.AfterCommits(2))
    x0, y0 = data.rows(0).batch()
    assert run.node_metrics["accuracy"][0] == pytest.approx((run.model()(x0).argmax(1) == y0).double().mean().item())
    assert "node_mean_loss" in run.history[-1].metrics


def test_nodes_that_train_alone_evaluate_their_own_models(data, model):
    run = fd.train(fd.LocalOnly(rounds=2, local=fd.LocalSGD(lr=0.2)), model, data, evaluate_nodes=1)
    alone = []
    for n in range(5):  # a federation of one node is that node alone, but for its number, which names its draws
        x, y = data.held_out(n).batch()
        w = run.checkpoint.tree["state"].models[n]
        alone.append((model.copy_of(w)(x).argmax(1) == y).double().mean().item())
    assert run.node_metrics["accuracy"] == pytest.approx(alone)


def test_a_metric_that_a_node_cannot_have_is_none(model):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("f")
    y = np.r_[np.zeros(10), np.arange(30) % 2].astype(int)  # node 0 has one class
    data = fd.data.arrays(x, y, node=np.repeat(range(4), 10)).split(fd.data.Natural())
    run = fd.train(fd.FedAvg(rounds=1), fd.Model(nn.Linear(4, 1), loss="bce"), data, evaluate_nodes=1)
    assert run.node_metrics["auc"][0] is None
    assert all(0 <= v <= 1 for v in run.node_metrics["auc"][1:])


def test_the_worst_tenth_is_the_mean_of_the_worst_tenth():
    values = [i / 100 for i in range(100)]
    found = over_nodes(named("accuracy"), values)
    assert found["node_worst_decile_accuracy"] == pytest.approx(np.mean(values[:10]))
    assert over_nodes(named("loss"), values)["node_worst_decile_loss"] == pytest.approx(np.mean(values[90:]))
    assert over_nodes(named("auc"), [None, None]) == {}
    assert math.isclose(over_nodes(named("auc"), [None, 0.25])["node_mean_auc"], 0.25)
