"""The runtime in which every node is a process of this machine, and time is the wall clock."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from foedus.core.advice import Option
from foedus.core.coordination.drivers import Wall
from foedus.core.coordination.program import takes_peer
from foedus.core.coordination.runtime import Engine
from foedus.core.coordination.session import Session
from foedus.core.coordination.site import Setup
from foedus.core.errors import BadInput, did_you_mean
from foedus.core.time.clock import RealClock
from foedus.core.types.several import several
from foedus.network import Device
from foedus.runtimes.launch import pickled
from foedus.runtimes.processes.parent import decentralised, joint_program
from foedus.runtimes.processes.parent.aside import tell_roster
from foedus.runtimes.processes.parent.parameter_server import Server
from foedus.runtimes.processes.parent.process_group import ProcessGroup, cores

WIRES = ("shared", "sockets")
EXCHANGES = ("server", "tree", "ring", "gloo")
LOST = ("abort", "skip")

MOST = 512
"""Processes at the most. Each takes some 200 MB of memory; beyond this it is a mistake, and not a measurement."""


@dataclass(frozen=True)
class Processes:
    """Run every node as a process of this machine, in real time.

    ``wire``      how processes talk: ``"shared"`` memory, or TCP ``"sockets"``.
    ``exchange``  how the answers of a round become one: through a parameter ``"server"``, which this process is; up and
                  down a ``"tree"``; round a ``"ring"``; or by PyTorch's ``"gloo"`` (over sockets). With the last three
                  every process runs the program, and no server is needed. Decentralised programs need none of them.
    ``lost``      what follows when a process ends or hangs: ``"abort"`` ends the run at its last commit and names the
                  node, ``"skip"`` goes on without it; of decentralised programs, those that have ``check_lost``.
    ``patience``  seconds without a sign of life after which a process counts as hung.
    ``slowdown``  by node: its jobs take so many times as long. Nodes not listed are not slowed.
    ``device``    every job takes at least what it takes on this device, whose draws are those of a simulation.

    With a server or a tree, up to 32 nodes, the model's bits are those of ``Simulation``; ring and gloo add in another
    order. Where arrival decides (asynchronous programs, quorums, deadlines), runs agree in distribution.
    """

    wire: str = "shared"
    exchange: str = "server"
    lost: str = "abort"
    patience: float = 30.0
    slowdown: tuple[float, ...] = ()
    device: Device | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("wire", self.wire, WIRES),
            ("exchange", self.exchange, EXCHANGES),
            ("lost", self.lost, LOST),
        ):
            if value not in known:
                raise BadInput(
                    f"Processes.{name} is {value!r}: {did_you_mean(str(value), known)}it must be one of "
                    f"{', '.join(map(repr, known))}"
                )
        if self.exchange == "gloo" and self.wire != "sockets":
            raise BadInput("gloo sends over sockets: give ", Option("wire", "sockets", "runtime.processes"), " too")
        if not self.patience >= 1:
            raise BadInput(
                f"Processes.patience is {self.patience!r}: hearts beat five times a second, wait at least 1 s"
            )
        object.__setattr__(self, "slowdown", several(self.slowdown))
        for factor in self.slowdown:
            if not 1 <= factor < float("inf"):
                raise BadInput(f"Processes.slowdown has a factor {factor!r}: a process can be slowed, from 1 up")
        if self.device is not None and not isinstance(self.device, Device):
            raise BadInput(f"Processes.device is {self.device!r}: it must be a Device")

    def start(self, setup: Setup) -> Engine:
        """Start the processes. Errors: ``BadInput`` if this machine cannot, ``NodeLost`` if one does not start."""
        data = setup.data
        if os.name == "nt":
            raise BadInput("node processes need a Unix system: use Simulation()")
        if data.nodes > MOST:
            raise BadInput(f"{data.nodes} nodes would be as many processes, and {MOST} are the most: use Simulation()")
        if len(self.slowdown) > data.nodes:
            raise BadInput(f"Processes.slowdown has {len(self.slowdown)} factors for {data.nodes} nodes")
        device = None
        if self.device is not None:
            device = pickled(self.device, lambda e: f"{self.device!r} cannot be sent to node processes: {e}")
        policy = pickled(setup.policy, lambda e: f"{setup.policy!r} cannot be sent to node processes: {e}")
        factors = [*self.slowdown, *[1.0] * (data.nodes - len(self.slowdown))]
        group = ProcessGroup(
            data.nodes,
            "foedus.runtimes.processes.node",
            lambda node: {"seed": setup.seed, "slowdown": factors[node], "device": device, "policy": policy},
            setup.model,
            data,
            patience=self.patience,
            pin=self.exchange != "gloo",  # its own threads would all be bound to the one core
        )
        clock = RealClock()
        goes_on = self.lost == "skip"
        server = Server(group, clock, setup, goes_on, self.wire)

        def elsewhere(program: Any, session: Session) -> Coroutine[Any, Any, Any] | None:
            if data.roster is None:
                tell_roster(group, session.roster)
            if takes_peer(program):
                return decentralised.drive(program, session, group, self.wire, goes_on)
            if self.exchange == "server":
                server.open()
                return None
            return joint_program.drive(program, session, group, self.exchange, self.wire, goes_on)

        notices: tuple[str, ...] = ()
        if group.oversubscribed:
            notices = (
                f"oversubscribed: {data.nodes} processes shared {len(cores())} cores, and seconds are those of sharing",
            )
        return Engine(server, clock, None, Wall, elsewhere, notices)
