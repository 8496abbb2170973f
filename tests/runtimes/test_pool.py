"""The simulation with worker processes: the same bits, any way to start it, and nothing left behind.

A pool takes seconds to start, so that each test here looks at many things.
"""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.types.data import FederatedDataset
from foedus.runtimes.warm import running

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


def federation(nodes=8, rows=80):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("f")
    return fd.data.arrays(x, np.arange(rows) % 3, test=0.2).split(fd.data.IID(), nodes=nodes)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3))


def children():
    """Workers, and whatever else runs foedus; not this thread's warm process, which stays."""
    warm = {w.pid for w in running()}
    ours = (p for p in psutil.Process().children(recursive=True) if p.pid not in warm)
    return [p for p in ours if "foedus" in " ".join(p.cmdline())]


@pytest.fixture(autouse=True)
def nothing_left():
    """No process, no descriptor and no file in shared memory stays after a run."""
    shm, fds = set(os.listdir("/dev/shm")), len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert children() == []
    assert not {n for n in os.listdir("/dev/shm") if "foedus" in n} - shm
    assert len(os.listdir("/proc/self/fd")) <= fds + 4


def make_job():
    # Defined in a function, so that it goes to the workers by value.
    @dataclass(frozen=True)
    class Wide(fd.LocalSGD):
        """Its answers carry so many metrics that a block's message is long; it keeps a node state."""

        def __call__(self, node, args):
            u, _ = super().__call__(node, args)
            c = node.state.get("c", torch.zeros(3)) + 1
            many = {f"metric number {i}": float(i) for i in range(800)}
            return fd.Update({**u.parts}, u.weight, {**u.metrics, **many, "c": c[0].item()}, node.id), {"c": c}

    return Wide


class Everything:
    """Reduces with state at every end, and keeps single answers while later ones are made."""

    def __init__(self, job):
        self.job, self.rounds = job, 4

    async def __call__(self, fed: fd.Federation):
        server = fd.optimizers.Adam(lr=0.05)
        s = await fed.begin(lambda w: fd.State(w=w, server=server.init(w), kept=[]))
        kept, copies = [], []
        for _ in fed.rounds(self.rounds):
            nodes = await fed.sample(fd.Fixed(7))
            for aggregator, transforms in (
                (fd.Mean(), (fd.ErrorFeedback(fd.TopK(0.2)),)),
                (fd.Median(), (fd.Clip(0.5),)),
            ):
                total = await fed.map_reduce(self.job, {"w": s.w}, nodes, aggregator, transforms=transforms)
                s = server.step(s, total)
            for answer in await fed.map(self.job, {"w": s.w}, nodes):
                kept.append(answer["delta"])
                copies.append(answer["delta"].clone())
            s = s.replace(w=torch.cat([s.w[: -len(total["buffers"])] + kept[-1], s.w[-len(total["buffers"]) :]]))
            await fed.commit(s.replace(kept=kept[-2:]))
        assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
        return s.w


def comparable(run):
    return [{**vars(r), "wall_s": 0} for r in run.history], run.ledger.total, run.sha256


def test_the_same_bits_with_1_2_and_4_workers_and_the_process_as_it_was():
    model = fd.Model(network(), loss=lambda out, y: nn.functional.cross_entropy(out, y, reduction="none"))
    data, program = federation(), Everything(make_job()(batch_size=4))
    torch.manual_seed(123)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        runs = [
            fd.train(program, model, data, runtime=fd.Simulation(workers=w, network=fd.network.WAN)) for w in (1, 2, 4)
        ]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert comparable(runs[1]) == comparable(runs[0])
    assert comparable(runs[2]) == comparable(runs[0])
    # Stopped inline, resumed with workers: the data are still there after pools have come and gone.
    part = fd.train(program, model, data, runtime=fd.Simulation(network=fd.network.WAN), stop=fd.AfterCommits(2))
    assert part.checkpoint.tree["node_states"]
    again = fd.train(program, model, data, runtime=fd.Simulation(network=fd.network.WAN), resume=part)
    assert again.sha256 == runs[0].sha256
    assert data.x.sum().isfinite()


class Asynchronous:
    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        async with fed.stream(fd.LocalSGD(batch_size=4), commits=12) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for u in updates:
                s = s.replace(w=s.w + u["delta"] / (1 + u.staleness))
                updates.publish(s.w)
                updates.send(u.node, {"w": s.w})
                await fed.commit(s)


class Gossip:
    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for _ in peer.rounds(4):
            u = await peer.run(fd.LocalSGD(batch_size=4), {"w": s.w})
            near = await peer.exchange({"w": s.w})
            s = s.replace(w=torch.stack([m["w"] for m in near.values()]).mean(0) + u["delta"])
            await peer.commit(s)


@pytest.mark.parametrize("program", [pytest.param(Asynchronous(), marks=pytest.mark.slow), Gossip()])
def test_streams_and_peers_with_workers_and_resumed(program):
    model, data = fd.Model(nn.Linear(4, 3)), federation()
    net = fd.network.WAN
    whole = fd.train(program, model, data, runtime=fd.Simulation(network=net))
    part = fd.train(program, model, data, runtime=fd.Simulation(network=net), stop=fd.AfterCommits(2))
    again = fd.train(program, model, data, runtime=fd.Simulation(workers=2, network=net), resume=part)
    assert comparable(again) == comparable(whole)


# -- ways to start -------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, torch, foedus as fd
from dataclasses import dataclass
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)
    def forward(self, x):
        return helper(self.lin(x))

def helper(x):
    return x * SCALE

SCALE = 2.0

@dataclass(frozen=True)
class MyJob(fd.LocalSGD):
    def __call__(self, node, args):
        u, s = super().__call__(node, args)
        return u.with_parts({k: v * SCALE for k, v in u.parts.items()}), s

torch.manual_seed(0)
x = np.random.default_rng(0).normal(size=(40, 4)).astype("f")
data = fd.data.arrays(x, np.arange(40) % 3).split(fd.data.IID(), nodes=4)
model = fd.Model(Net(), loss=lambda out, y: nn.functional.cross_entropy(out, y, reduction="none"))

def run():
    return fd.train(fd.FedAvg(rounds=2, local=MyJob()), model, data, runtime=fd.Simulation(workers=WORKERS))

RUN
"""
PLAIN = 'print("sha", run().sha256)'
IN_A_LOOP = """
import asyncio
async def notebook():
    first = run()
    await asyncio.sleep(0.001)
    print("sha", first.sha256)
asyncio.run(notebook())
"""


def script(workers=2, end=PLAIN):
    return SCRIPT.replace("WORKERS", str(workers)).replace("RUN", end)


def inline_sha():
    names = {"__name__": "inline_script"}
    exec(script(workers=1, end=""), names)
    return names["run"]().sha256


@pytest.mark.parametrize("names", [("script", "stdin"), pytest.param(("-c",), marks=pytest.mark.slow)], ids=str)
def test_scripts_without_a_guard_command_lines_standard_input_and_notebooks(tmp_path, names):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "work").mkdir()
    file = tmp_path / "scripts" / "plain.py"
    file.write_text(script(end=IN_A_LOOP))
    # A file named like a standard module lies in the working folder, where the script itself never looks.
    (tmp_path / "work" / "random.py").write_text("raise SystemExit('the wrong random')")
    ways = {
        "script": ([str(file)], None, tmp_path / "work"),
        "-c": (["-c", script()], None, tmp_path / "scripts"),
        "stdin": (["-"], script(), tmp_path / "scripts"),
    }
    ways = {name: ways[name] for name in names}
    started = {
        name: subprocess.Popen(
            [sys.executable, *args],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, (args, _, cwd) in ways.items()
    }
    shas = {"here": inline_sha()}
    for name, process in started.items():
        out, err = process.communicate(ways[name][1], timeout=DEADLINE)
        assert process.returncode == 0, f"{name}: {out}\n{err}"
        shas[name] = re.search(r"sha (\w{64})", out)[1]
    assert len(set(shas.values())) == 1, shas


# -- what goes wrong at a worker -----------------------------------------------------------------------------------


def make_deadly(how, after):
    @dataclass(frozen=True)
    class Deadly(fd.LocalSGD):
        def __call__(self, node, args):
            if node.id == 5 and node.state:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if how == "exit":
                    os._exit(3)
                raise RuntimeError("the disk of node 5 is full\nand more")
            u, _ = super().__call__(node, args)
            return u, {"been": torch.ones(1)}

    return Deadly(batch_size=None)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("kill", r"killed by SIGKILL .* computed node 5"),
        pytest.param("exit", r"exited with status 3 .*node 5", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_dies_is_named_with_its_node(how, says, tmp_path):
    program, data = fd.FedAvg(rounds=3, local=make_deadly(how, 1)), federation()
    model = fd.Model(nn.Linear(4, 3))
    with pytest.raises(
        fd.WorkerError, match=r"worker process \d \(pid \d+\) was .*|worker process \d \(pid \d+\) exited.*"
    ) as e:
        fd.train(program, model, data, runtime=fd.Simulation(workers=2), out=tmp_path / "a")
    assert re.search(says, str(e.value)), str(e.value)
    assert "\n" not in str(e.value)
    assert children() == []
    run = e.value.run
    assert (run.status, len(run.history)) == ("failed", 1)
    good = fd.train(fd.FedAvg(rounds=1, local=fd.LocalSGD(batch_size=None)), model, data)
    assert run.sha256 == good.sha256
    assert (tmp_path / "a" / "checkpoint.safetensors").exists()


def test_a_job_that_raises_is_named_with_its_node_and_its_traceback_kept(tmp_path, capfd):
    program, data = fd.FedAvg(rounds=3, local=make_deadly("raise", 1)), federation()
    with pytest.raises(fd.NodeFailed, match=r"node 5 failed in round 2: RuntimeError: the disk of node 5 is full") as e:
        fd.train(program, fd.Model(nn.Linear(4, 3)), data, runtime=fd.Simulation(workers=2), out=tmp_path / "a")
    assert "\n" not in str(e.value)
    assert "Traceback" in e.value.log
    assert "and more" in e.value.log
    assert __file__ in e.value.log
    assert (tmp_path / "a" / "error.log").read_text() == e.value.log
    assert len(e.value.run.history) == 1
    assert capfd.readouterr().err == ""


def test_a_model_that_workers_cannot_load_is_refused_in_one_line(capfd):
    import types

    ghost = types.ModuleType("ghost_module")
    sys.modules["ghost_module"] = ghost
    exec("from torch import nn\nclass Ghost(nn.Linear):\n    pass\n", ghost.__dict__)
    try:
        with pytest.raises(fd.BadInput, match=r"ghost_module.*(one worker)") as e:
            fd.train(fd.FedAvg(rounds=1), fd.Model(ghost.Ghost(4, 3)), federation(), runtime=fd.Simulation(workers=2))
    finally:
        del sys.modules["ghost_module"]
    assert "\n" not in str(e.value)
    assert "Traceback" not in capfd.readouterr().err


def megabytes(pid):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {k: int(v) / 1024 for k, v in re.findall(r"(\w+):\s+(\d+) kB", rollup)}


def test_few_descriptors_are_enough_and_memory_is_shared():
    """With 256 descriptors 300 maps at once; and 200 MB of data are there once, not once a worker."""
    import resource

    rows, width = 600, 83_334  # 200 MB
    x = torch.zeros(rows, width)
    x[:, :4] = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0))
    data = FederatedDataset(
        x=x,
        y=torch.arange(rows) % 2,
        index=torch.arange(rows),
        offsets=torch.arange(0, rows + 1, 2),
        test_x=x[:2].clone(),
        test_y=torch.arange(2),
        classes=2,
    )
    del x

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 2)

        def forward(self, x):
            return self.lin(x[:, :4])

    measured = []

    def look(record):
        measured.extend(megabytes(p.pid) for p in children())

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        runtime = fd.Simulation(workers=2)
        run = fd.train(fd.LocalOnly(rounds=1), fd.Model(First()), data, runtime=runtime, progress=look)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert run.status == "finished"
    assert len(measured) == 2
    # What torch takes by itself depends on its build: 150 MB, or twice that with CUDA.
    idle = subprocess.Popen(
        [sys.executable, "-c", "import foedus.runtimes.simulation.worker, sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with idle:
        idle.stdout.readline()
        alone = megabytes(idle.pid)["Anonymous"]
        idle.stdin.close()
    for worker in measured:
        assert worker["Anonymous"] < alone + 40, (worker, alone)
    assert sum(w["Pss_Anon"] + w["Pss_Shmem"] for w in measured) < 2 * (alone + 40) + 220, (measured, alone)


# -- a million nodes -----------------------------------------------------------------------------------------------


def many(nodes):
    return FederatedDataset(
        x=torch.ones(100, 4),
        y=torch.arange(100) % 3,
        index=torch.arange(nodes, dtype=torch.int32) % 100,
        offsets=torch.arange(nodes + 1),
        test_x=torch.ones(3, 4),
        test_y=torch.arange(3),
        classes=3,
    )


def test_a_million_nodes_cost_seconds_to_make_and_nothing_a_round():
    began = time.perf_counter()
    data = many(1_000_000)
    assert time.perf_counter() - began < 5
    model = fd.Model(nn.Linear(4, 3))
    program = fd.FedAvg(rounds=1, cohort=fd.Fixed(10), local=fd.LocalSGD(batch_size=None))

    def rounds(data):
        """Seconds and peak bytes of rounds 6 to 15, inside the run."""
        seen = []

        def look(record):
            if record.round == 5:
                tracemalloc.start()
                seen.append(time.perf_counter())
            if record.round == 15:
                seen.append(time.perf_counter())
                seen.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()

        fd.train(fd.FedAvg(rounds=15, cohort=program.cohort, local=program.local), model, data, progress=look)
        return seen[1] - seen[0], seen[2]

    small_s, _ = rounds(many(1_000))
    large_s, peak = rounds(data)
    assert large_s < 20 * small_s
    assert peak < 2_000_000  # a list of a million sizes would be eight
    began = time.perf_counter()
    run = fd.train(fd.FedAvg(rounds=1, cohort=fd.Poisson(1e-5), local=program.local), model, data)
    assert time.perf_counter() - began < 20
    assert run.history[0].cohort < 100


# -- Ctrl-C, kill --------------------------------------------------------------------------------------------------

LONG = """
import os, sys, time, numpy as np, torch, foedus as fd
from dataclasses import dataclass
from torch import nn

@dataclass(frozen=True)
class Slow(fd.LocalSGD):
    slow: str = "none"
    def __call__(self, node, args):
        if os.path.exists("slow"):
            time.sleep(0.2)
        return super().__call__(node, args)

torch.manual_seed(0)
x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
data = fd.data.arrays(x, np.arange(60) % 3).split(fd.data.IID(), nodes=6)
model = fd.Model(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 3)))
program = fd.FedAvg(rounds=12, cohort=fd.Fixed(4), local=Slow(batch_size=4), server=fd.optimizers.Adam())

def go(workers, **options):
    return fd.train(program, model, data, runtime=fd.Simulation(workers=workers), **options)

if sys.argv[1] == "start":
    try:
        go(2, out=sys.argv[2], progress=lambda r: print("round", r.round, flush=True))
    except KeyboardInterrupt as e:
        assert isinstance(e, fd.Interrupted) and e.run.status == "interrupted" and e.run.history
        print("foedus:", e, file=sys.stderr)
        sys.exit(130)
else:
    shas = {"whole": go(1).sha256}
    for out in sys.argv[2:]:
        shas[out] = go(1, out=out, resume=True).sha256
    import json
    print(json.dumps(shas))
"""


def gone(processes):
    """Wait until these are no more; what is left when the time is up."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        left = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return []
        time.sleep(0.02)
    return left


@pytest.mark.parametrize("names", [("group", "kill"), pytest.param(("int",), marks=pytest.mark.slow)], ids=str)
def test_ctrl_c_and_kill_leave_nothing_and_lose_nothing(tmp_path, names):
    (tmp_path / "long.py").write_text(textwrap.dedent(LONG))
    (tmp_path / "slow").touch()
    shm = set(os.listdir("/dev/shm"))

    def start(*args):
        return subprocess.Popen(
            [sys.executable, "long.py", *args],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    ends = {
        "int": lambda p: p.send_signal(signal.SIGINT),  # to the parent alone
        "group": lambda p: os.killpg(p.pid, signal.SIGINT),  # as a terminal does
        "kill": lambda p: p.kill(),
    }
    ends = {name: ends[name] for name in names}

    def dialogue(name):
        process = start("start", name)
        line = process.stdout.readline()  # its first commit is made
        assert line == "round 1\n", (name, line, process.stderr.read() if not line else "")
        started = psutil.Process(process.pid).children(recursive=True)
        assert sorted(p.name() for p in started) == ["foedus warm", "foedus worker", "foedus worker"]
        ends[name](process)
        out, err = process.communicate(timeout=DEADLINE)
        assert "round 12" not in out
        assert gone(started) == [], name
        return process.returncode, err

    with ThreadPoolExecutor(3) as threads:
        ended = dict(zip(ends, threads.map(dialogue, ends), strict=True))
    if "kill" in ended:
        assert ended.pop("kill")[0] == -signal.SIGKILL
    for name, (status, err) in ended.items():
        assert status == 130, err
        assert re.fullmatch(rf'foedus: stopped at commit \d+; go on with .*resume=True.*out="{name}".*\n', err), err
        # The checkpoint before is there if it was stopped after its second commit.
        assert {p.name for p in (tmp_path / name).iterdir()} - {"previous.safetensors"} == {
            "best.safetensors", "checkpoint.safetensors", "history.jsonl", "ledger.jsonl", "model.safetensors",
            "run.json",
        }  # fmt: skip
    assert not {n for n in set(os.listdir("/dev/shm")) - shm if "foedus" in n or "torch" in n}
    (tmp_path / "slow").unlink()
    finish = start("finish", *ends)
    out, err = finish.communicate(timeout=DEADLINE)
    assert finish.returncode == 0, err
    shas = json.loads(out)
    assert len(set(shas.values())) == 1, shas
    for name in ends:
        assert len((tmp_path / name / "history.jsonl").read_text().splitlines()) == 12


def test_a_worker_that_is_killed_between_two_jobs_computed_nothing():
    """Neither a node, nor the number by which the rows that the model is tested on go."""
    data = fd.data.load("iris").split(fd.data.IID(), nodes=4)

    def kill(record):
        for child in psutil.Process().children():
            if child.name() == "foedus worker":
                child.kill()

    with pytest.raises(fd.WorkerError, match=r"killed by SIGKILL .* between two jobs$"):
        fd.train(
            fd.FedAvg(3), fd.Model(fd.models.logistic(4, 3)), data, runtime=fd.Simulation(workers=2), progress=kill
        )


@pytest.mark.parametrize("program", [fd.Centralized(2), fd.FedAvg(2)])
def test_what_is_no_node_is_not_called_by_a_number(program):
    data = fd.data.load("iris").split(fd.data.IID(), nodes=2)
    program = replace(program, local=fd.LocalSGD(lr=1e30, batch_size=5))
    with pytest.raises(fd.Diverged) as caught:
        fd.train(program, fd.Model(fd.models.mlp(4, 8, 3)), data)
    who = "on all rows in one place, loss or update is NaN" if isinstance(program, fd.Centralized) else "node 0's loss"
    assert who in str(caught.value)
    assert "there is no commit yet, so the model is what it was at the start" in str(caught.value)
    assert "-1" not in str(caught.value)
