"""Checkpoints: one commit, whole, appearing atomically, and read without executing code."""

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

import foedus as fd
from foedus.core.records import checkpoint as module
from foedus.core.records.atomic import write_atomically
from foedus.core.records.checkpoint import BEFORE_DIGESTS, CHECKPOINT, PREVIOUS, Checkpoint, find, models_in
from foedus.core.records.lines import HISTORY, LEDGER
from foedus.core.types import trees

ROUNDS = 6
NET = fd.Simulation(network=fd.network.WAN)
PROGRAM = fd.FedAvg(
    rounds=ROUNDS,
    cohort=fd.Fixed(4),
    local=fd.LocalSGD(batch_size=4, momentum=0.5),
    server=fd.optimizers.Adam(lr=0.05),
    transforms=(fd.ErrorFeedback(fd.TopK(0.2)),),
)


def train(model, data, program=PROGRAM, **options):
    return fd.train(program, model, data, runtime=NET, **options)


def without_wall(history):
    return [{**vars(r), "wall_s": 0} for r in history]


@pytest.mark.parametrize("k", range(1, ROUNDS))
@pytest.mark.parametrize("where", ["memory", "folder"])
def test_resumed_after_any_commit_it_ends_as_if_it_had_never_stopped(model, data, tmp_path, k, where):
    whole = train(model, data, per_node=True)
    out = tmp_path / "run" if where == "folder" else None
    part = train(model, data, per_node=True, out=out, stop=fd.AfterCommits(k))
    assert (part.status, len(part.history)) == ("stopped", k)
    again = train(model, data, per_node=True, out=out, resume=True if out else part)
    assert again.sha256 == whole.sha256
    assert without_wall(again.history) == without_wall(whole.history)
    assert again.ledger.total == whole.ledger.total
    assert again.ledger.nodes == whole.ledger.nodes
    assert again.best == pytest.approx(whole.best) or vars(again.best) | {"wall_s": 0} == vars(whole.best) | {
        "wall_s": 0
    }
    if out:
        assert len((out / HISTORY).read_text().splitlines()) == ROUNDS


def test_resume_of_a_finished_run_changes_nothing(model, data, tmp_path):
    run = train(model, data, out=tmp_path / "a")
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    again = train(model, data, out=tmp_path / "a", resume=True)
    assert again.status == "finished"
    assert again.sha256 == run.sha256
    assert without_wall(again.history) == without_wall(run.history)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == files


def test_resume_with_more_rounds_goes_on(model, data, tmp_path):
    longer = fd.FedAvg(rounds=5)
    whole = train(model, data, longer)
    train(model, data, fd.FedAvg(rounds=2), out=tmp_path / "a")
    again = train(model, data, longer, out=tmp_path / "a", resume=True)
    assert again.sha256 == whole.sha256
    assert len(again.history) == 5


@pytest.mark.parametrize("stopped", [1, 2, 3, 4, 5])
def test_checkpoints_now_and_then(model, data, tmp_path, stopped):
    whole = train(model, data)

    def stop_dead(record):
        if record.round == stopped:
            os._exit(9)

    out = tmp_path / "a"
    child = os.fork()
    if child == 0:
        try:
            train(model, data, out=out, checkpoint_every=2, progress=stop_dead)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len((out / HISTORY).read_text().splitlines()) == stopped
    if stopped < 2:  # ended before its first checkpoint: it begins anew
        assert not (out / CHECKPOINT).exists()
    else:
        assert Checkpoint.load(out).tree["round"] == stopped // 2 * 2
    again = train(model, data, out=out, resume=True)
    # Lines beyond the checkpoint were cut: each round stands there once.
    assert [json.loads(line)["round"] for line in (out / HISTORY).read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    assert again.sha256 == whole.sha256


def test_a_torn_last_line_of_the_history_is_cut(model, data, tmp_path):
    whole = train(model, data)
    train(model, data, out=tmp_path / "a", stop=fd.AfterCommits(3))
    with open(tmp_path / "a" / HISTORY, "ab") as f:
        f.write(b'{"round": 4, "lo')
    again = train(model, data, out=tmp_path / "a", resume=True)
    assert again.sha256 == whole.sha256
    assert [json.loads(x)["round"] for x in (tmp_path / "a" / HISTORY).read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_a_crash_before_the_rename_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]


def test_what_is_renamed_was_flushed_to_the_disk(tmp_path, monkeypatch):
    calls = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), move(a, b)))
    write_atomically(tmp_path / "file", b"x")
    assert calls == ["sync", "rename", "sync"]


@pytest.fixture
def saved(model, data, tmp_path):
    """A run's folder after two commits, without the checkpoint of the first."""
    train(model, data, out=tmp_path / "a", stop=fd.AfterCommits(2))
    (tmp_path / "a" / PREVIOUS).unlink()
    return tmp_path / "a"


def assert_refused(call, *says):
    with pytest.raises(fd.BadInput) as e:
        call()
    message = str(e.value)
    assert "\n" not in message
    for s in says:
        assert s in message
    return message


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(model, data, saved, size):
    whole = (saved / CHECKPOINT).read_bytes()
    (saved / CHECKPOINT).write_bytes(whole[:size])
    assert_refused(lambda: train(model, data, out=saved, resume=True), CHECKPOINT)


def test_a_flipped_bit_anywhere_is_refused(saved):
    whole = (saved / CHECKPOINT).read_bytes()
    Checkpoint.load(saved)
    rng = np.random.default_rng(0)
    places = {*range(0, 24), len(whole) - 1, *rng.integers(0, len(whole), 150).tolist()}
    header = int.from_bytes(whole[:8], "little")
    places |= set(rng.integers(8, 8 + header, 150).tolist())
    for at in sorted(places):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        (saved / CHECKPOINT).write_bytes(damaged)
        try:
            Checkpoint.load(saved)
        except fd.BadInput as e:
            message = str(e)
        else:
            pytest.fail(f"byte {at} of {len(whole)} (header {header}) was changed, and nobody noticed")
        assert "\n" not in message, at


@pytest.mark.parametrize(
    "damage", [lambda p: p.unlink(), lambda p: p.write_text(""), lambda p: p.write_text("{]\n{}\n")]
)
def test_a_damaged_history_is_refused(model, data, saved, damage):
    damage(saved / HISTORY)
    assert_refused(lambda: train(model, data, out=saved, resume=True), HISTORY)


@pytest.mark.parametrize(("other", "says"), [(1, "newer one; update foedus"), (-2, "start the run again elsewhere")])
def test_a_file_of_another_format_is_refused(model, data, tmp_path, monkeypatch, other, says):
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + other)
    train(model, data, out=tmp_path / "a", stop=fd.AfterCommits(2))
    monkeypatch.undo()
    assert_refused(lambda: Checkpoint.load(tmp_path / "a"), "format", says)  # and not the one before taken


# -- the one before ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [None, b"", b"half a checkpoint"])
@pytest.mark.parametrize("k", [2, 3])
def test_a_checkpoint_that_is_damaged_or_not_there_has_one_before(model, data, tmp_path, caplog, damage, k):
    whole, out = train(model, data), tmp_path / "a"
    train(model, data, out=out, stop=fd.AfterCommits(k))
    if damage is None:  # as if killed between two renames
        (out / CHECKPOINT).unlink()
    else:
        (out / CHECKPOINT).write_bytes(damage)
    found = find(out)
    assert (found.file, found.checkpoint.tree["round"], bool(found.damage)) == (PREVIOUS, k - 1, damage is not None)
    again = train(model, data, out=out, resume=True, stop=fd.AfterCommits(k))
    says = f"is damaged or not a checkpoint .* goes on from commit {k - 1}, the one before"
    assert bool(re.search(says, " ".join(again.notices))) == bool(re.search(says, caplog.text)) == (damage is not None)
    # What was damaged is not kept as the one before.
    assert [find(out).checkpoint.tree["round"], module._read(out, PREVIOUS, "").checkpoint.tree["round"]] == [k, k - 1]
    last = train(model, data, out=out, resume=True)
    assert last.sha256 == whole.sha256
    assert [json.loads(x)["round"] for x in (out / HISTORY).read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    assert not any("may differ" in n for n in last.notices)


def test_both_damaged_is_one_line(model, data, tmp_path):
    train(model, data, out=tmp_path / "a", stop=fd.AfterCommits(2))
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / "a" / name).write_bytes(b"nothing")
    assert_refused(lambda: train(model, data, out=tmp_path / "a", resume=True), CHECKPOINT, "elsewhere")


# -- what stands beside it ---------------------------------------------------------------------------------------------


def shuffled(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))


def flipped(path):
    data = bytearray(path.read_bytes())
    at = data.index(b":", data.index(b"bytes_up")) + 1  # a digit becomes another
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [HISTORY, LEDGER])
@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.unlink(),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(bytes(range(256))),
        lambda p: p.write_bytes(p.read_bytes()[:50]),
        shuffled,
        flipped,
    ],
    ids=["missing", "empty", "noise", "half a line", "shuffled", "one bit"],
)
def test_lines_that_are_not_what_the_checkpoint_was_written_after_are_refused(model, data, tmp_path, name, damage):
    out = tmp_path / "a"
    train(model, data, out=out, stop=fd.AfterCommits(3))
    damage(out / name)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert_refused(lambda: train(model, data, out=out, resume=True), name, "copy")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


@pytest.mark.parametrize("name", [HISTORY, LEDGER])
@pytest.mark.parametrize("left", ["no last line", "half a last line", "noise for a last line"])
def test_a_checkpoint_puts_back_the_line_it_was_written_after(model, data, tmp_path, name, left):
    out = tmp_path / "a"
    train(model, data, out=tmp_path / "whole")
    train(model, data, out=out, stop=fd.AfterCommits(3))
    *first, last = (out / name).read_bytes().splitlines(keepends=True)
    end = {"no last line": b"", "half a last line": last[:40], "noise for a last line": bytes(len(last))}[left]
    (out / name).write_bytes(b"".join(first) + end)
    train(model, data, out=out, resume=True)
    assert [json.loads(x)["round"] for x in (out / name).read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    assert (out / LEDGER).read_bytes() == (tmp_path / "whole" / LEDGER).read_bytes()


def test_a_checkpoint_of_another_run_of_the_same_program_is_refused(model, data, tmp_path):
    train(model, data, out=tmp_path / "a", stop=fd.AfterCommits(2))
    other = fd.FedAvg(rounds=ROUNDS, local=fd.LocalSGD(batch_size=4, lr=0.5))
    train(model, data, other, out=tmp_path / "b", stop=fd.AfterCommits(2))
    (tmp_path / "a" / CHECKPOINT).write_bytes((tmp_path / "b" / CHECKPOINT).read_bytes())
    assert_refused(lambda: train(model, data, out=tmp_path / "a", resume=True), HISTORY, "was changed")


def test_one_without_digests_says_so(model, data, saved):
    """As an older foedus wrote them: no more than what must be there is checked."""
    whole = train(model, data)
    with safetensors.safe_open(saved / CHECKPOINT, framework="pt") as f:
        tree, tensors = f.metadata()["tree"], [f.get_tensor(str(i)) for i in range(len(f.keys()))]
    told = {"format": str(BEFORE_DIGESTS), "tree": tree, "digest": module._digest(tree, tensors)}
    safetensors.torch.save_file({str(i): t for i, t in enumerate(tensors)}, saved / CHECKPOINT, told)
    run = train(model, data, out=saved, resume=True)
    assert run.sha256 == whole.sha256
    assert any("says nothing of the data and the settings" in n for n in run.notices)
    (saved / CHECKPOINT).unlink()
    assert module._read(saved, PREVIOUS, "").checkpoint.circumstances.notices == tuple(run.notices)


def test_reading_executes_no_code(saved):
    data = (saved / CHECKPOINT).read_bytes()
    with safetensors.safe_open(saved / CHECKPOINT, framework="np") as f:  # raw numbers and a JSON header, no more
        assert set(f.keys()) == {str(i) for i in range(len(list(f.keys())))}
        assert all(isinstance(v, str) for v in f.metadata().values())
    header = int.from_bytes(data[:8], "little")
    json.loads(data[8 : 8 + header])
    source = Path(module.__file__).read_text() + Path(trees.__file__).read_text()
    assert "pickle" not in source.replace("without pickle", "")
    assert "torch.load" not in source


def test_every_kind_of_value_survives_the_file(tmp_path):
    tree = {
        "records": 0,
        "odd": [
            math.inf,
            -math.inf,
            5e-324,
            -0.0,
            2**63 - 1,
            "ß\n\x00",
            (1, (2,)),
            {3: {"~": None}},
            True,
            b"\x00\xff",
        ],
        "empty": torch.zeros(0, 3),
        "bits": torch.tensor([True, False]),
        "scalar": torch.tensor(2**40),
        "state": fd.State(w=torch.arange(3.0)[::2], a=np.arange(4).reshape(2, 2)),
        "nan": math.nan,
    }
    (tmp_path / HISTORY).write_bytes(b"")
    Checkpoint(tree, [], {"seed": 1}).save(tmp_path / CHECKPOINT)
    got = Checkpoint.load(tmp_path)
    assert got.identity == {"seed": 1}
    assert got.tree["odd"] == tree["odd"]
    assert math.copysign(1, got.tree["odd"][3]) == -1
    assert got.tree["odd"][8] is True
    assert got.tree["empty"].shape == (0, 3)
    assert got.tree["bits"].dtype == torch.bool
    assert got.tree["scalar"].item() == 2**40
    assert got.tree["state"].w.tolist() == [0, 2]
    assert got.tree["state"].a.tolist() == [[0, 1], [2, 3]]
    assert math.isnan(got.tree["nan"])


def test_tensors_that_share_memory_are_kept_apart(tmp_path):
    w = torch.arange(4.0)
    (tmp_path / HISTORY).write_bytes(b"")
    Checkpoint({"records": 0, "a": w, "b": w, "c": w[1:3]}, [], {}).save(tmp_path / CHECKPOINT)
    got = Checkpoint.load(tmp_path).tree
    got["a"][0] = 9
    assert (got["b"][0], got["c"].tolist()) == (0, [1, 2])


# -- another run's checkpoint -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_a_checkpoint_of_another_run_is_refused(model, data, federation, tmp_path, where):
    out = tmp_path / "a" if where == "folder" else None
    part = train(model, data, out=out, stop=fd.AfterCommits(2))
    resume = {"out": out, "resume": True} if out else {"resume": part}
    says = "of another run"
    assert_refused(lambda: train(model, data, seed=1, **resume), says, "seed")
    other = fd.Model(nn.Linear(4, 3))
    assert_refused(lambda: train(other, data, **resume), says)
    assert_refused(lambda: train(model, federation(nodes=5), **resume), says, "nodes")
    assert_refused(lambda: train(model, federation(rows=72), **resume), says)
    assert_refused(lambda: train(model, federation(split=1), **resume), says)
    assert_refused(lambda: train(model, data, fd.SyncSGD(rounds=9), **resume))
    if out:
        assert len((out / HISTORY).read_text().splitlines()) == 2


@pytest.mark.parametrize("resume", ["a", Path("a"), 1])
def test_resume_that_is_no_run_is_refused(model, data, resume):
    assert_refused(lambda: train(model, data, resume=resume), "resume")


def test_there_must_be_something_to_resume(model, data, tmp_path):
    assert_refused(lambda: train(model, data, resume=True), "out=")
    assert_refused(lambda: train(model, data, out=tmp_path / "none", resume=True), "no run to resume")
    assert not (tmp_path / "none").exists()


def test_resuming_in_memory_into_a_new_folder_writes_the_whole_history(model, data, tmp_path):
    part = train(model, data, stop=fd.AfterCommits(2))
    run = train(model, data, resume=part, out=tmp_path / "a")
    assert len((tmp_path / "a" / HISTORY).read_text().splitlines()) == ROUNDS
    again = train(model, data, resume=True, out=tmp_path / "a")
    assert again.sha256 == run.sha256


# -- stop rules ---------------------------------------------------------------------------------------------------


def test_the_same_stop_rule_makes_no_further_commit(model, data):
    part = train(model, data, stop=fd.AfterCommits(3))
    assert len(train(model, data, stop=fd.AfterCommits(3), resume=part).history) == 3
    assert len(train(model, data, stop=fd.AfterCommits(4), resume=part).history) == 4
    assert len(train(model, data, resume=part).history) == ROUNDS


class Patience:
    """Stops after so many commits without a better loss: a rule with a memory."""

    def __init__(self, commits):
        self.commits = commits

    def __repr__(self):
        return f"Patience({self.commits})"

    def init(self):
        return {"best": math.inf, "since": 0}

    def after(self, record, memory):
        seen = {"best": record.train_loss, "since": 0}
        memory = seen if record.train_loss < memory["best"] else {**memory, "since": memory["since"] + 1}
        return memory["since"] >= self.commits, memory


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_rules_memory_is_part_of_the_checkpoint(model, data, tmp_path, k):
    program = fd.FedAvg(rounds=30, local=fd.LocalSGD(lr=0.0))
    whole = train(model, data, program, stop=Patience(4))
    assert whole.status == "stopped"
    assert len(whole.history) == 5
    train(model, data, program, stop=[Patience(4), fd.AfterCommits(k)], out=tmp_path / "a")
    again = train(model, data, program, stop=[Patience(4), fd.AfterCommits(100)], out=tmp_path / "a", resume=True)
    assert len(again.history) == 5


def test_a_memory_goes_to_its_own_rule_only(model, data):
    part = train(model, data, stop=[fd.AfterCommits(2)])
    assert len(train(model, data, stop=[Patience(30)], resume=part).history) == ROUNDS


def test_models_are_read_without_torch_or_left_to_whoever_reads_the_whole(tmp_path, model, data):
    run = fd.train(fd.FedAvg(rounds=3, local=fd.LocalSGD(lr=0.1)), model, data, out=tmp_path / "run")
    last, best = models_in(tmp_path / "run")
    assert last.tobytes() == run.vector.numpy().tobytes()
    assert best.tobytes() == run.best_vector.numpy().tobytes()
    file = tmp_path / "run" / "checkpoint.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"\xff" * 40):
        file.write_bytes(damaged)
        assert models_in(tmp_path / "run") is None
    file.unlink()
    assert models_in(tmp_path / "run") is None
