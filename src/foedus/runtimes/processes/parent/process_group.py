"""The node processes of a run: started, pinned, watched, and ended so that nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from typing import Any

from foedus.core.errors import WorkerError
from foedus.core.types.model import Model
from foedus.core.types.roster import NodeData
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import Child, Payload
from foedus.runtimes.processes.wire.heartbeat import Heartbeat, new_board
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.shared_channel import SharedChannel

POLL = 0.05
"""Seconds between two looks at a process where the system does not tell of its end by itself."""

Setup = dict[str, Any] | Callable[[int], dict[str, Any]]
Lost = Callable[[int, str], None]


class NodeLost(WorkerError):
    """The process of node ``node`` ended or was ended; ``reason`` says how: ``was killed by SIGKILL``."""

    def __init__(self, node: int, pid: int, reason: str) -> None:
        super().__init__(f"the process of node {node} (pid {pid}) {reason}")
        self.node, self.reason = node, reason


class ProcessGroup:
    """One process a node, each running ``python -m module FD`` (see ``node/context.py``), and the channels to them.

    ``setup`` are plain values for all, or made from a node; ``node`` and ``nodes`` are among what they get.
    ``patience`` are the seconds without a sign of life after which a process counts as hung. With ``pin`` each is bound
    to a core, round robin, unless there are more processes than cores: then the system divides the time, and
    ``oversubscribed`` is true. It dies with the thread that made it. ``instead`` ends the error of a model that cannot
    be sent. Errors: ``BadInput`` if the model or the data cannot go to other processes, ``NodeLost`` if one of them
    does not start, ``WorkerError`` if the system allows no more.
    """

    def __init__(
        self,
        nodes: int,
        module: str,
        setup: Setup,
        model: Model,
        data: NodeData,
        *,
        patience: float = 30.0,
        pin: bool = True,
        instead: str = "use the runtime Simulation",
    ) -> None:
        self.nodes, self.patience = nodes, patience
        self.segments = SegmentPool()
        self.alive: set[int] = set()
        self._children: list[Child] = []
        self._pidfds: dict[int, int] = {}
        self._watch: tuple[asyncio.AbstractEventLoop, Lost] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat = Heartbeat(new_board(nodes))
        self.stray: Callable[[int, dict[str, Any], Any], None] = lambda *_: None
        """Who is given the messages that come while an answer is waited for beside the program (see ``aside``)."""
        available = cores()
        self.oversubscribed = nodes > len(available)
        self.cores = [
            available[node % len(available)] if pin and not self.oversubscribed else None for node in range(nodes)
        ]
        try:
            self._start(module, setup, model, data, instead)
        except BaseException:
            self.close()
            raise

    def _start(self, module: str, setup: Setup, model: Model, data: NodeData, instead: str) -> None:
        payload = Payload(self.segments, model, data, new_board(self.nodes), instead)
        self._heartbeat = Heartbeat(payload.page)
        for node, core in enumerate(self.cores):
            try:
                child = Child(module, self.segments, self.patience)
            except OSError as e:  # too many files, processes, or too little memory
                raise WorkerError(
                    f"only {node} of {self.nodes} node processes could be started ({e.strerror}): use fewer nodes, "
                    f"raise the system's limits (ulimit -n, ulimit -u), or {instead}"
                ) from e
            self._children.append(child)
            self.alive.add(node)
            if core is not None:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(child.pid, {core})
            own = setup(node) if callable(setup) else setup
            try:
                payload.send(child.channel, {**own, "node": node, "nodes": self.nodes})
            except Closed:
                raise self._lost(node) from None
        self._await_ready(payload)

    def _await_ready(self, payload: Payload) -> None:
        waiting = {channel.fileno(): node for node, channel in enumerate(self.channels)}
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        # To load torch takes seconds; on a slow disk, or for many processes on few cores, much longer.
        to_begin = max(60.0, self.patience, 5.0 * self.nodes)
        while waiting:
            events = poll.poll(1000 * self.interval)
            for fd, _ in events:
                node = waiting.pop(fd)
                poll.unregister(fd)
                try:
                    message, _, _ = self.channels[node].receive()
                except Closed:
                    raise self._lost(node) from None
                if "cannot" in message:
                    raise payload.refused(message)
            if not events:
                self._heartbeat.look(self.interval)
                for node in waiting.values():
                    patience = self.patience if self._heartbeat.begun(node) else to_begin
                    if self._heartbeat.silent[node] >= patience:
                        raise self._hung(node, patience)

    # -- who they are ------------------------------------------------------------------------------------------

    @property
    def channels(self) -> list[SharedChannel]:
        """The channel to each, by node. One to a lost process stays open until ``close``."""
        return [child.channel for child in self._children]

    @property
    def pids(self) -> list[int]:
        """Process numbers, by node."""
        return [child.pid for child in self._children]

    # -- until they end ----------------------------------------------------------------------------------------

    def watch(self, loop: asyncio.AbstractEventLoop, lost: Lost) -> None:
        """From now on call ``lost(node, reason)``, once a node, as soon as a process ends or counts as hung.

        A hung one is killed first. ``reason`` ends a sentence: ``was killed by SIGSEGV``. ``alive`` is up to date.
        """
        self._watch = loop, lost
        for node in sorted(self.alive):
            with contextlib.suppress(AttributeError, OSError):  # not Linux, or forbidden: then by looking
                self._pidfds[node] = os.pidfd_open(self._children[node].pid)
                loop.add_reader(self._pidfds[node], self._ended, node)
        self._look_again()

    def unwatch(self) -> None:
        """No more calls."""
        for node in list(self._pidfds):
            self._forget(node)
        if self._timer is not None:
            self._timer.cancel()
        self._watch = self._timer = None

    @property
    def interval(self) -> float:
        """Seconds between two looks at the heart beats."""
        return min(1.0, self.patience / 4)

    def _look_again(self) -> None:
        if self._watch is not None:
            every = self.interval if set(self._pidfds) >= self.alive else min(POLL, self.interval)
            self._timer = self._watch[0].call_later(every, self._look, every)

    def _look(self, seconds: float) -> None:
        self.look(seconds)
        self._look_again()

    def look(self, seconds: float | None = None) -> None:
        """Look at all processes. To be called every ``interval`` seconds where the loop of ``watch`` does not run."""
        self._heartbeat.look(self.interval if seconds is None else seconds)
        for node in sorted(self.alive - set(self._pidfds)):
            if self._children[node].process.poll() is not None:
                self._ended(node)  # which may end the others too
        for node in sorted(self.alive):
            if node in self.alive and self._heartbeat.silent[node] >= self.patience:
                self._tell(self._hung(node, self.patience))

    def ended(self, node: int) -> str:
        """How a process ended whose channels have: the end of a sentence. ``lost`` is not called for it."""
        return self._lost(node).reason

    def _ended(self, node: int) -> None:
        if node in self.alive:
            self._tell(self._lost(node))

    def _tell(self, error: NodeLost) -> None:
        if self._watch is not None:
            self._watch[1](error.node, error.reason)

    def _hung(self, node: int, patience: float) -> NodeLost:
        self.kill(node)
        reason = f"gave no sign of life for {patience:g} s (stopped, or stuck) and was ended"
        return NodeLost(node, self.pids[node], reason)

    def _lost(self, node: int) -> NodeLost:
        how = self._children[node].how_it_ended()
        self.kill(node)
        return NodeLost(node, self.pids[node], how)

    def kill(self, node: int) -> None:
        """End one process and what it started. ``lost`` is not called for it."""
        self.alive.discard(node)
        self._forget(node)
        self._children[node].reap()

    def _forget(self, node: int) -> None:
        fd = self._pidfds.pop(node, None)
        if fd is not None:
            if self._watch is not None:
                self._watch[0].remove_reader(fd)
            os.close(fd)

    def close(self) -> None:
        """End all processes, and give up channels and shared memory. At any time, and more than once."""
        self.unwatch()
        self.alive.clear()
        for child in self._children:
            child.kill()
        for child in self._children:
            child.reap()
            child.channel.close()
        self.segments.close()
        self._heartbeat = Heartbeat(new_board(self.nodes))  # the shared board goes

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
