"""What nodes remember stays in their processes: the coordinator has a number in its place, and fetches the tensors only
for checkpoints. To start processes takes a while, so that each test here looks at many things.
"""

import contextlib
import functools
import gc
import itertools
import logging
import os
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.coordination.federation import Federation
from foedus.core.types.job import Work
from foedus.core.types.state import State
from foedus.core.types.transform import Identity
from foedus.core.types.update import Update
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.parent.kept import Kept
from foedus.runtimes.processes.parent.parameter_server import Server
from foedus.testing import small

AT_A_NODE = "foedus.runtimes.processes.node" in sys.orig_argv
LOCAL = fd.LocalSGD(epochs=1, batch_size=7, lr=0.1)
PROGRAMS = {
    "control variates": fd.Scaffold(6, cohort=fd.Fixed(1), local=LOCAL),
    "own models": fd.Ditto(4, cohort=fd.Fixed(2), local=LOCAL),
    "own layers": fd.FedPer(4, local=LOCAL),
    "residuals": fd.FedAvg(4, local=LOCAL, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)),
    "references": fd.FedAvg(4, local=LOCAL, transforms=(fd.Difference(fd.TopK(0.1)),)),
}


@contextlib.contextmanager
def without_gc():
    """What nobody wants any more is let go of at once, and not when the garbage collector comes by."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def control(monkeypatch):
    """The messages that the parent has sent and received over the control channels since a program began, by kind."""
    seen, opened = Counter(), Server.open

    def watched(server):
        opened(server)
        talk = server._talk
        say, take = talk.say, talk._take

        def said(node, message, tree=None):
            seen[type(message).__name__] += 1
            say(node, message, tree)

        def taken(node, plain, tree):
            seen[plain.get("type", "?")] += 1
            take(node, plain, tree)

        talk.say, talk._take = said, taken

    monkeypatch.setattr(Server, "open", watched)
    return seen


def same(one, other):
    """Whether two checkpoints remember the same of all nodes, to the bit."""
    a, b = one.checkpoint.tree["node_states"], other.checkpoint.tree["node_states"]
    assert a.keys() == b.keys()
    for node in a:
        assert a[node].keys() == b[node].keys()
        for owner in a[node]:
            assert a[node][owner].keys() == b[node][owner].keys()
            for name, t in a[node][owner].items():
                assert torch.equal(t, b[node][owner][name]), (node, owner, name)
    return True


@pytest.mark.parametrize("what", PROGRAMS)
def test_bits_and_checkpoints_are_those_of_a_simulation(what, leftovers, tmp_path, control):
    """The model, what every node remembers and what nodes find when they evaluate; also stopped and resumed twice."""
    problem, program, out = small(nodes=3, rows=100), PROGRAMS[what], tmp_path / "run"

    def run(runtime, **more):
        with leftovers():
            return fd.train(program, problem.model, problem.data, runtime=runtime, evaluate_nodes=1, **more)

    expected = run(fd.Simulation())
    assert expected.checkpoint.tree["node_states"]
    whole = run(fd.Processes())
    assert whole.sha256 == expected.sha256
    assert same(whole, expected)
    assert whole.node_metrics == expected.node_metrics
    assert "NodeState" not in control
    # Here, then in a simulation, then here again, from a folder; what nodes remembered is sent to each of them once.
    run(fd.Processes(), out=out, stop=fd.AfterCommits(2))
    part = run(fd.Simulation(), out=out, resume=True, stop=fd.AfterCommits(3))
    control.clear()
    resumed = run(fd.Processes(), out=out, resume=True)
    assert resumed.sha256 == expected.sha256
    assert same(resumed, expected)
    assert resumed.node_metrics == expected.node_metrics
    assert control["NodeState"] == len(part.checkpoint.tree["node_states"]) > 0


@pytest.mark.parametrize("wire", ["shared", "sockets"])
def test_no_byte_of_it_travels_between_checkpoints(monkeypatch, wire):
    """Over the control channels a round costs the same few bytes for models of 200 numbers as for one of 200 000."""

    def bytes_by_round(width):
        meters, opened, at = [], Server.open, []

        def counted(server):
            opened(server)
            for channel in server.group.channels:
                channel.meter = Meter()
                meters.append(channel.meter)

        def commit(record):
            at.append(sum(m.bytes_sent + m.bytes_received for m in meters))

        with monkeypatch.context() as patch:
            patch.setattr(Server, "open", counted)
            x = torch.randn(40, 10, generator=torch.Generator().manual_seed(0)).numpy()
            data = fd.data.arrays(x, [i % 2 for i in range(40)], test=0.2).split(fd.data.IID(), nodes=2)
            model = fd.Model(nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 2)))
            program = fd.Scaffold(6, local=fd.LocalSGD(1, 8, lr=0.01), transforms=(fd.ErrorFeedback(fd.TopK(0.1)),))
            fd.train(program, model, data, runtime=fd.Processes(wire=wire), progress=commit, evaluate_nodes=1)
        return [b - a for a, b in itertools.pairwise(at)]

    little, much = bytes_by_round(16), bytes_by_round(16_000)
    assert little == much
    assert max(much) < 1000


# -- whose answer counts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Remembers how many of its node's answers were accepted, and says so: its memory has ``padding`` numbers
    beside it, its answer is ``long``.

    A node that is in ``fails`` raises in every second job, one in ``slow`` takes its time, and one in ``dies`` ends in
    the job after so many answers, if it is a process.
    """

    padding: int = 1000
    long: int = 1
    fails: tuple = ()
    slow: tuple = ()
    takes: float = 0.05
    dies: tuple = ()

    def work(self, rows):
        return Work(trained=1)

    def parts(self, model):
        return {"answers": (self.long,), "kept": (1,)}

    def __call__(self, node, args):
        n = int(node.state["answers"]) if "answers" in node.state else 0
        if AT_A_NODE and (node.id, n) in self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if node.id in self.slow:
            time.sleep(self.takes)
        if node.id in self.fails and node.key.integer() % 2:
            raise RuntimeError("not today")
        told = {"answers": torch.full((self.long,), n + 1.0), "kept": torch.full((1,), float(kept_here()))}
        return Update(told, 1.0, {}, node.id), {"answers": torch.tensor(n + 1), "pad": torch.ones(self.padding)}


def kept_here():
    """How many states this process keeps, if it is a node's."""
    return sum(len(w.kept) for w in workers()) if AT_A_NODE else 0


@functools.cache
def workers():
    """Those of this process, which works for one run after the other: looked for once, as it takes long."""
    from foedus.runtimes.processes.node.worker import _Worker

    return [o for o in gc.get_objects() if type(o) is _Worker]


@dataclass(frozen=True)
class Rounds:
    """Rounds of ``job``. It counts itself whose answers it accepted, which is what the nodes must say."""

    rounds: int
    job: Counts = Counts()
    until: object = fd.All()
    interrupted: int = -1

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=w, accepted=[0] * fed.nodes, most=0.0, wrong=0))
        for t in fed.rounds(self.rounds):
            for _ in range(2):
                answers = await fed.map(self.job, {"w": s.w}, range(fed.nodes), until=self.until)
                accepted, most, wrong = list(s.accepted), s.most, s.wrong
                for node, answer in enumerate(answers):
                    if isinstance(answer, Update):
                        accepted[node] += 1
                        wrong += int(answer["answers"][0]) != accepted[node]
                        most = max(most, float(answer["kept"]))
                s = s.replace(accepted=accepted, most=most, wrong=wrong)
                if t == self.interrupted:
                    raise KeyboardInterrupt
            await fed.commit(s)
        return s.w


@dataclass(frozen=True)
class Sometimes(fd.Policy):
    """Node 0 refuses every third job."""

    def refuses(self, asked):
        return fd.Refused(0, "not now") if asked.node == 0 and asked.count % 3 == 2 else None


def remembered(run):
    return [int(run.checkpoint.tree["node_states"].get(n, {}).get("job", {}).get("answers", 0)) for n in range(3)]


@pytest.mark.parametrize(
    ("job", "until"),
    [
        (Counts(fails=(1,)), fd.All(failure="retry")),
        (Counts(fails=(1,)), fd.All(failure="skip")),
        (Counts(slow=(2,)), fd.Quorum(2)),
        (Counts(slow=(1, 2), takes=1.0), fd.Deadline(0.8)),
        (Counts(fails=(1,)), fd.Deadline(60.0, failure="skip")),
    ],
)
def test_an_answer_that_was_not_used_changes_nothing(leftovers, job, until):
    """Tried again, failed, refused, late and called off: nodes remember their accepted answers, and those only."""
    problem = small(nodes=3, rows=30)
    with leftovers(), without_gc():
        run = fd.train(Rounds(4, job, until), problem.model, problem.data, runtime=fd.Processes(), policy=Sometimes())
    state, total = run.checkpoint.tree["state"], run.ledger.total
    assert state.wrong == 0
    assert remembered(run) == state.accepted
    assert total.refused > 0
    assert total.late + total.failed > 0
    assert 0 < state.most <= 3


def test_an_interrupted_run_goes_back_to_its_last_commit(leftovers):
    """Answers were accepted since: what its checkpoint holds, and what it goes on from, is of the commit."""
    problem = small(nodes=3, rows=30)
    with leftovers():
        run = ended(fd.Interrupted, Rounds(5, interrupted=3), problem.model, problem.data, runtime=fd.Processes())
    assert len(run.history) == 3
    assert remembered(run) == [6, 6, 6]
    with leftovers():
        again = fd.train(Rounds(5), problem.model, problem.data, runtime=fd.Processes(), resume=run)
    assert again.checkpoint.tree["state"].wrong == 0
    assert remembered(again) == [10, 10, 10]


def test_a_node_keeps_few_states_however_long_the_run(leftovers):
    """20 rounds of two calls each, with evaluations at the nodes in between: three at the most, here as well."""
    problem, handles = small(nodes=3, rows=30), []

    def commit(record):
        handles.append(sum(type(o) is Kept for o in gc.get_objects()))

    with leftovers(), without_gc():
        run = fd.train(
            Rounds(20), problem.model, problem.data, runtime=fd.Processes(), evaluate_nodes=1, progress=commit
        )
    assert run.checkpoint.tree["state"].most <= 3
    assert max(handles) <= 3 * 3


@dataclass(frozen=True)
class Echoes:
    """Remembers the very arguments that it was given, and answers those before."""

    def work(self, rows):
        return Work(trained=1)

    def parts(self, model):
        return {"before": (model.layout.size,)}

    def __call__(self, node, args):
        return Update({"before": node.state.get("w", torch.zeros_like(args["w"]))}, 1.0, {}, node.id), args


@dataclass(frozen=True)
class Echo:
    """A model that is another in every round."""

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=torch.zeros_like(w)))
        for t in fed.rounds(6):
            for answer in await fed.map(Echoes(), {"w": s.w}, range(fed.nodes)):
                assert set(answer["before"].tolist()) == {float(max(0, t - 1))}
            s = s.replace(w=torch.full_like(s.w, t + 1.0))
            await fed.commit(s)
        return s.w


@pytest.mark.parametrize("wire", ["shared", "sockets"])
def test_what_is_kept_has_memory_of_its_own(leftovers, wire):
    """That of a message is used again."""
    problem = small(nodes=3, rows=30)
    with leftovers():
        run = fd.train(Echo(), problem.model, problem.data, runtime=fd.Processes(wire=wire))
    assert {float(s["job"]["w"].unique()) for s in run.checkpoint.tree["node_states"].values()} == {5.0}


# -- what a lost node takes with it --------------------------------------------------------------------------------


def ended(kind, *args, **options):
    """The run of a ``train`` that raises; its traceback is let go of."""
    with pytest.raises(kind) as e:
        fd.train(*args, **options)
    return e.value.run


def test_lost_between_written_commits_the_run_goes_on_from_the_last_whole_one(leftovers, tmp_path, caplog):
    """Node 1 ends in round 5 of a run that writes each third commit, and what it remembers is lost with it."""
    problem, out = small(nodes=3, rows=30), tmp_path / "run"
    mortal, often = Rounds(8, Counts(dies=((1, 8),))), {"checkpoint_every": 3}
    with leftovers(), caplog.at_level(logging.WARNING, "foedus"):
        run = ended(fd.NodeFailed, mortal, problem.model, problem.data, runtime=fd.Processes(), out=out, **often)
    assert len(run.history) == 4
    assert "commit 4 is not written: what node 1 remembers is lost with its process" in caplog.text
    # The one in memory says what it lacks; an ordinary run refuses it, wherever it is to go on.
    for runtime in (fd.Processes(), fd.Simulation()):
        with pytest.raises(fd.BadInput, match=r"node 1 remembered.*process, which was killed by SIGKILL.*out=FOLDER"):
            fd.train(Rounds(8), problem.model, problem.data, runtime=runtime, resume=run)
    # The folder has commit 3, whole.
    for runtime in (fd.Processes(), fd.Simulation()):
        copy = tmp_path / type(runtime).__name__
        shutil.copytree(out, copy)
        again = fd.train(Rounds(8), problem.model, problem.data, runtime=runtime, out=copy, resume=True)
        assert again.checkpoint.tree["state"].wrong == 0
        assert remembered(again) == [16, 16, 16]


def test_a_run_that_goes_on_without_a_node_does_so_without_its_memory(leftovers, tmp_path, caplog):
    """Its commits are written all the same; when the run is resumed the node begins anew, and that is said."""
    problem, out, skips = small(nodes=3, rows=30), tmp_path / "run", fd.Processes(lost="skip")
    mortal = Rounds(6, Counts(dies=((1, 4),)))
    with leftovers():
        run = fd.train(mortal, problem.model, problem.data, runtime=skips, out=out, stop=fd.AfterCommits(4))
    assert remembered(run) == [8, 0, 8]
    assert run.checkpoint.lost_memory.keys() == {1}
    with pytest.raises(fd.BadInput, match="node 1 remembered"):
        fd.train(Rounds(6), problem.model, problem.data, runtime=fd.Simulation(), resume=run)
    with leftovers(), caplog.at_level(logging.WARNING, "foedus"):
        again = fd.train(Rounds(6), problem.model, problem.data, runtime=skips, out=out, resume=True)
    assert "node 1 begins anew: what node 1 remembered" in caplog.text
    assert remembered(again) == [12, 4, 12]
    assert not again.checkpoint.lost_memory


# -- streams -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flow:
    """Absorbs answers as they arrive; how many of each node is what the node must say."""

    commits: int
    job: Counts = Counts(slow=(0,))

    async def __call__(self, fed: Federation):
        s = await fed.begin(lambda w: State(w=w, accepted=[0] * fed.nodes, most=0.0, wrong=0))
        async with fed.stream(self.job, transforms=(Padded(),), commits=self.commits) as updates:
            for node in updates.idle:
                updates.send(node, {"w": s.w})
            used = 0
            async for u in updates:
                accepted = list(s.accepted)
                accepted[u.node] += 1
                wrong = s.wrong + (int(u["answers"][0]) != accepted[u.node])
                s = s.replace(accepted=accepted, wrong=wrong, most=max(s.most, float(u["kept"])))
                updates.send(u.node, {"w": s.w})
                used += 1
                if used % 6 == 0:
                    await fed.commit(s)
        return s.w


@dataclass(frozen=True)
class Padded(Identity):
    """A transform with a memory of its own."""

    def encode(self, u, state, key):
        return u, {"pad": torch.ones(10)}


def answers(state):
    """How many of its answers were accepted, by what a node remembers; one that is slow may have nothing yet."""
    return int(state["job"]["answers"]) if state else 0


def test_a_stream_is_stopped_and_goes_on_with_what_nodes_remember(leftovers, tmp_path):
    """Jobs in flight are in the checkpoint with what their nodes remembered, and go on from that anywhere."""
    problem, out = small(nodes=3, rows=30), tmp_path / "run"
    runtimes = (fd.Processes(), fd.Simulation(), fd.Processes(wire="sockets"))
    for i, runtime in enumerate(runtimes):
        with leftovers():
            run = fd.train(
                Flow(9), problem.model, problem.data, runtime=runtime, out=out, resume=i > 0,
                stop=fd.AfterCommits(3 * i + 3),
            )  # fmt: skip
        state, flights = run.checkpoint.tree["state"], run.checkpoint.tree["in_flight"]
        assert state.wrong == 0
        assert remembered(run) == state.accepted
        assert sum(state.accepted) == 18 * (i + 1)
        assert {f["node"]: answers(f["state"]) for f in flights} == dict(enumerate(state.accepted))
        # Two owners, of the states accepted, of the last commit and of a job in flight.
        assert state.most <= 6


def test_an_answer_too_long_for_its_wire_does_not_keep_a_checkpoint_waiting(leftovers, tmp_path):
    """A node that is asked for what it keeps may be in the middle of a long answer, which is taken meanwhile."""
    problem, wire = small(nodes=3, rows=30), fd.Processes(wire="sockets")
    with leftovers():
        run = fd.train(
            Flow(6, Counts(slow=(0, 1), long=4_000_000)), problem.model, problem.data, runtime=wire,
            out=tmp_path / "run",
        )  # fmt: skip
    assert run.checkpoint.tree["state"].wrong == 0
    assert remembered(run) == run.checkpoint.tree["state"].accepted
