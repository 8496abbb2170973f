"""Laws of runtimes: whatever runs jobs somewhere, in whatever time, must give what a simulation gives."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators import Mean, Median
from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.federation import Federation
from foedus.core.coordination.runtime import Runtime
from foedus.core.coordination.site import Setup
from foedus.core.coordination.until import All, Deadline, Quorum, Until
from foedus.core.errors import BadInput, FoedusError, NodeFailed, WorkerError
from foedus.core.records.run import Record
from foedus.core.records.run import Run as _Run
from foedus.core.types.job import Job, NodeState, NodeView, Work
from foedus.core.types.model import Model, join
from foedus.core.types.policy import Asked, Does, Gathered, Policy
from foedus.core.types.state import State
from foedus.core.types.update import Failed, Late, Refused, Tensors, Update
from foedus.jobs import Gradient, LocalSGD
from foedus.optimizers import Adam
from foedus.programs import FedAvg, Gossip, ParameterServer
from foedus.runtimes import Simulation
from foedus.runtimes.warm import running
from foedus.sampling import AfterCommits, Cohort, Fixed, OverSelect
from foedus.testing.laws import ANY_TIME, CLOSE, Laws, same_history
from foedus.testing.problems import small
from foedus.training import train
from foedus.transforms import ErrorFeedback, TopK

LACKS = (
    "answers one by one", "robust rules", "nodes that act together", "quorum", "deadline", "over-selection", "stream",
    "peers", "bytes of a server",
)  # fmt: skip
"""What a runtime may do without, if it says so before anything runs: see ``check_runtime``."""


def check_runtime(
    runtime: Runtime,
    *,
    exact: bool = True,
    tolerance: float = CLOSE,
    lacks: Collection[str] = (),
    keeps: Sequence[str] = (),
) -> None:
    """Check a runtime against its laws, on six small nodes.

    Training reduced from sums and from stacks, with node state, compression and answers one by one, has the bits of
    ``Simulation(workers=1)``, also after a stop, and its ledger the same bytes; so have decentralised training and runs
    in which nodes refuse, act together or say too much of themselves. Quorums, deadlines, over-selection and
    asynchronous work take whom they should and account for everybody. A job that raises names its node, one that is
    tried again succeeds, and a process that dies ends the run at its last commit. What was submitted can be called off,
    ``close`` can be called twice, and nothing is left.

    ``exact``      False for a runtime that adds in another order: numbers are then compared within ``tolerance``,
                   relative to the largest.
    ``lacks``      names from ``LACKS`` of what the runtime does without. It is then to be refused with ``BadInput``
                   (but for the last, which is a fact about bytes).
    ``keeps``      parts of the command lines of processes that somebody else keeps (resource trackers, daemons).
    """
    unknown = set(lacks) - set(LACKS)
    if unknown:
        raise BadInput(f"unknown in lacks: {', '.join(map(repr, sorted(unknown)))}; known are {', '.join(LACKS)}")
    check = _Check(runtime, exact, tolerance, frozenset(lacks), tuple(keeps))
    for law in (
        check.reference,
        check.resume,
        check.peers,
        check.refusal,
        check.dishonest,
        check.quorum,
        check.over_selection,
        check.deadline,
        check.stream,
        check.failure,
        check.retry,
        check.death,
        check.calling_off,
    ):
        law()
        check.left_behind()


class _Check:
    def __init__(
        self, runtime: Runtime, exact: bool, tolerance: float, lacks: frozenset[str], keeps: tuple[str, ...]
    ) -> None:
        self.runtime, self.exact, self.tolerance, self.lacks, self.keeps = runtime, exact, tolerance, lacks, keeps
        self.laws = Laws(runtime)
        self._before = children(keeps)
        self._elsewhere = False
        """Whether jobs run in other processes than this one."""

    # -- what is the same as in a simulation -------------------------------------------------------------------

    def reference(self) -> None:
        """The bits, history and bytes of the reference."""
        program = self._program()
        reference, run = self._both(program)
        self._same(run, reference, "gives the reference bits")
        self._elsewhere = run.history[-1].metrics["elsewhere"] > 0
        if "bytes of a server" not in self.lacks:
            law = "counts the bytes of arguments and answers"
            for name in ("bytes_down", "bytes_up"):
                mine, theirs = getattr(run.ledger, name), getattr(reference.ledger, name)
                self.laws.require(mine == theirs, law, f"{theirs} {name}", mine)
        self.laws.require(
            run.ledger.total.jobs == reference.ledger.total.jobs, "counts jobs", reference.ledger.total.jobs,
            run.ledger.total.jobs,
        )  # fmt: skip
        if "answers one by one" in self.lacks:
            self._refused(_Reference(robust=False), "answers one by one")
        if "robust rules" in self.lacks:
            self._refused(_Reference(answers=False), "robust rules")

    def resume(self) -> None:
        """A stopped run goes on with the same bits, here and in a simulation."""
        program = self._program()
        whole = self._train(program)
        part = self._train(program, stop=AfterCommits(1))
        self._same(self._train(program, resume=part), whole, "goes on after a stop")
        self._same(self._train(program, Simulation(), resume=part), whole, "a simulation goes on after a stop here")

    def peers(self) -> None:
        """Decentralised training."""
        program = Gossip(3, lr=0.1)
        if "peers" in self.lacks:
            self._refused(program, "peers")
            return
        reference, run = self._both(program)
        self._same(run, reference, "peers give the reference bits", ANY_TIME)

    def refusal(self) -> None:
        """A node that refuses is missing with its own word, and is not waited for."""
        policy = Refuses((1, 4))
        reference, run = self._both(self._program(), policy=policy)
        law = "a refusal is a normal answer"
        self._same(run, reference, law)
        self.laws.require(run.ledger.total.refused > 0, law, "refusals in the ledger", run.ledger.total)

    def dishonest(self) -> None:
        """Nodes that act together answer when all answers are known; what no node can answer is no answer."""
        policy = Dishonest()
        if "nodes that act together" in self.lacks:
            self._refused(FedAvg(1, aggregate=Mean(weighted=False)), "nodes that act together", policy)
        else:
            for program in (FedAvg(2, aggregate=Mean(weighted=False)), FedAvg(2, aggregate=Median())):
                reference, run = self._both(program, policy=policy)
                self._same(run, reference, "nodes that act together do not change the bits")
        if "robust rules" in self.lacks:
            return
        reference, run = self._both(FedAvg(2, aggregate=Median()), policy=Boasts(2))
        law = "an answer that weighs more than its node's rows is left out by a robust rule, and counted"
        # Where a node finds out itself, it need not send it.
        self._same(run, reference, law, (*ANY_TIME, "bytes_up", "messages"))
        self.laws.require(run.ledger.total.failed == 2, law, "2 failed", run.ledger.total)

    # -- who is taken ------------------------------------------------------------------------------------------

    def quorum(self) -> None:
        """The first answers; the others are late, and pay for what they did."""
        if "quorum" in self.lacks:
            self._refused(_Once(until=Quorum(2)), "quorum")
            return
        self._partly("a quorum takes its k", Quorum(2), None, lambda n: n == 2)

    def over_selection(self) -> None:
        """The wanted answers of a larger cohort."""
        if "over-selection" in self.lacks:
            self._refused(_Once(cohort=OverSelect(2, 2.0)), "over-selection")
            return
        self._partly("an over-selected cohort gives what is wanted", All(), OverSelect(2, 2.0), lambda n: n == 2, 4)

    def deadline(self) -> None:
        """Whoever is in time."""
        if "deadline" in self.lacks:
            self._refused(_Once(until=Deadline(60.0)), "deadline")
            return
        self._partly("everybody is in time for a deadline that is far", Deadline(1e6), None, lambda n: n == 6)
        law = "a deadline that passed leaves out whoever was not done"
        self._partly(law, Deadline(1e-9), None, lambda n: n < 7)

    def _partly(
        self, law: str, until: Until, cohort: Cohort | None, right: Callable[[int], bool], asked: int = 6
    ) -> None:
        """Everybody is accounted for, and the sum is that of those who arrived."""
        run = self._train(_Once(until=until, cohort=Fixed(6) if cohort is None else cohort))
        said, costs = run.history[-1].metrics, run.ledger.total
        who = [n for n in range(6) if int(said["arrived"]) >> n & 1]
        arrived = len(who)
        self.laws.require(right(arrived), law, "another number of answers", who)
        self.laws.require(said["asked"] == asked, law, f"{asked} nodes in all", said)
        self.laws.require(said["late"] == asked - arrived, law, f"{asked - arrived} that are Late", said)
        self.laws.require((costs.jobs, costs.late) == (asked, asked - arrived), law, "all in the ledger", costs)
        if arrived:
            mean = sum(2.0**n for n in who) / arrived
            off = abs(said["mean"] - mean)
            self.laws.require(off < 1e-5 * mean, law, f"the mean {mean} of those that arrived", said["mean"])

    def stream(self) -> None:
        """Asynchronous work."""
        program = ParameterServer(3, lr=0.01)
        if "stream" in self.lacks:
            self._refused(program, "stream")
            return
        law = "updates of a stream are all used, and counted once"
        run = self._train(program)
        costs = run.ledger.total
        used = sum(r.cohort for r in run.history)
        self.laws.require((len(run.history), used) == (3, 18), law, "18 updates in 3 commits", (len(run.history), used))
        self.laws.require(costs.jobs == 18, law, "18 jobs", costs.jobs)
        part = self._train(program, stop=AfterCommits(1))
        again = self._train(program, resume=part)
        self.laws.require(len(again.history) == 3, "a stream goes on after a stop", "3 commits", len(again.history))

    # -- what goes wrong ---------------------------------------------------------------------------------------

    def failure(self) -> None:
        """A job that raises is a ``NodeFailed`` that names its node, and keeps the last commit."""
        law = "a job that raises is a NodeFailed that names its node"
        e = self._fails(_Calling(Raises(node=3, job_number=1)), law, NodeFailed)
        self.laws.require("node 3" in str(e), law, "'node 3' in the message", str(e))
        log = getattr(e, "log", "")
        self.laws.require("ZeroDivisionError" in log, law, "the node's traceback in its log", repr(log[-200:]))
        run = getattr(e, "run", None)
        self.laws.require(
            run is not None and len(run.history) == 1, law, "the run up to its last commit, the first", run
        )

    def retry(self) -> None:
        """Who fails is tried once more, with other randomness, and left out if it fails again."""
        law = "a job that fails is tried again, then left out"
        reference, run = self._both(_Once(job=Marks(fails=0.5), until=All("retry")))
        mine, theirs = run.history[-1].metrics, reference.history[-1].metrics
        for name in ("arrived", "failed", "asked"):
            self.laws.require(mine[name] == theirs[name], law, theirs, mine)
        self.laws.require(mine["failed"] > 0, law, "somebody who fails twice", mine)
        self.laws.require(run.ledger.total.jobs > 6, law, "the first attempts in the ledger", run.ledger.total.jobs)

    def death(self) -> None:
        """A process that dies ends the run at its last commit, and is named."""
        if not self._elsewhere:
            return
        law = "a process that dies ends the run at its last commit"
        e = self._fails(_Calling(Dies(node=3, job_number=1, spared=os.getpid())), law, WorkerError, NodeFailed)
        run = getattr(e, "run", None)
        self.laws.require(run is not None and len(run.history) == 1, law, "the run up to its first commit", run)

    def calling_off(self) -> None:
        """What was submitted can be called off, and ``close`` can be called twice."""
        with self.laws.attempt("what was submitted can be called off", "no error"):
            problem = small()
            engine = self.runtime.start(Setup(problem.model, problem.data))
            try:
                placed = engine.executor.place({"w": problem.model.initial})
                ticket = engine.executor.submit(Plan(Gradient()), placed, [[Task(-1, 0, {})]])
                engine.executor.cancel(ticket)
                engine.executor.release(placed)
            finally:
                engine.executor.close()
                engine.executor.close()

    # ----------------------------------------------------------------------------------------------------------

    def left_behind(self, patience: float = 5.0) -> None:
        """No process of ours that was not there before. One that is just ending is given some seconds."""
        now = children(self.keeps)
        until = time.monotonic() + patience
        while now - self._before and time.monotonic() < until:
            time.sleep(0.05)
            now = children(self.keeps)
        left = sorted(now - self._before)
        self.laws.require(not left, "leaves no process behind", "none", f"processes {left}")

    def _program(self) -> _Reference:
        return _Reference(robust="robust rules" not in self.lacks, answers="answers one by one" not in self.lacks)

    def _train(self, program: Any, runtime: Runtime | None = None, **options: Any) -> _Run:
        problem = small()
        with self.laws.attempt(f"runs {type(program).__name__}", "a finished run"):
            return train(program, problem.model, problem.data, runtime=runtime or self.runtime, **options)
        raise AssertionError("unreachable")

    def _both(self, program: Any, **options: Any) -> tuple[_Run, _Run]:
        return self._train(program, Simulation(workers=1), **options), self._train(program, **options)

    def _same(self, run: _Run, reference: _Run, law: str, ignore: Sequence[str] = ANY_TIME) -> None:
        if not self.exact:
            largest = max(1.0, float(reference.vector.abs().max()))
            off = float((run.vector - reference.vector).abs().max()) / largest
            self.laws.require(off <= self.tolerance, law, f"numbers within {self.tolerance}", off)
            return
        self.laws.require(
            run.sha256 == reference.sha256, law, f"{reference.sha256}, as Simulation(workers=1)", run.sha256
        )
        ignored = [*ignore, *(("bytes_up", "bytes_down", "messages") if "bytes of a server" in self.lacks else ())]
        difference = same_history(_bare(reference.history), _bare(run.history), ignored)
        self.laws.require(not difference, law, "the history of Simulation(workers=1), times aside", difference)

    def _refused(self, program: Any, what: str, policy: Policy = Policy()) -> None:
        problem = small()
        try:
            train(program, problem.model, problem.data, runtime=self.runtime, policy=policy)
        except BadInput:
            return
        except Exception as e:
            self.laws.require(False, f"refuses {what}", "BadInput", f"{type(e).__name__}: {e}")
        self.laws.require(False, f"refuses {what}", "BadInput", "a finished run")

    def _fails(self, program: Any, law: str, *kinds: type[FoedusError]) -> FoedusError:
        problem = small()
        try:
            train(program, problem.model, problem.data, runtime=self.runtime)
        except kinds as e:
            return e
        except Exception as e:
            self.laws.require(False, law, " or ".join(k.__name__ for k in kinds), f"{type(e).__name__}: {e}")
        self.laws.require(False, law, " or ".join(k.__name__ for k in kinds), "a finished run")
        raise AssertionError("unreachable")


def _bare(history: Sequence[Record]) -> list[Record]:
    """Records without the metric that says where jobs ran."""
    return [replace(r, metrics={k: v for k, v in r.metrics.items() if k != "elsewhere"}) for r in history]


@dataclass(frozen=True)
class Refuses(Policy):
    """Some nodes refuse every job but evaluation."""

    nodes: tuple[int, ...]

    def refuses(self, asked: Asked) -> Refused | None:
        trains = asked.job.work(1).trained > 0
        return Refused(asked.node, "on purpose", "to see what follows") if trains and asked.node in self.nodes else None


@dataclass(frozen=True)
class Boasts(Policy):
    """One node says that it has a million times as many rows as it has."""

    node: int

    def does(self, asked: Asked, view: NodeView, args: Tensors, job: Does) -> tuple[Update, NodeState]:
        update, state = job(view, args)
        return (replace(update, weight=update.weight * 1e6) if asked.node == self.node else update), state


@dataclass(frozen=True)
class Dishonest(Policy):
    """Nodes 0 and 3 act together: they answer minus the mean of what all would have answered."""

    @property
    def collusion(self) -> Opposite:
        return Opposite(frozenset({0, 3}))


@dataclass(frozen=True)
class Opposite:
    """What ``Dishonest`` nodes send."""

    members: frozenset[int]

    def answers(self, gathered: Gathered, memory: Tensors) -> tuple[dict[int, Update], Tensors]:
        updates = list(gathered.updates.values())
        mean = {k: -torch.stack([u.parts[k] for u in updates]).mean(0) for k in updates[0].parts}
        return {n: u.with_parts(mean) for n, u in gathered.updates.items() if n in self.members}, memory


@dataclass(frozen=True)
class Raises:
    """A job that raises at one node from its n-th job on (counted from 0), and answers its rows' number elsewhere.

    ``work`` and ``parts`` are honest, so that it stands in for any job whose code is wrong.
    """

    node: int
    job_number: int = 0

    def work(self, rows: int) -> Work:
        return Work(trained=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (model.layout.parameters,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        done = int(node.state["jobs"]) if "jobs" in node.state else 0
        if node.id == self.node and done >= self.job_number:
            self.goes_wrong()
        delta = torch.full((node.model.layout.parameters,), 0.125)
        return Update({"delta": delta}, len(node.rows), {}, node.id), {"jobs": torch.tensor(done + 1)}

    def goes_wrong(self) -> None:
        """What happens then."""
        raise ZeroDivisionError("raised on purpose")


@dataclass(frozen=True)
class Dies(Raises):
    """A job whose process dies at one node from its n-th job on. ``spared``: a process that does not."""

    spared: int = 0

    def goes_wrong(self) -> None:
        """Nobody is asked."""
        if os.getpid() != self.spared:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Marks:
    """A job that answers 2 to the power of its node's id. ``fails``: the chance that an attempt does."""

    fails: float = 0.0

    def work(self, rows: int) -> Work:
        return Work(trained=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (1,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        if node.key.child("fails").uniform() < self.fails:
            raise OSError("failed on purpose")
        return Update({"delta": torch.tensor([2.0**node.id])}, 1.0, {}, node.id), {}


@dataclass(frozen=True)
class _Elsewhere:
    """A job that says whether it ran in another process than the one that made it."""

    here: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {"elsewhere": (1,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        return Update({"elsewhere": torch.tensor([float(os.getpid() != self.here)])}, 1.0, {}, node.id), {}


@dataclass(frozen=True)
class _Calling:
    """Gives every node one job a round and adds what comes: the smallest program with a failing job."""

    job: Job
    rounds: int = 3

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        p = fed.layout.parameters
        for _ in fed.rounds(self.rounds):
            total = await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), Mean())
            w = s.w.clone()
            w[:p] += total["delta"]
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Once:
    """One call. The record of its commit says what came:"""

    job: Marks = Marks()
    until: Until = All()
    cohort: Cohort = Fixed(6)

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        for _ in fed.rounds(1):
            nodes = await fed.sample(self.cohort)
            total = await fed.map_reduce(self.job, {"w": s.w}, nodes, Mean(), until=self.until)
            kinds = [type(m) for m in total.missing.values()]
            said = {
                "arrived": sum(2.0**n for n in total.arrived),
                "late": float(kinds.count(Late)),
                "failed": float(kinds.count(Failed)),
                "asked": float(len(total.arrived) + len(kinds)),
                "mean": float(total["delta"]) if total else 0.0,
            }
            await fed.commit(s, extra=said)
        return s.w  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Reference:
    """All ways of giving jobs in one program: reduced to a sum, reduced from a stack with node state, one by one."""

    rounds: int = 3
    robust: bool = True
    answers: bool = True
    here: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "here", os.getpid())

    async def __call__(self, fed: Federation) -> Tensor:
        job, compress = LocalSGD(epochs=2, batch_size=7, lr=0.1, momentum=0.5), (ErrorFeedback(TopK(0.1)),)
        rule = Median() if self.robust else Mean()
        s = await fed.begin(lambda w: State(w=w, moments=Adam(lr=0.01).init(w)))
        for _ in fed.rounds(self.rounds):
            nodes = await fed.sample(Fixed(4))
            total = await fed.map_reduce(job, {"w": s.w}, nodes, Mean())
            w = s.w + join(total, fed.layout)
            total = await fed.map_reduce(job, {"w": w}, await fed.sample(Fixed(5)), rule, transforms=compress)
            s = Adam(lr=0.01).step(State(w=w, server=s.moments), total)
            w = s.w.clone()
            if self.answers:
                for u in await fed.map(Gradient(batch_size=5), {"w": s.w}, nodes):
                    if isinstance(u, Update):
                        w[: fed.layout.parameters] -= 0.01 * u.value()["gradient"]
            where = await fed.map_reduce(_Elsewhere(self.here), {}, range(fed.nodes), Mean())
            s = State(w=w, moments=s.server)
            await fed.commit(s, extra={"elsewhere": float(where["elsewhere"])})
        return s.w  # type: ignore[no-any-return]


def children(keeps: Sequence[str] = ()) -> set[int]:
    """Ids of this process's descendants, but for those whose command line has one of these parts.

    Without its own warm processes, which stay for the next run and end with it. From psutil where it is installed,
    else from /proc, else nothing is known.
    """
    warm = {process.pid for process in running()}
    try:
        import psutil
    except ImportError:
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name, in parentheses, may itself hold spaces and parentheses.
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        ours, found = {os.getpid()}, set[int]()
        while ours:
            ours = {pid for pid, parent in parents.items() if parent in ours} - found
            found |= ours
        return {pid for pid in found - warm if not _kept(pid, keeps)}
    found = {p.pid for p in psutil.Process().children(recursive=True)}
    return {pid for pid in found - warm if not _kept(pid, keeps)}


def _kept(pid: int, keeps: Sequence[str]) -> bool:
    if not keeps:
        return False
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return any(part in line for part in keeps)
    return False
