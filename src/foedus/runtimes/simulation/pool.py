"""The executor of several workers: subprocesses that share memory with this one.

Groups of blocks go to workers in the order they were submitted, at most two to a worker, so that none waits.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from foedus.core.coordination.executor import Blocks, Executor, Plan, Result
from foedus.core.coordination.site import Setup
from foedus.core.errors import WorkerError
from foedus.core.types.data import called
from foedus.core.types.roster import Prepare
from foedus.core.types.update import Tensors
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import Child, Payload, pickled, pickled_rows
from foedus.runtimes.plans import Plans
from foedus.runtimes.results import unpack
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.shared_channel import Placed

QUEUE = 2
"""Groups at one worker: one it runs, one that waits."""

AHEAD = 6
"""Groups in flight for each worker. Results are taken in order: with few, a slow first one keeps the others waiting."""

UNUSED, IDLE = -1_000_000, -1_000_001
"""In the status array, instead of a node: this worker has not begun any job yet, or waits for the next."""


class _Ticket:
    __slots__ = ("blocks", "cancelled", "done", "id", "placed", "plan", "result")

    def __init__(self, id: int, plan: Plan, placed: Placed, blocks: Blocks) -> None:
        self.id, self.plan, self.placed, self.blocks = id, plan, placed, blocks
        self.result: Result | None = None
        self.cancelled = False
        self.done: Callable[[], None] | None = None


class _Worker:
    def __init__(self, index: int, child: Child) -> None:
        self.index, self.child, self.channel = index, child, child.channel
        self.busy: dict[int, _Ticket] = {}


class Pool(Executor):
    """Runs groups of blocks in worker processes."""

    def __init__(self, workers: int, setup: Setup, real_time: bool = False) -> None:
        self.workers = workers
        self.ahead = AHEAD * workers
        self._segments = SegmentPool()
        self._processes: list[_Worker] = []
        self._queue: deque[_Ticket] = deque()
        self._tickets = 0
        self._by_fd: dict[int, _Worker] = {}
        self._poll = select.poll()
        self._plans = Plans(workers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._broken: WorkerError | None = None
        try:
            self._start(workers, setup, real_time)
        except BaseException:
            self.close()
            raise

    def _start(self, workers: int, setup: Setup, real_time: bool) -> None:
        policy = pickled(setup.policy, lambda e: f"{setup.policy!r} cannot be sent to worker processes: {e}")
        status = {"node": torch.full((workers,), UNUSED, dtype=torch.int64)}
        self._payload = Payload(self._segments, setup.model, setup.data, status, "use one worker")
        for index in range(workers):
            worker = _Worker(index, Child("foedus.runtimes.simulation.worker", self._segments))
            self._processes.append(worker)
            self._by_fd[worker.channel.fileno()] = worker
            self._poll.register(worker.channel.fileno(), select.POLLIN)
            own = {"seed": setup.seed, "policy": policy, "real_time": real_time, "worker": index, "idle": IDLE}
            self._payload.send(worker.channel, own)
        for worker in self._processes:
            self._receive(worker)

    # -- the executor ------------------------------------------------------------------------------------------

    def place(self, args: Tensors) -> Placed:
        """Write arguments once, where every worker can read them."""
        return Placed(self._segments, dict(args))

    def release(self, placed: Any) -> None:
        """The caller is done with them."""
        placed.release()

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> _Ticket:
        """Queue a group of blocks."""
        placed.retain()
        ticket = _Ticket(self._tickets, plan, placed, blocks)
        self._tickets += 1
        self._queue.append(ticket)
        self._dispatch()
        return ticket

    def wait(self, ticket: Any) -> Result:
        """Take messages until this group is done. Errors: ``WorkerError`` if a worker died."""
        while ticket.result is None:
            if self._broken is not None:
                raise self._broken
            for fd, _ in self._poll.poll():
                self._receive(self._by_fd[fd])
            self._dispatch()
        return ticket.result  # type: ignore[no-any-return]

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Have the loop take messages too, from now on."""
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            for worker in self._processes:
                self._loop.add_reader(worker.channel, self._readable, worker)
        if ticket.result is not None or self._broken is not None:
            self._loop.call_soon(done)
        else:
            ticket.done = done

    def _readable(self, worker: _Worker) -> None:
        try:
            for message, tensors, _ in worker.channel.poll():  # what ``wait`` has not taken meanwhile
                self._take(worker, message, tensors)
            self._dispatch()
        except Closed:
            self._break(self._died(worker))
        except WorkerError as e:  # raised where it is waited for
            self._break(e)

    def _break(self, error: WorkerError) -> None:
        self._broken = error
        waiting = [t for w in self._processes for t in w.busy.values()] + list(self._queue)
        if self._loop is not None:
            for worker in self._processes:
                self._loop.remove_reader(worker.channel)
        for ticket in waiting:
            if ticket.done is not None:
                ticket.done()

    def cancel(self, ticket: Any) -> None:
        """If a worker has it, its result is thrown away; else it never runs."""
        ticket.cancelled, ticket.done = True, None
        if ticket in self._queue:
            self._queue.remove(ticket)
            ticket.placed.release()

    def prepare(self, how: Prepare) -> None:
        """Tell every worker: a channel keeps the order of its messages."""
        told = {"prepare": pickled_rows(how)}
        for worker in self._processes:
            try:
                worker.channel.send(told)
            except Closed:
                raise self._died(worker) from None

    def close(self) -> None:
        """End the workers and give up the shared memory."""
        for worker in self._processes:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(worker.channel)
            worker.channel.close()
            worker.child.kill()
        for worker in self._processes:
            worker.child.reap()
        self._processes.clear()
        self._queue.clear()
        self._segments.close()

    # -- how it goes -------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self._queue:
            worker = min(self._processes, key=lambda w: len(w.busy))
            # The last groups wait for whoever is free first; before, a worker has its next group at hand.
            if len(worker.busy) >= (QUEUE if len(self._queue) > len(self._processes) else 1):
                return
            ticket = self._queue.popleft()
            worker.busy[ticket.id] = ticket
            plan_id = self._plans.id(ticket.plan)
            try:
                new = self._plans.new_to(worker.index, plan_id)
                if new is not None:
                    worker.channel.send({"id": plan_id, "plan": new})
                blocks = [[(t.node, t.count) for t in tasks] for tasks in ticket.blocks]
                states = {t.node: t.state for tasks in ticket.blocks for t in tasks if t.state}
                own = {t.node: t.own for tasks in ticket.blocks for t in tasks if t.own}
                message = {"ticket": ticket.id, "id": plan_id, "blocks": blocks}
                worker.channel.send(message, (states, own) if states or own else None, ticket.placed)
            except Closed:
                raise self._died(worker) from None

    def _receive(self, worker: _Worker) -> None:
        try:
            message, tensors, _ = worker.channel.receive()
        except Closed:
            raise self._died(worker) from None
        self._take(worker, message, tensors)

    def _take(self, worker: _Worker, message: dict[str, Any], tensors: Any) -> None:
        if "ready" in message:
            return
        if "cannot" in message:
            raise self._payload.refused(message)
        ticket = worker.busy.pop(message["ticket"])
        ticket.placed.release()
        if not ticket.cancelled:
            ticket.result = unpack(message["outcomes"], tensors)
            if ticket.done is not None:
                ticket.done()

    def _died(self, worker: _Worker) -> WorkerError:
        how, node = worker.child.how_it_ended(), int(self._payload.page["node"][worker.index])
        idle = {UNUSED: "before its first job", IDLE: "between two jobs"}
        when = idle.get(node) or f"while it computed {'' if node >= 0 else 'on '}{called(node)}"
        return WorkerError(f"worker process {worker.index} (pid {worker.child.pid}) {how} {when}")
