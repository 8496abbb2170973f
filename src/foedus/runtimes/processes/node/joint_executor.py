"""The executor of one of many nodes that all run the program: its own job, and then everybody's answers together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor

from foedus.core.coordination.executor import Blocks, Executor, Outcome, Plan, Result, Task, answer_shapes
from foedus.core.coordination.site import Site
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Work
from foedus.core.types.roster import Prepare
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Lost, Tensors
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import Collective
from foedus.runtimes.processes.collectives.forest import Forest, grow, plant, root
from foedus.runtimes.results import pack, unpack

Rest = Callable[[int, int, Work, float], float]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Joined(Executor):
    """One node's executor of many: it runs its own task, and joins the answer with those of the others.

    What comes back of a call is the same at every node, but for node states: each keeps its own. Where answers add up,
    any exchange will do; other rules, and answers that are wanted one by one, need a tree. Its driver is ``Joint``.
    """

    collective: Collective
    """Of those that take part now."""

    def __init__(self, node: int, site: Site, exchange: str, meter: Meter, rest: Rest) -> None:
        self.node, self.exchange = node, exchange
        self.gone: Mapping[int, str] = {}
        self.members: list[int] = []
        """Ids of the nodes that take part, ascending: their places are the collective's ranks."""
        self.jobs_s = 0.0
        """Seconds of this node's own jobs, of the meter's ``compute_s``."""
        self.last_state: dict[str, Any] = {}
        """What this node remembers after its last job, whether the call has ended or not."""
        self.remembers = False
        """Whether any node has remembered something after a job."""
        self._site, self._meter, self._rest = site, meter, rest

    @property
    def goes_on(self) -> bool:
        """Who is lost was left out before a call began."""
        return True

    def place(self, args: Tensors) -> Tensors:
        """They are at their place already."""
        return args

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> Any:
        """Remember a call."""
        return plan, placed, [task for block in blocks for task in block], blocks

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """The call is made when it is waited for."""
        done()

    def prepare(self, how: Prepare) -> None:
        """The site is here."""
        self._site.prepare(how)

    def close(self) -> None:
        """Nothing to do."""

    def wait(self, ticket: Any) -> Result:
        """Make the call. Errors: ``Broken`` if another node is gone."""
        plan, args, tasks, blocks = ticket
        if any(task.node < 0 for task in tasks):  # what concerns no node, everybody computes
            return self._site.run(plan, args, blocks)
        mine = next((task for task in tasks if task.node == self.node), None)
        result = Result(None, []) if mine is None else self._run(plan, args, mine)
        state = result.outcomes[0].state if result.outcomes else {}
        acc, notes = self._together(plan, result, [task.node for task in tasks])
        by_node = {o.node: o for note in notes for o in note}
        if mine is not None:
            by_node[self.node].state = self.last_state = state
        for node, how in self.gone.items():
            by_node[node] = Outcome(node, missing=Lost(node, f"its process {how}", for_good=True))
        if plan.aggregator is None:
            acc = None
        return Result(acc, [by_node[task.node] for task in tasks])

    def _run(self, plan: Plan, args: Tensors, task: Task) -> Result:
        result = self._site.run(plan, args, [[task]])
        [outcome] = result.outcomes
        rest = self._rest(task.node, task.count, plan.job.work(self._site.data.size(task.node)), outcome.seconds)
        if rest > 0:
            time.sleep(rest)
            outcome.seconds += rest
        self.jobs_s += outcome.seconds
        self._meter.compute_s += outcome.seconds
        return result

    def _together(self, plan: Plan, mine: Result, nodes: list[int]) -> tuple[Any, list[list[Outcome]]]:
        """Everybody's accumulator, and everybody's outcomes."""
        outcomes, tensors = pack(mine)
        plain = [outcomes, bool(tensors["states"])]
        rule = plan.aggregator
        if rule is None:
            if self.exchange != "tree":
                raise BadInput(
                    f"the program wants answers one by one, and {self.exchange!r} only adds them up: use "
                    "the exchange 'tree' or 'server'"
                )
            answers = [[plain, tensors["updates"]]] if outcomes else None
            every, _ = self.collective.all_merge(answers, b"", lambda a, b: a + b)
            empty: dict[str, Any] = {"acc": None, "states": {}, "sums": {}}
            return None, [unpack(self._heard(p), {**empty, "updates": updates}).outcomes for p, updates in every or []]
        note = _encode(plain)
        if self.exchange == "tree":
            acc, notes = self._merge(rule, tensors["acc"], note, nodes)
        else:
            acc, notes = self._add(plan, rule, tensors["acc"], plain)
        none: dict[str, Any] = {"acc": None, "states": {}, "updates": {}, "sums": {}}
        return acc, [unpack(self._heard(_decode(n)), none).outcomes for n in notes]

    def _heard(self, plain: Any) -> Any:
        """Outcomes as a node told of them."""
        outcomes, remembers = plain
        self.remembers = self.remembers or remembers
        return outcomes

    def _merge(self, rule: Aggregator, acc: Any, note: bytes, nodes: list[int]) -> tuple[Any, list[bytes]]:
        """Everybody's accumulators, merged in the canonical order of the cohort."""
        own = {nodes.index(self.node): acc} if self.node in nodes else {}
        if self.node == self.members[0]:  # for those that are lost
            own |= {p: None for p, node in enumerate(nodes) if node in self.gone}

        def grown(a: Forest, b: Forest) -> Forest:
            return grow(a, b, len(nodes), rule.merge)

        forest, notes = self.collective.all_merge(grown({}, plant(own)), note, grown)
        return root(forest), notes

    def _dtypes(self, shapes: Shapes, parts: Mapping[str, Tensor] | None) -> dict[str, torch.dtype]:
        """Of which kind the numbers of a sum are. Floats stay what they are; what a rule makes of integers (it may
        weigh them) is known where there is an answer, and told to the others.
        """
        dtypes = {name: dtype for name, (_, dtype) in shapes.items()}
        if all(dtype.is_floating_point for dtype in dtypes.values()):
            return dtypes
        own = {} if parts is None else {name: str(part.dtype).removeprefix("torch.") for name, part in parts.items()}
        for told in map(_decode, self.collective.all_reduce(torch.zeros(0), _encode(own))):
            dtypes |= {name: getattr(torch, dtype) for name, dtype in told.items()}
        return dtypes

    def _add(self, plan: Plan, rule: Aggregator, acc: Any, plain: Any) -> tuple[Any, list[bytes]]:
        """The sum of accumulators whose merge is addition: tensors by the collective, numbers by the rule itself."""
        if not getattr(rule, "additive", False):
            raise BadInput(
                f'{rule!r} does more than add answers up, and {self.exchange!r} only adds: use exchange="tree" or '
                'exchange="server"'
            )
        shapes = answer_shapes(plan.job, self._site.model)
        parts: Mapping[str, Tensor] | None = None if acc is None else acc["sum"]
        names = sorted(shapes)
        dtypes = self._dtypes(shapes, parts)
        if parts is None:  # not asked, or failed: it adds nothing
            parts = {k: torch.zeros(shapes[k][0], dtype=dtypes[k]) for k in names}
        own = {k: v for k, v in acc.items() if k != "sum"} if acc is not None else None
        note = _encode([plain, own])
        # Of one kind of number a sum is one vector; a job seldom has more.
        kinds = sorted({str(parts[k].dtype) for k in names})
        notes: list[bytes] = []
        summed: dict[str, Tensor] = {}
        for i, kind in enumerate(kinds):
            these = [parts[k].reshape(-1) for k in names if str(parts[k].dtype) == kind]
            started = time.perf_counter()
            vector = these[0].contiguous() if len(these) == 1 else torch.cat(these)
            self._meter.serial_s += time.perf_counter() - started
            got = self.collective.all_reduce(vector, note if i == 0 else b"")
            notes = got if i == 0 else notes
            at = 0
            for k in names:
                if str(parts[k].dtype) == kind:
                    n = parts[k].numel()
                    summed[k] = vector[at : at + n].view(shapes[k][0])
                    at += n
        both = [_decode(n) for n in notes]
        total: Any = None
        for _, numbers in both:
            if numbers is not None:
                # Without their tensors accumulators are numbers, which the rule itself knows how to merge.
                bare = {"sum": {}, **numbers}
                total = bare if total is None else rule.merge(total, bare)
        if total is not None:
            total["sum"] = summed
        return total, [_encode(plain) for plain, _ in both]
