"""``train``: the run it returns, its folder, and the process it leaves as it was."""

import json
import logging
from dataclasses import dataclass

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus import report
from foedus.testing import half_squares


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0), test=0.25).split(fd.data.IID(), nodes=5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.1), nn.Linear(6, 3)))


FEDAVG = fd.FedAvg(rounds=4, local=fd.LocalSGD(lr=0.2))


def test_a_run_is_the_record_of_it_all(data, model):
    run = fd.train(FEDAVG, model, data, seed=3, per_node=True)
    assert (run.status, run.name, run.seed, run.nodes) == ("finished", "FedAvg", 3, 5)
    assert run.sizes == data.sizes
    assert sum(map(sum, run.label_counts)) == 45
    assert run.evaluated_on.rows == "test"
    assert [r.round for r in run.history] == [1, 2, 3, 4]
    assert [r.epochs for r in run.history] == [1, 2, 3, 4]
    assert all(r.cohort == 5 for r in run.history)
    assert run.history[-1].bytes_up == run.ledger.bytes_up == 4 * 5 * 4 * model.layout.size
    assert run.history[-1].messages == 40
    assert sorted(run.ledger.nodes) == [0, 1, 2, 3, 4]
    assert run.vector.dtype == torch.float32
    assert len(run.sha256) == 64
    walls = [r.wall_s for r in run.history]
    assert walls == sorted(walls)
    assert walls[0] > 0
    out = run.model()(data.test_x)
    hits = (out.argmax(1) == data.test_y).double().mean().item()
    assert run.history[-1].accuracy == pytest.approx(hits)
    loss = nn.functional.cross_entropy(out, data.test_y).item()
    assert run.history[-1].loss == pytest.approx(loss, rel=1e-5)


def test_seeds_decide(data, model):
    runs = [fd.train(FEDAVG, model, data, seed=s).sha256 for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_a_model_can_be_trained_again_from_its_start(data, model):
    before = model.initial.clone()
    first = fd.train(FEDAVG, model, data)
    kept = first.vector.clone()
    second = fd.train(FEDAVG, model, data)
    assert torch.equal(model.initial, before)
    assert first.sha256 == second.sha256
    assert torch.equal(first.vector, kept)
    numbers = torch.cat([p.flatten() for p in first.model().parameters()])
    assert torch.equal(numbers.detach(), first.vector)


def test_threads_and_the_generator_are_as_they_were(data, model):
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    torch.set_num_threads(2)
    try:
        fd.train(FEDAVG, model, data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.rand(3), expected)


def test_the_callers_randomness_does_not_matter(data, model):
    shas = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        shas.add(fd.train(FEDAVG, model, data).sha256)
    assert len(shas) == 1


def test_the_folder_holds_the_record_of_it_all(data, model, tmp_path):
    run = fd.train(FEDAVG, model, data, out=tmp_path / "a" / "b")
    assert run.out == tmp_path / "a" / "b"
    assert sorted(p.name for p in run.out.iterdir()) == [
        "best.safetensors", "checkpoint.safetensors", "history.jsonl", "ledger.jsonl", "model.safetensors",
        "previous.safetensors", "run.json",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (run.out / "history.jsonl").read_text().splitlines()]
    assert [x["round"] for x in lines] == [1, 2, 3, 4]
    assert [x["accuracy"] for x in lines] == [r.accuracy for r in run.history]


def test_progress_hears_of_every_commit(data, model):
    seen = []
    run = fd.train(FEDAVG, model, data, progress=seen.append)
    assert seen == run.history


def test_plot_and_report(data, model, tmp_path):
    matplotlib.use("Agg")
    run = fd.train(FEDAVG, model, data)
    assert run.plot(tmp_path / "run.png").read_bytes()[:4] == b"\x89PNG"
    assert "<html" in run.report(tmp_path / "run.html").read_text()[:500]


@dataclass(frozen=True)
class Broken(fd.LocalSGD):
    good: int = 0

    def __call__(self, node, args):
        if node.id == 2 and len(node.state.get("n", ())) >= self.good:
            raise OSError("no such sensor")
        u, _ = super().__call__(node, args)
        return u, {"n": torch.zeros(len(node.state.get("n", ())) + 1)}


def test_a_failed_run_writes_its_traceback_beside_what_it_kept(data, model, tmp_path, caplog):
    with (
        caplog.at_level(logging.INFO, "foedus"),
        pytest.raises(fd.NodeFailed, match=r"node 2 failed in round 3: OSError: no such sensor") as e,
    ):
        fd.train(fd.FedAvg(rounds=5, local=Broken(good=2)), model, data, out=tmp_path / "run")
    assert "Traceback" in caplog.text
    assert (tmp_path / "run" / "error.log").read_text() == e.value.log
    run = fd.train(fd.FedAvg(rounds=5, local=Broken(good=99)), model, data, out=tmp_path / "run", resume=True)
    assert run.sha256 == fd.train(fd.FedAvg(rounds=5, local=Broken(good=99)), model, data).sha256


def test_a_failure_in_the_first_round_leaves_no_run_behind(data, model, tmp_path):
    with pytest.raises(fd.NodeFailed) as e:
        fd.train(fd.FedAvg(rounds=5, local=Broken()), model, data, out=tmp_path / "run")
    assert "no such sensor" in e.value.log
    assert e.value.run.history == []
    assert fd.train(FEDAVG, model, data, out=tmp_path / "run2").status == "finished"


def test_an_error_of_the_programs_own_comes_through_as_it_is(data, model):
    class Program:
        async def __call__(self, fed):
            await fed.begin(lambda w: fd.State(w=w))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fd.train(Program(), model, data)


def test_a_peer_program_that_never_commits_is_told(data, model):
    class Program:
        async def __call__(self, peer: fd.Peer):
            await peer.begin(fd.State)

    with pytest.raises(fd.ProgramError, match="commit"):
        fd.train(Program(), model, data)


def test_local_runs_in_real_time_with_the_same_bits(data, model):
    simulated = fd.train(FEDAVG, model, data)
    real = fd.train(FEDAVG, model, data, runtime=fd.Local())
    assert real.sha256 == simulated.sha256
    assert real.history[-1].virtual_s == 0.0
    assert real.ledger.total.compute_s > 0
    part = fd.train(FEDAVG, model, data, runtime=fd.Local(), stop=fd.AfterCommits(2))
    assert fd.train(FEDAVG, model, data, runtime=fd.Local(), resume=part).sha256 == real.sha256
    assert fd.train(FEDAVG, model, data, resume=part).sha256 == real.sha256


def test_train_within_a_running_loop(data, model):
    import asyncio

    async def notebook():
        inside = fd.train(FEDAVG, model, data)
        await asyncio.sleep(0)
        return inside

    assert asyncio.run(notebook()).sha256 == fd.train(FEDAVG, model, data).sha256


def test_a_run_that_diverges_in_finite_numbers_says_so(caplog):
    # (w - 1)^2 / 2 with a rate of 3: every step doubles the distance.
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    data = fd.data.arrays(torch.ones(2, 1), torch.ones(2, 1), node=[0, 1]).split(fd.data.Natural())
    program = fd.FedAvg(8, local=fd.LocalSGD(steps=1, batch_size=None, lr=3.0))
    with caplog.at_level("WARNING", logger="foedus"):
        run = fd.train(program, fd.Model(module, half_squares), data)
    assert run.status == "finished"
    assert run.grown == (2.0, 2.0 * 4**7)
    said = "the loss grew from 2 to 3.28e+04: the run diverged"
    assert said in caplog.text
    assert said in " ".join(report.show(run).plain(200).split())
