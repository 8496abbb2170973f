"""Every ending of a run in ``Processes``: nodes that are killed, crash or hang, at any moment, one or all; jobs that
raise, Ctrl-C, and the end of the parent. Nobody waits for ever, the books are those of a commit, and nothing is left.

Where a process is to end at a moment, it ends itself there, so that no test depends on who is quick.
"""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psutil
import pytest
import torch

import foedus as fd
from foedus.core.coordination.federation import Federation
from foedus.core.types.state import State
from foedus.network import Device

NODE = "foedus node"
"""What the system calls a node's process."""
AT_A_NODE = "foedus.runtimes.processes.node" in sys.orig_argv
SAYS = {
    "kill": "was killed by SIGKILL",
    "segv": "was killed by SIGSEGV",
    "exit": "exited with status 3",
    "stop": "gave no sign of life for 1 s",
    "half": "was lost|gave no sign of life for 1 s",
}
SLOW = pytest.mark.slow
here = {"node": -1, "runs": {}}
"""Of a node's process: whose it is, and how often it had its job of a round."""


def perish(t, moment, deaths):
    """End this process, if it is a node's and this is its moment."""
    for node, when, at, how in deaths if AT_A_NODE else ():
        if (node, when, at) == (here["node"], t, moment):
            if how == "exit":
                os._exit(3)
            if how == "half":  # in the middle of a message: a byte of it has left
                os.write(the_wire(), b"\7")
            sign = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV}.get(how, signal.SIGSTOP)
            os.kill(os.getpid(), sign)


def the_wire():
    """The descriptor of this process's connection to a server."""
    import gc

    from foedus.runtimes.processes.node.worker import _Worker

    [wire] = (o.wire.fileno() for o in gc.get_objects() if type(o) is _Worker)
    return wire


@dataclass(frozen=True)
class Mortal:
    """A gradient at nodes that end. With ``remembers`` it depends on how many answers the node has given."""

    t: int
    program: "Fragile"
    job: fd.Gradient = fd.Gradient(batch_size=8)

    def work(self, rows):
        return self.job.work(rows)

    def parts(self, model):
        return self.job.parts(model)

    def __call__(self, node, args):
        here["node"] = node.id
        runs = here["runs"][self.t] = here["runs"].get(self.t, 0) + 1
        perish(self.t, "job" if runs == 1 else "again", self.program.deaths)
        for who, since in self.program.missing:
            if who == node.id and self.t >= since:
                raise RuntimeError("not there")
        update, state = self.job(node, args)
        if self.program.remembers:
            n = node.state.get("answers", torch.zeros(1)) + 1
            update = update.with_parts({k: v * (1 + 0.1 * n) for k, v in update.parts.items()})
            state = {"answers": n}
        return update, state


@dataclass(frozen=True)
class Fragile:
    """Gradient descent whose nodes end.

    ``deaths``   ``(node, round, moment, how)``. Moments: in its ``job``, in the job when it has it ``again``, when the
                 answers are ``joined``, when it has ``committed``. Nothing ends outside of a node's process.
    ``missing``  ``(node, round)``: from then on the node does not answer. What a run that goes on without must equal.
    """

    rounds: int = 6
    deaths: tuple = ()
    missing: tuple = ()
    remembers: bool = False

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=w))
        plain = replace(self, missing=tuple(self.missing))
        for t in fed.rounds(self.rounds):
            total = await fed.map_reduce(
                Mortal(t, plain),
                {"w": s.w},
                range(fed.nodes),
                fd.aggregators.Mean(),
                until=fd.All("skip" if self.missing else "abort"),
            )
            perish(t, "joined", self.deaths)
            w = s.w.clone()
            w[: fed.layout.parameters] -= 0.3 * total["gradient"]
            s = s.replace(w=w)
            await fed.commit(s)
            perish(t, "committed", self.deaths)
        return s.w


def digits(nodes, loss="cross_entropy"):
    data = fd.data.load("digits").split(fd.data.IID(), nodes=nodes, seed=0)
    return fd.Model(fd.models.mlp(64, 8, 10), loss=loss, metrics=("accuracy",)), data


def same(run, expected, exchange):
    """Bits, or where sums have another order, numbers."""
    if exchange in ("server", "tree"):
        assert run.sha256 == expected.sha256
    else:
        assert torch.allclose(run.vector, expected.vector, rtol=1e-4, atol=1e-5)


def failure(match, *args, **options):
    """The run that ended with this ``NodeFailed``, and what that says."""
    with pytest.raises(fd.NodeFailed, match=match) as e:
        fd.train(*args, **options)
    # The error itself, with all that its traceback holds, is gone when this returns.
    return e.value.run, f"{e.value}\n{e.value.log}"


def aborted(program, nodes, exchange, wire, lost, how, first, last=None, evaluate_every=1):
    """Run to the failure of a node; the run until then. It has between so many commits, and goes on elsewhere."""
    model, data = digits(nodes)
    runtime = fd.Processes(wire=wire, exchange=exchange, patience=1)
    says = rf"node ({lost})('s process|: its process| .*its process) ({how})"
    run, message = failure(says, program, model, data, runtime=runtime, evaluate_every=evaluate_every)
    assert run.status == "failed"
    assert first <= len(run.history) <= (first if last is None else last)
    assert [r.round for r in run.history] == list(range(1, len(run.history) + 1))
    assert 'lost "skip"' in message
    assert f"round {len(run.history) + 1}" in message
    plain = replace(program, deaths=())
    whole = fd.train(plain, model, data)
    if run.history:
        same(fd.train(plain, model, data, resume=run), whole, exchange)
    return run


def skipped(program, nodes, exchange, wire, losses, evaluate_every=1):
    """Run to the end without those that are lost: as a simulation in which they do not answer from then on.

    ``losses``: by node, the rounds from which on it may be missing.
    """
    model, data = digits(nodes)
    runtime = fd.Processes(wire=wire, exchange=exchange, lost="skip", patience=1)
    run = fd.train(program, model, data, runtime=runtime, evaluate_every=evaluate_every)
    assert run.status == "finished"
    assert [r.round for r in run.history] == list(range(1, program.rounds + 1))
    cohorts = [r.cohort for r in run.history]
    possible = []
    for since in itertools.product(*losses.values()):
        if cohorts == [nodes - sum(t >= s for s in since) for t in range(program.rounds)]:
            possible.append(tuple(zip(losses, since, strict=True)))
    assert len(possible) == 1, (cohorts, losses)
    twin = fd.train(replace(program, missing=possible[0]), model, data, evaluate_every=evaluate_every)
    same(run, twin, exchange)
    for a, b in zip(run.history, twin.history, strict=True):
        assert a.accuracy is None or a.accuracy == pytest.approx(b.accuracy, abs=0.01)
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
    return run


ONE = [
    # exchange, wire, node, round, moment, how, evaluate every
    ("server", "shared", 1, 0, "job", "kill", 1),
    ("server", "sockets", 2, 5, "job", "segv", 1),
    ("server", "shared", 1, 2, "job", "half", 3),
    ("server", "sockets", 0, 2, "job", "stop", 1),
    ("tree", "shared", 0, 2, "joined", "exit", 1),
    ("tree", "sockets", 1, 5, "job", "stop", 4),
    ("tree", "shared", 2, 3, "committed", "kill", 4),
    ("ring", "shared", 0, 3, "committed", "segv", 1),
    ("ring", "sockets", 1, 2, "joined", "kill", 1),
    ("ring", "shared", 2, 0, "job", "stop", 2),
    ("gloo", "sockets", 0, 2, "job", "kill", 1),
    ("gloo", "sockets", 1, 3, "joined", "stop", 3),
]


def alternately(which):
    """Every loss is looked at in both ways, three in four of them only among the slow tests."""
    return [pytest.param(*one, marks=() if i % 4 == 2 * which + i // 4 % 2 else SLOW) for i, one in enumerate(ONE)]


def when(t, moment):
    """The commits that a run has, or the rounds from which a node is missing, if it is lost at this moment."""
    # Its answer of the round is among the others' if they have joined; whether they have, they decide together.
    return (t, t) if moment == "job" else (t, t + 1) if moment == "joined" else (t + 1, t + 1)


@pytest.mark.parametrize(("exchange", "wire", "node", "t", "moment", "how", "every"), alternately(0))
def test_one_is_lost_and_the_run_ends(leftovers, exchange, wire, node, t, moment, how, every):
    program = Fragile(deaths=((node, t, moment, how),))
    with leftovers():
        aborted(program, 3, exchange, wire, node, SAYS[how], *when(t, moment), evaluate_every=every)


@pytest.mark.parametrize(("exchange", "wire", "node", "t", "moment", "how", "every"), alternately(1))
def test_one_is_lost_and_the_run_goes_on(leftovers, exchange, wire, node, t, moment, how, every):
    program = Fragile(deaths=((node, t, moment, how),))
    with leftovers():
        skipped(program, 3, exchange, wire, {node: sorted(set(when(t, moment)))}, evaluate_every=every)


def test_what_nodes_remember_is_that_of_the_last_commit(leftovers):
    """A run that ends between two commits that were told goes on from one that all have told of, to the same bits."""
    program = Fragile(remembers=True, rounds=7, deaths=((1, 4, "committed", "kill"),))
    with leftovers():
        run = aborted(program, 3, "tree", "shared", 1, SAYS["kill"], 3, evaluate_every=3)
    assert len(run.checkpoint.tree["node_states"]) == 3
    # Those that are left remember what they did at the commit from which they go on.
    with leftovers():
        skipped(program, 3, "tree", "shared", {1: [5]}, evaluate_every=3)


def test_what_nodes_remember_stays_with_them_but_for_commits_that_are_written(leftovers, tmp_path):
    """A run that ends after a commit which was not written goes back to the last one that was, in its folder too."""
    model, data = digits(3)
    program = Fragile(remembers=True, rounds=7, deaths=((1, 5, "committed", "kill"),))
    often = {"checkpoint_every": 4}
    with leftovers():
        run, _ = failure(
            r"node 1.*in round 5; the last good model, of round 4",
            program,
            model,
            data,
            runtime=fd.Processes(exchange="tree"),
            out=tmp_path / "run",
            **often,
        )
    assert [r.round for r in run.history] == [1, 2, 3, 4]
    answers = {n: owned["job"]["answers"].item() for n, owned in run.checkpoint.tree["node_states"].items()}
    assert answers == {0: 4, 1: 4, 2: 4}
    plain = replace(program, deaths=())
    whole = fd.train(plain, model, data)
    assert fd.train(plain, model, data, resume=run).sha256 == whole.sha256
    assert fd.train(plain, model, data, out=tmp_path / "run", resume=True, **often).sha256 == whole.sha256


@pytest.mark.parametrize(
    ("exchange", "deaths", "since"),
    [
        # Two at once, the first among them; in the first round, and in the last.
        pytest.param("tree", ((0, 0, "job", "kill"), (2, 0, "job", "segv")), {0: [0], 2: [0]}, marks=SLOW),
        pytest.param("ring", ((1, 5, "job", "kill"), (2, 5, "committed", "kill")), {1: [5], 2: [5, 6]}, marks=SLOW),
        # One while the others have just gone on without the other.
        ("ring", ((0, 2, "job", "kill"), (1, 2, "again", "kill")), {0: [2], 1: [2]}),
        # One after the other, until one is left.
        pytest.param(
            "tree",
            ((0, 1, "joined", "kill"), (3, 2, "committed", "stop"), (1, 4, "job", "exit")),
            {0: [1, 2], 3: [3], 1: [4]},
            marks=SLOW,
        ),
        ("server", ((3, 1, "job", "kill"), (2, 1, "job", "kill"), (0, 3, "job", "stop")), {3: [1], 2: [1], 0: [3]}),
    ],
)
def test_several_are_lost_and_the_run_goes_on(leftovers, exchange, deaths, since):
    with leftovers():
        skipped(Fragile(deaths=deaths), 4, exchange, "shared", since)


def test_the_last_round_is_lost_with_nobody(leftovers):
    """Who is lost when all answers have joined takes no commit along, whether others have ended or not."""
    model, data = digits(3)
    whole = fd.train(Fragile(), model, data)
    for lost, moment in (("skip", "joined"), ("abort", "committed")):
        program = Fragile(deaths=((0, 5, moment, "kill"), (1, 5, moment, "kill")))
        runtime = fd.Processes(exchange="tree", lost=lost)
        with leftovers():
            run = fd.train(program, model, data, runtime=runtime, evaluate_every=4)
        assert run.status == "finished"
        assert run.sha256 == whole.sha256
        assert [r.cohort for r in run.history] == [3] * 6


@pytest.mark.parametrize("exchange", ["server", "tree"])
def test_all_are_lost(leftovers, exchange):
    """Without anybody there is nothing to go on with."""
    model, data = digits(2)
    program = Fragile(deaths=((0, 2, "job", "kill"), (1, 3, "job", "kill")))
    runtime = fd.Processes(exchange=exchange, lost="skip")
    with leftovers():
        run, _ = failure(r"node 1.*was killed by SIGKILL", program, model, data, runtime=runtime)
    assert run.status == "failed"
    assert [r.cohort for r in run.history] == [2, 2, 1]
    twin = fd.train(replace(program, missing=((0, 2),)), model, data, stop=fd.AfterCommits(3))
    assert run.sha256 == twin.sha256


class Struck(fd.Processes):
    """Node 1 ends before the run begins."""

    def start(self, setup):
        engine = super().start(setup)
        processes_of_nodes()[1].kill()
        return engine


@pytest.mark.parametrize(
    ("exchange", "wire"),
    [
        ("server", "shared"),
        ("tree", "shared"),
        pytest.param("gloo", "sockets", marks=SLOW),
        pytest.param("ring", "sockets", marks=SLOW),
    ],
)
def test_lost_before_anything_has_begun(leftovers, exchange, wire):
    model, data = digits(3)
    runtime = Struck(wire=wire, exchange=exchange, lost="skip")
    with leftovers():
        run = fd.train(Fragile(rounds=3), model, data, runtime=runtime)
    twin = fd.train(Fragile(rounds=3, missing=((1, 0),)), model, data)
    assert [r.cohort for r in run.history] == [2, 2, 2]
    same(run, twin, exchange)
    if exchange != "gloo":
        return
    with leftovers():
        run, _ = failure(
            r"node 1.*was killed by SIGKILL", Fragile(), model, data, runtime=replace(runtime, lost="abort")
        )
    assert not run.history


# -- asynchronous, and decentralised -------------------------------------------------------------------------------


def processes_of_nodes():
    """The processes of this run's nodes, by node: they were started in that order."""
    found = [p for p in psutil.Process().children() if p.name() == NODE]
    return sorted(found, key=lambda p: p.pid)


def at(commit, sign, *nodes):
    """A ``progress`` that sends these nodes a signal after a commit."""

    def progress(record):
        if record.round == commit:
            mine = processes_of_nodes()
            for n in nodes:
                mine[n].send_signal(sign)

    return progress


def test_asynchronous_programs(leftovers):
    model, data = digits(3)
    program, options = fd.ParameterServer(rounds=30, lr=0.05), {"evaluate_every": 10}
    kill = at(3, signal.SIGSEGV, 1)
    with leftovers():
        run, message = failure(
            r"node 1.*was killed by SIGSEGV", program, model, data, runtime=fd.Processes(), progress=kill, **options
        )
    assert 'lost "skip"' in message
    assert run.status == "failed"
    assert 3 <= len(run.history) < 30
    assert len(fd.train(program, model, data, resume=run, **options).history) == 30
    runtime = fd.Processes(lost="skip", patience=1, wire="sockets")
    with leftovers():
        run = fd.train(
            program, model, data, runtime=runtime, progress=at(3, signal.SIGSTOP, 0), per_node=True, **options
        )
    assert run.status == "finished"
    assert [r.round for r in run.history] == list(range(1, 31))
    assert run.ledger.nodes[0].jobs < run.ledger.nodes[1].jobs
    program, kill = fd.ParameterServer(rounds=10**6), at(3, signal.SIGKILL, 0, 1, 2)
    runtime, options = fd.Processes(lost="skip"), {"evaluate_every": 10**6}
    with leftovers():
        run, _ = failure(r"was killed by SIGKILL", program, model, data, runtime=runtime, progress=kill, **options)
    assert run.status == "failed"
    assert len(run.history) >= 3


def test_decentralised_programs(leftovers):
    model, data = digits(3)
    program, stop = fd.Gossip(rounds=10**6), at(3, signal.SIGSTOP, 2)
    rest = {"evaluate_every": 10**6}
    runtime = fd.Processes(patience=1)
    # What a checkpoint says of messages that were under way lies where it was received.
    with leftovers(segments=6):
        run, _ = failure(
            "node 2's process gave no sign of life for 1 s",
            program,
            model,
            data,
            runtime=runtime,
            progress=stop,
            **rest,
        )
    assert run.status == "failed"
    assert len(run.history) >= 3
    rest["stop"] = fd.AfterCommits(len(run.history) + 3)
    again = fd.train(program, model, data, resume=run, **rest)
    assert again.sha256 == fd.train(program, model, data, **rest).sha256


# -- at any moment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "wire"),
    [
        ("ring", "shared"),
        pytest.param("server", "shared", marks=SLOW),
        pytest.param("ring", "sockets", marks=SLOW),
    ],
)
def test_at_any_moment(leftovers, exchange, wire):
    """Whenever nodes are killed, the run ends with all its commits."""
    model, data = digits(3)
    rng = random.Random(f"{exchange} {wire}")
    for _ in range(2):
        timers = []
        first, second = rng.sample(range(3), 2)

        def begin(record, first=first, second=second, timers=timers):
            if record.round == 1:
                there = processes_of_nodes()
                for node in (first, second):
                    timers.append(threading.Timer(rng.uniform(0, 0.3), there[node].kill))
                    timers[-1].start()

        with leftovers():
            run = fd.train(
                Fragile(rounds=200),
                model,
                data,
                runtime=fd.Processes(wire=wire, exchange=exchange, lost="skip"),
                evaluate_every=rng.choice([1, 10, 200]),
                progress=begin,
            )
        for timer in timers:
            timer.cancel()
        assert [r.round for r in run.history] == list(range(1, 201))
        cohorts = [r.cohort for r in run.history]
        assert cohorts == sorted(cohorts, reverse=True)
        assert cohorts[0] == 3
        assert run.history[-1].loss < 2.5


evaluations = []


def deadly_loss(output, target):
    """A loss that ends node 1 when it is evaluated in the parent for the second time, and takes its time."""
    if not AT_A_NODE and processes_of_nodes():
        evaluations.append(len(output))
        if len(evaluations) == 2:
            processes_of_nodes()[1].kill()
        time.sleep(0.05)
    return torch.nn.functional.cross_entropy(output, target, reduction="none")


@pytest.mark.parametrize("exchange", ["server", "ring"])
@SLOW
def test_lost_while_the_parent_evaluates(leftovers, exchange):
    model, data = digits(3, deadly_loss)
    evaluations.clear()
    with leftovers():
        run = fd.train(Fragile(), model, data, runtime=fd.Processes(exchange=exchange, lost="skip"))
    assert len(evaluations) >= 6
    assert [r.cohort for r in run.history] == [3] * 2 + [2] * 4
    evaluations.clear()
    runtime = fd.Processes(exchange=exchange)
    with leftovers():
        run, _ = failure(r"node 1.*was killed by SIGKILL", Fragile(), model, data, runtime=runtime)
    assert [r.cohort for r in run.history] == [3] * 2
    assert all(r.accuracy is not None for r in run.history)


@SLOW
def test_a_slow_node_is_left_behind(leftovers):
    """A deadline and a quorum do not wait for it, and neither does the end of the run."""
    model, data = digits(3)
    job = fd.LocalSGD(epochs=1, batch_size=50, lr=0.1)
    slow = fd.Processes(device=Device(samples_per_second=50_000), slowdown=(1.0, 1.0, 2000.0))
    began = time.monotonic()
    for until in (fd.Deadline(1.0), fd.Quorum(2)):
        with leftovers():
            run = fd.train(fd.FedAvg(rounds=2, local=job, until=until), model, data, runtime=slow, per_node=True)
        assert run.status == "finished"
        assert all(r.cohort <= 2 for r in run.history)
        assert run.ledger.nodes[2].samples == 0 or run.ledger.nodes[2].dropped == run.ledger.nodes[2].jobs == 2
    assert time.monotonic() - began < 20


# -- what is wrong in a program, and at the terminal ---------------------------------------------------------------


@dataclass(frozen=True)
class Raising:
    """Its job raises at node 1 in its third round."""

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(5):
            await fed.map_reduce(Bad(t), {"w": s.w}, range(fed.nodes), fd.aggregators.Mean())
            await fed.commit(s)


@dataclass(frozen=True)
class Bad(Mortal):
    program: Fragile = Fragile()

    def __call__(self, node, args):
        if (node.id, self.t) == (1, 2):
            raise ArithmeticError("nothing adds up")
        return self.job(node, args)


def test_a_job_that_raises(leftovers):
    model, data = digits(2)
    for exchange in ("server", "ring"):
        runtime = fd.Processes(exchange=exchange, lost="skip")
        with leftovers():
            run, message = failure(
                r"node 1.*ArithmeticError: nothing adds up", Raising(), model, data, runtime=runtime, evaluate_every=5
            )
        assert len(run.history) == 2
        assert "Traceback" in message


class Unloadable:
    """A loss that can be sent, and not be loaded elsewhere."""

    def __call__(self, output, target):
        return torch.nn.functional.cross_entropy(output, target, reduction="none")

    def __reduce__(self):
        return _load, ()


def _load():
    if AT_A_NODE:
        raise OSError("no such library")
    return Unloadable()


def test_a_model_that_cannot_be_loaded(leftovers):
    model, data = digits(2, Unloadable())
    with leftovers(), pytest.raises(fd.BadInput, match=r"cannot load the model \(OSError: no such library\)"):
        fd.train(Fragile(), model, data, runtime=fd.Processes())


LONG = """
import sys
import foedus as fd
name = sys.argv[1]
data = fd.data.load("digits").split(fd.data.IID(), nodes=2, seed=0)
model = fd.Model(fd.models.mlp(64, 8, 10))
program = fd.Gossip(rounds=10**6) if name.startswith("peer") else fd.SyncSGD(rounds=10**6)
exchange = name.split()[0] if not name.startswith("peer") else "server"
runtime = fd.Processes(wire="sockets", exchange=exchange)
def progress(record):
    if record.round == 3:
        print("three", flush=True)
try:
    often = {"evaluate_every": 10**5, "checkpoint_every": 2}
    fd.train(program, model, data, runtime=runtime, out=name, progress=progress, **often)
except KeyboardInterrupt as e:
    assert isinstance(e, fd.Interrupted) and e.run.status == "interrupted"
    print("foedus:", e, file=sys.stderr)
    sys.exit(130)
"""


def test_ctrl_c_and_the_end_of_the_parent(leftovers, tmp_path):
    """Ctrl-C says how to go on; however the parent ends, its nodes end with it, and its folder holds a run."""
    (tmp_path / "long.py").write_text(textwrap.dedent(LONG))
    ends = {
        "server int": signal.SIGINT,
        "ring int": signal.SIGINT,
        "peer int": signal.SIGINT,
        "gloo kill": signal.SIGKILL,
        "server hup": signal.SIGHUP,
        "peer kill": signal.SIGKILL,
    }

    def dialogue(name):
        process = subprocess.Popen(
            [sys.executable, "long.py", name],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
        )
        line = process.stdout.readline()
        nodes = [p for p in psutil.Process(process.pid).children() if p.name() == NODE]
        if line != "three\n" or len(nodes) != 2:
            process.kill()
            pytest.fail(f"{name}: {line!r}, {len(nodes)} nodes, {process.communicate()[1]}")
        if name.endswith("int"):  # as a terminal does
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(ends[name])
        _, err = process.communicate(timeout=60)
        return process.returncode, err

    with leftovers(), ThreadPoolExecutor(3) as threads:
        ended = dict(zip(ends, threads.map(dialogue, ends), strict=True))
    for name, (status, err) in ended.items():
        if name.endswith("int"):
            assert status == 130, err
            assert re.fullmatch(rf'foedus: stopped at commit \d+; go on with .*resume=True.*out="{name}".*\n', err), err
        else:
            assert status == -ends[name], err
            assert err == ""
        assert (tmp_path / name / "checkpoint.safetensors").exists()
