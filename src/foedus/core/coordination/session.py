"""Session: the books of one run, whatever the program. Counters, node states, ledger, history, commits, evaluation.

What has happened since the last commit can be undone, so that a run that ends between two commits is left exactly as
the last commit had it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from foedus.core.coordination.commit import Carried, Commit
from foedus.core.coordination.endings import kept
from foedus.core.coordination.evaluation import AT_NODES
from foedus.core.coordination.executor import Executor
from foedus.core.coordination.judging import Found, Judging
from foedus.core.coordination.node_states import begin_without, bring_home
from foedus.core.coordination.quality import Quality
from foedus.core.errors import BadInput, Diverged, ProgramError
from foedus.core.records.checkpoint import Checkpoint
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.folder import RunFolder
from foedus.core.records.ledger import Ledger
from foedus.core.records.memory import Memory
from foedus.core.records.origin import Circumstances
from foedus.core.records.run import Record
from foedus.core.time.clock import Clock, settle
from foedus.core.time.cost import Network
from foedus.core.time.delivery import Deliveries
from foedus.core.types.job import Job
from foedus.core.types.keys import Key
from foedus.core.types.metric import QUALITY
from foedus.core.types.model import Model
from foedus.core.types.policy import Policy
from foedus.core.types.roster import Roster
from foedus.core.types.state import State
from foedus.core.types.suspicion import Suspicion, Suspicions
from foedus.core.types.update import Failed, Tensors, finite

if TYPE_CHECKING:  # a driver drives a session's calls
    from foedus.core.coordination.drivers import Driver

log = logging.getLogger("foedus")

EVALUATE_AT = ("program", "nodes")
"""Where a run's quality may be measured, see ``Options``."""


@dataclass
class Options:
    """How a run is recorded and when it stops. ``program`` is the program's class, which a resumed run must share.

    ``evaluate_at``     ``"program"``: as the program commits. ``"nodes"``: the run's quality is that of all nodes, each
                        with the model that it has, on the rows that it evaluates on.
    ``stop``            rules that end the run, as they were given; ``settled``: as they look at this run's metrics.
    ``evaluate_nodes``  evaluate at the nodes each so many commits, 0 for never; ``node_evaluation`` is the job for it.
    ``beside``          a job that measures something else of the model that is evaluated, on the same rows: its metrics
                        stand beside the quality, and nothing is judged by them.
    """

    program: str = ""
    evaluate_every: int = 1
    evaluate_at: str = "program"
    evaluate_nodes: int = 0
    node_evaluation: Job = AT_NODES
    beside: Job | None = None
    checkpoint_every: int = 1
    per_node: bool = False
    stop: Sequence[Any] = ()
    settled: Sequence[Any] = ()
    progress: Callable[[Record], None] | None = None
    folder: RunFolder | None = None
    circumstances: Circumstances = Circumstances()


class Session:
    """The books of one run. Programs see it through ``Federation`` or ``Peer``."""

    def __init__(
        self,
        *,
        model: Model,
        roster: Roster,
        executor: Executor,
        clock: Clock,
        network: Network | None,
        seed: int,
        driver: Callable[[Session], Driver],
        options: Options,
        policy: Policy = Policy(),
        communicates: bool = True,
    ) -> None:
        self.model, self.executor, self.clock = model, executor, clock
        self.roster = roster.at(0)
        """What is known of the nodes. It may be another after a commit, with more of them."""
        executor.size = lambda node: self.roster.size(node)
        self.seed, self.options, self.policy, self.communicates = seed, options, policy, communicates
        self.key = Key(seed)
        self.deliveries = Deliveries(
            clock,
            network,
            seed,
            cache(lambda: model.flops(self.roster.example()[0])),  # counted once, and only where devices matter
            lambda: self.roster.nodes,
            policy.slowdown,
        )
        self.driver = driver(self)
        self._quality = Quality(self)
        self.ledger = Ledger(per_node=options.per_node, communicates=communicates)
        self.history: list[Record] = []
        self.round = 0
        self.planned: int | None = None
        self.stopped = False
        self.state: State | None = None
        self.counts: dict[int, int] = {}
        self.node_states: dict[int, dict[str, Any]] = {}
        self.reducers: dict[str, dict[str, Any]] = {}
        self.draws: dict[str, int] = {}
        self.in_flight: Callable[[], list[Any]] = list
        self.resumed_in_flight: list[Any] = []
        self.resumed_links: dict[str, Any] = {}
        self.carried = Carried()
        self.used = 0
        """Answers used since the last commit."""
        self.best: Record | None = None
        self.best_w: Tensor | None = None
        self.judging = Judging()
        self._losses: list[tuple[float, float]] = []
        self._staleness: list[int] = []
        self._suspicions: dict[int, list[Suspicion]] = {}
        self._stops: list[tuple[bool, Any]] = [(False, rule.init()) for rule in options.stop]
        self._wall_started = time.perf_counter()
        self._wall_before = 0.0
        self._outside = 0.0
        self._elsewhere_s: float | None = None
        """What the next commit's seconds are, where the run is elsewhere and this process makes its commits later."""
        self._last = self._as_commit()

    async def until(self, when: float, priority: int) -> None:
        """Wait until a time; those who wait for the same go on by priority."""
        due = asyncio.get_running_loop().create_future()
        self.clock.schedule(when, priority, lambda: settle(due))
        await due

    # -- counters and node states ------------------------------------------------------------------------------

    def next_count(self, node: int) -> int:
        """How many jobs the node has had: names the randomness of the next."""
        count = self.counts.get(node, 0)
        self._last.counts_before.setdefault(node, count)
        self.counts[node] = count + 1
        return count

    def next_draw(self, purpose: str) -> Key:
        """The key of the next draw for a purpose of the coordinator's."""
        n = self.draws.get(purpose, 0)
        self.draws[purpose] = n + 1
        return self.key.child(purpose, n)

    def node_state(self, node: int) -> dict[str, Any]:
        """What the node remembers, by owner: its job, and each transform by its place. What stands there may be no
        tensors, but something of the executor's that stands for them: see ``Executor.fetch``.
        """
        return self.node_states.get(node, {})

    def accept_node_state(self, node: int, state: dict[str, Any]) -> None:
        """The node's answer was accepted: its new state takes effect."""
        before = self.node_states.get(node)
        if not state and before is None:
            return
        self._last.states_before.setdefault(node, before)
        self.node_states[node] = {**(before or {}), **state}

    def note(self, answers: int, weight: float, loss: float | None, staleness: int | None = None) -> None:
        """Answers were used, with this mean loss. What the record says of several calls between two commits is their
        number, the mean of their losses by weight, and the mean and the largest of their staleness, if they have any.
        """
        self.used += answers
        if staleness is not None:
            self._staleness.append(staleness)
        if loss is not None and weight > 0:
            self._losses.append((loss, weight))

    def note_left_out(self, failed: Failed) -> None:
        """The run goes on without the answer of a node that failed. Of each node its first failure is told."""
        known = self.carried.left_out or {}
        if failed.node not in known:
            self.carried.left_out = {**known, failed.node: (self.round + 1, failed.reason)}

    def _begin_counting(self) -> None:
        """Nothing has been noted since the last commit."""
        self.used, self._losses, self._staleness, self._suspicions = 0, [], [], {}

    def note_suspects(self, said: Suspicions) -> None:
        """What a rule says of nodes. The record of a commit has the means of all that was said since the last."""
        for node, suspicion in said.items():
            self._suspicions.setdefault(node, []).append(suspicion)

    def note_each(self, each: Sequence[Mapping[str, float | None]] | None) -> None:
        """What each node's own model reached on everybody's rows, where the program says so."""
        if each is not None:
            names = dict.fromkeys(name for q in each for name in q)
            self.carried.node_everybody = {name: [q.get(name) for q in each] for name in names}

    def reducer_state(self, name: str, init: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What an aggregator and the transforms remember from round to round."""
        if name not in self.reducers:
            self.reducers[name] = init()
        return self.reducers[name]

    # -- commits -----------------------------------------------------------------------------------------------

    def commit(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        extra: dict[str, float] | None = None,
        now: float | None = None,
        at_nodes: Tensors | Sequence[Tensors] | None = None,
        each: Sequence[Mapping[str, float]] | None = None,
    ) -> None:
        """Make everything since the last commit durable. See ``Federation.commit``.

        ``now`` is the commit's time if that is not the clock's.
        """
        w: Tensor | None = state.w if "w" in state else None
        self.check_finite(state)
        self.note_each(each)
        t = self.round + 1
        given = at_nodes if at_nodes is not None or w is None else {"w": w}
        # What a program measures by itself, and says nothing of models at nodes, nobody else can measure.
        able = given is not None and (metrics is None or at_nodes is not None)
        whole = isinstance(at_nodes, Mapping) or (self.options.evaluate_at == "nodes" and able)
        tested_on: EvaluatedOn | None = None
        if whole:
            personal = at_nodes is not None or self.options.node_evaluation != Options.node_evaluation
            tested_on = EvaluatedOn(self.roster.nodes_tested_on, "nodes", "own" if personal else "one")
            mine = {*QUALITY, *self.model.metrics}
            metrics = {k: v for k, v in metrics.items() if k not in mine} if metrics else None
        elif metrics is not None:
            tested_on = self._tested_on(metrics, at_nodes)
        self.carried.tested_on = None if tested_on is None else asdict(tested_on)
        quality = {**(metrics or {}), **(extra or {}), **self._measured_staleness()}
        tested = w if metrics is None and not whole else None
        due = self._due(t, self.options.evaluate_every)
        due_nodes = self._due(t, self.options.evaluate_nodes) or (due and whole)
        # What the run is judged by, and where nodes measured what they hold out, what that is on all these rows.
        judged = Found.of(metrics) if metrics and not whole else None
        held: Found | None = None

        def measure(shared: bool, nodes: bool) -> None:
            nonlocal judged, held
            if tested is not None and shared:
                judged = self.evaluate(tested)
                quality.update(judged)
                quality.update(self._beside(tested))
            if given is not None and nodes:
                held, over = self._at_nodes(given)
                quality.update(over)
                if whole:
                    judged = held
                    quality.update(held)

        measure(due, due_nodes)
        if due and self.carried.usual is None:
            with self.off_the_clock():
                self.carried.usual = self._quality.usual(whole) or {}
        self.ledger.virtual_s = self.driver.virtual_s(self.clock.now if now is None else now)
        here_s = time.perf_counter() - self._wall_started - self._outside
        self.ledger.wall_s = self._wall_before + (here_s if self._elsewhere_s is None else self._elsewhere_s)
        self._elsewhere_s = None
        record = self._record(t, quality)
        stops = self._ask_to_stop(record)
        if any(stop for stop, _ in stops):  # the last commit is always evaluated
            measure(not due, not due_nodes and (self.options.evaluate_nodes > 0 or whole))
            record = self._record(t, quality)
        judging = self.judging
        if judged is not None:
            judging = judging.after(t, judged, self._to_choose(judged, tested, given, held), self.model.measures)
        if w is not None and judging.best == t:
            self.best, self.best_w = record, w.clone()
        self.round, self.state, self._stops, self.judging = t, state, stops, judging
        self.history.append(record)
        self.stopped = any(stop for stop, _ in stops)
        if not self.stopped and t != self.planned:  # who comes with the last commit is never asked
            self.roster = self.roster.at(t)
        else:
            with self.off_the_clock():
                self.carried.node_deviations = self._quality.node_deviations()
        self._last = self._as_commit()
        self._begin_counting()
        folder = self.options.folder
        if folder is not None:
            durable = self.stopped or t == self.planned or t % self.options.checkpoint_every == 0
            with self.off_the_clock():
                folder.commit(record, self.ledger.total.as_dict(), self._to_write if durable else None)
        if self.options.progress is not None:
            self.options.progress(record)

    def _to_choose(
        self,
        judged: Found,
        tested: Tensor | None,
        given: Tensors | Sequence[Tensors] | None,
        held: Found | None,
    ) -> Found | None:
        """How good the model is on rows that nodes hold out, where the run is judged on test rows; else None."""
        roster = self.roster
        if judged is held or roster.tested_on != "test" or not judged.halves:
            return None
        if tested is not None:
            if not roster.held_rows:
                return None
            with self.off_the_clock():
                return self._quality.on_held_out(tested)
        if held is None and given is not None and roster.nodes_tested_on == "held out":
            with self.off_the_clock():
                held, _, _ = self._quality.at_nodes(given)
        return held if roster.nodes_tested_on == "held out" else None

    def check_finite(self, state: State) -> None:
        """Errors: ``Diverged`` if the model to be committed is NaN or infinite."""
        if "w" in state and not finite({"w": state.w}):
            raise Diverged(
                f"the model became NaN or infinite in round {self.round + 1}, although every node's update was "
                f"finite; {kept(self)}. Lower the server's learning rate"
            )

    def outcome(self, commit: str) -> Tensor:
        """The model of the last commit. Errors: ``ProgramError``, that names the call, if there was none."""
        if self.state is None:
            raise ProgramError(f"the program ended without {commit}(state): nothing of it would be kept")
        return self.state.w  # type: ignore[no-any-return]

    def books(self) -> dict[str, Any]:
        """The last commit, as a session elsewhere takes it over by ``follow``."""
        c = self._last
        counts = [list(self.counts), list(self.counts.values())]
        carried = c.carried.as_tree()
        return {"state": c.state, "counts": counts, "draws": c.draws, "reducers": c.reducers, "extra": carried}

    def follow(self, books: dict[str, Any], seconds: float) -> None:
        """Before a commit: take over the books of a session elsewhere that has run the program for so many seconds."""
        for node, count in zip(*books["counts"], strict=True):
            self._last.counts_before.setdefault(node, self.counts.get(node, 0))
            self.counts[node] = count
        self.draws, self.reducers, self.carried = books["draws"], books["reducers"], Carried.from_tree(books["extra"])
        self.has_run(seconds)

    def has_run(self, seconds: float) -> None:
        """The run has now taken so many seconds of the wall clock, wherever it ran; all other time was not its own."""
        self._outside = time.perf_counter() - self._wall_started - seconds
        self._elsewhere_s = seconds

    @contextlib.contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """What is done meanwhile (evaluating, writing) is not counted as the run's time."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._outside += time.perf_counter() - started

    def keep(self) -> None:
        """From now on the run goes back to what is the case now: a session elsewhere makes the commits."""
        self._last = self._as_commit()
        self._begin_counting()

    def complete(self, state: State) -> None:
        """The state of the last commit, which had only numbers so far."""
        self.state = self._last.state = state

    def _measured_staleness(self) -> dict[str, float]:
        """Mean and largest since the last commit. How often each was met in the run is in ``carried.staleness``."""
        new = self._staleness
        if not new:
            return {}
        counts = Counter(self.carried.staleness or {})
        counts.update(new)
        self.carried.staleness = dict(sorted(counts.items()))
        return {"staleness_mean": sum(new) / len(new), "staleness_max": float(max(new))}

    def _due(self, t: int, every: int) -> bool:
        return every > 0 and (t % every == 0 or t == self.planned)

    def _ask_to_stop(self, record: Record) -> list[tuple[bool, Any]]:
        rules = self.options.settled or self.options.stop
        return [rule.after(record, memory) for rule, (_, memory) in zip(rules, self._stops, strict=True)]

    def _record(self, round: int, quality: dict[str, float]) -> Record:
        named = {k: quality[k] for k in QUALITY if k in quality}
        others = {k: v for k, v in quality.items() if k not in named}
        t = self.ledger.total
        weight = sum(w for _, w in self._losses)
        rows = max(1, self.roster.rows_owned)
        return Record(
            round=round,
            **named,
            train_loss=sum(x * w for x, w in self._losses) / weight if weight else None,
            cohort=self.used,
            epochs=t.samples / rows,
            bytes_up=t.bytes_up,
            bytes_down=t.bytes_down,
            messages=self.ledger.messages,
            compute_s=t.compute_s,
            wire_s=t.wire_s,
            waiting_s=t.waiting_s,
            virtual_s=self.ledger.virtual_s,
            wall_s=self.ledger.wall_s,
            median_s=self.ledger.median_s,
            serial_s=t.serial_s,
            late=t.late,
            refused=t.refused,
            failed=t.failed,
            lost=t.lost,
            metrics=others,
            suspects={
                node: (sum(x.left_out for x in said) / len(said), sum(x.distance for x in said) / len(said))
                for node, said in sorted(self._suspicions.items())
            },
            main=next((k for k in (*self.model.metrics, *QUALITY) if k in quality), None),
        )

    @property
    def tested_on(self) -> EvaluatedOn:
        """What the program's quality was measured on."""
        known = self.carried.tested_on
        return self._tested_on(None) if known is None else EvaluatedOn(**known)

    def _tested_on(self, metrics: Mapping[str, float] | None, models: Any = None) -> EvaluatedOn:
        """On what a commit is evaluated that is not evaluated at the nodes."""
        own = "one" if metrics is None else "program" if models is None else "each"
        return EvaluatedOn(self.roster.tested_on, "coordinator" if self.roster.test_rows else "nodes", own)

    def evaluate(self, w_D: Tensor) -> Found:
        """Loss and metrics on the test set, computed in chunks by the executor, outside the run's clock.

        Without a test set that the coordinator has, they are means over all rows that nodes evaluate on.
        """
        with self.off_the_clock():
            return self._quality.of(w_D)

    def _beside(self, w_D: Tensor) -> dict[str, float]:
        job = self.options.beside
        if job is None:
            return {}
        with self.off_the_clock():
            return self._quality.beside(job, w_D)

    def _at_nodes(self, given: Tensors | Sequence[Tensors]) -> tuple[Found, dict[str, float]]:
        with self.off_the_clock():
            found, over, self.carried.node_metrics = self._quality.at_nodes(given)
            q = self._quality
            self.carried.node_rows, self.carried.node_rarest = q.rows, q.rarest
        return found, over

    # -- going back, and checkpoints ---------------------------------------------------------------------------

    def _as_commit(self) -> Commit:
        return Commit(
            round=self.round,
            state=self.state,
            records=len(self.history),
            best=self.best,
            best_w=self.best_w,
            judging=self.judging,
            stops=self._stops,
            ledger=self.ledger.as_tree(),
            reducers=dict(self.reducers),
            draws=dict(self.draws),
            carried=replace(self.carried),
            roster=self.roster,
            now=self.clock.now,
            down=self.deliveries.down.snapshot(),
            up=self.deliveries.up.snapshot(),
            in_flight=self.in_flight(),
        )

    def roll_back(self) -> None:
        """Undo what happened since the last commit."""
        c = self._last
        for node, count in c.counts_before.items():
            if count:
                self.counts[node] = count
            else:
                self.counts.pop(node, None)
        for node, state in c.states_before.items():
            if state is None:
                self.node_states.pop(node, None)
            else:
                self.node_states[node] = state
        c.counts_before, c.states_before = {}, {}
        self.round, self.state, self._stops = c.round, c.state, c.stops
        self.best, self.best_w, self.judging = c.best, c.best_w, c.judging
        del self.history[c.records :]
        self.ledger.restore(c.ledger)
        self.reducers, self.draws, self.carried = dict(c.reducers), dict(c.draws), replace(c.carried)
        self.roster = c.roster
        self._begin_counting()
        folder = self.options.folder
        if folder is not None and self.history:  # it may have been interrupted before the folder had its last commit
            folder.commit(self.history[-1], self.ledger.total.as_dict(), self._to_write)

    def checkpoint(self, memory: Memory | None = None) -> Checkpoint:
        """The last commit. Call it right after a commit or after ``roll_back``.

        Whole, or to be written to where ``memory`` is: then with what that wants of the nodes' states.
        """
        c = self._last
        states = self.node_states if memory is None else memory.wanted(self.node_states, self.executor.gone)
        home = bring_home(self.executor, states, c.in_flight)
        tree: dict[str, Any] = {
            "round": c.round,
            "state": c.state,
            "counts": [list(self.counts), list(self.counts.values())],
            "node_states": home.states,
            "reducers": c.reducers,
            "draws": c.draws,
            "now": c.now,
            "down": c.down,
            "up": c.up,
            "in_flight": home.in_flight,
            "extra": c.carried.as_tree(),
            "ledger": c.ledger,
            "stops": [[repr(r), *s] for r, s in zip(self.options.stop, c.stops, strict=True)],
            "best": None if c.best is None else asdict(c.best),
            "best_w": c.best_w,
            "judging": self._judging_to_write(memory),
            "records": c.records,
        }
        if home.lost:
            tree["lost_memory"] = home.lost
        return Checkpoint(tree, list(self.history), self.identity, self.options.circumstances)

    def _judging_to_write(self, memory: Memory | None) -> dict[str, Any]:
        judging = self._last.judging
        if memory is not None:  # it goes to a file
            judging = judging.measured_out(self.model.measures, self.stopped or self._last.round == self.planned)
            chosen = replace(self._last.judging, chosen=judging.chosen)  # measured out once
            self.judging = self._last.judging = chosen
        return judging.as_tree()

    def _to_write(self, memory: Memory) -> Checkpoint | None:
        """The last commit for the run's folder; None if that shall keep an earlier one, for this is not whole."""
        made = self.checkpoint(memory)
        if made.lost_memory and not self.executor.goes_on:
            nodes = ", ".join(map(str, made.lost_memory))
            log.warning(
                "commit %d is not written: what node %s remembers is lost with its process; an earlier commit is kept",
                self.round,
                nodes,
            )
            return None
        return made

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a resumed run to mean anything."""
        shapes = repr([(s.name, s.shape) for s in self.model.layout.slots])
        return {
            "program": self.options.program,
            "seed": self.seed,
            "parameters": self.model.layout.parameters,
            "model's layout": hashlib.blake2b(shapes.encode(), digest_size=8).hexdigest(),
            **self.roster.identity,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over from a checkpoint. Errors: ``BadInput`` if it is of another run."""
        for name, mine in self.identity.items():
            theirs = checkpoint.identity.get(name)
            if theirs != mine:
                raise BadInput(f"the checkpoint is of another run: its {name} is {theirs}, this run's is {mine}")
        begin_without(checkpoint.lost_memory, self.executor.goes_on)
        tree = checkpoint.tree
        self.round, self.state = tree["round"], tree["state"]
        self.roster = self.roster.at(self.round)
        self.counts = dict(zip(*tree["counts"], strict=True))
        self.node_states = dict(tree["node_states"])
        self.reducers, self.draws = dict(tree["reducers"]), dict(tree["draws"])
        self.carried = Carried.from_tree(tree["extra"])
        self.resumed_in_flight = tree["in_flight"]
        self.resumed_links = {"down": tree["down"], "up": tree["up"]}
        self.clock.restart(tree["now"])
        self.ledger.restore(tree["ledger"])
        known = {name: (stop, memory) for name, stop, memory in tree["stops"]}
        self._stops = [known.get(repr(r), s) for r, s in zip(self.options.stop, self._stops, strict=True)]
        self.stopped = any(stop for stop, _ in self._stops)
        self.best = None if tree["best"] is None else Record(**tree["best"])
        self.best_w = tree["best_w"]
        self.judging = Judging.from_tree(tree.get("judging"))
        self.history = list(checkpoint.history[: tree["records"]])
        self._wall_before = self.ledger.wall_s
        self._last = replace(
            self._as_commit(),
            now=tree["now"],
            down=tree["down"],
            up=tree["up"],
            in_flight=tree["in_flight"],
        )
