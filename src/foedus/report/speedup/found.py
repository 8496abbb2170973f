"""What a measurement of speed-up found: plain numbers, which the page, the picture, the table and JSON are made of.

Legend: ``p`` processes. ``S = T_1 / T_p`` for the same work; for work that grows with p, ``S = p T_1 / T_p``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

KINDS = {"compute_s": "computing", "serial_s": "serialising", "wire_s": "wire", "waiting_s": "waiting"}
"""Fields of ``Costs`` that a process's time is made of, and their words."""


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles, of ``n`` values."""

    median: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.5, high=2.5, n=3)
        """
        low, median, high = (
            statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        )
        return Spread(median, low, high, len(values))


@dataclass(frozen=True)
class Point:
    """p processes that had ``rows`` rows each. ``seconds`` is of a round.

    ``limit``      the speed-up of the same computing without any communication: what this machine allows.
    ``predicted``  seconds that the calibrated cost model says.
    ``shares``     of a mean process's time, by the words of ``KINDS``.
    """

    p: int
    rows: int
    seconds: Spread
    speedup: float
    limit: float | None = None
    predicted: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    oversubscribed: bool = False

    @property
    def efficiency(self) -> float:
        """The share of p processes that is put to use."""
        return self.speedup / self.p

    @property
    def deviation(self) -> float | None:
        """By what share of the measured time the model is off; positive if it says too much."""
        return None if self.predicted is None else self.predicted / self.seconds.median - 1


@dataclass(frozen=True)
class Curve:
    """Speed-up by one exchange over one wire.

    ``strong``: the same rows divided among p. ``weak``: the rows grow with p. ``amdahl`` and ``gustafson`` are the
    fitted parallel shares, from p up to the number of cores; None where only one process was measured.
    """

    exchange: str
    wire: str
    strong: tuple[Point, ...] = ()
    weak: tuple[Point, ...] = ()
    amdahl: float | None = None
    gustafson: float | None = None

    @property
    def name(self) -> str:
        """As it is called."""
        return f"{self.exchange}, {self.wire}"


@dataclass(frozen=True)
class Jobs:
    """Computing, calibrated with p processes at once: seconds a job and a row; ``sigma`` of the logarithm of times."""

    p: int
    fixed_s: float
    row_s: float
    sigma: float


@dataclass(frozen=True)
class Rounds:
    """A round beside computing, calibrated: fixed seconds, seconds a message and a byte on the path."""

    exchange: str
    wire: str
    fixed_s: float
    alpha_s: float
    beta_s: float


@dataclass(frozen=True)
class Wire:
    """A ping-pong of two processes: seconds a message (one way) and a byte."""

    wire: str
    alpha_s: float
    beta_s: float


@dataclass(frozen=True)
class Traffic:
    """What p processes sent in one round, counted where it leaves them, and what the formula says (None: no formula).

    ``vectors`` are the numbers of vectors among the bytes, in vectors. ``seconds`` is the round's length.
    """

    exchange: str
    wire: str
    p: int
    messages: float
    nbytes: float
    vectors: float
    formula_messages: float | None
    formula_vectors: float | None
    seconds: float


@dataclass(frozen=True)
class Straggler:
    """One of p processes slowed by ``factor``. Rates are updates (gradients) a second, of all processes together.

    ``lost`` is the share of the rate that the one slow process costs, ``theory`` what it should cost.
    ``sleeping``: a job is a wait of a set length, which needs no core.
    """

    p: int
    factor: float
    program: str
    sleeping: bool
    rate: float
    slowed: float
    theory: float

    @property
    def lost(self) -> float:
        """The share of updates that is lost."""
        return 1 - self.slowed / self.rate


@dataclass(frozen=True)
class Simulated:
    """The simulator's continuation for one program: speed-up in rows a virtual second, relative to one node.

    ``law`` is the closed form at the same numbers of nodes, empty where there is none.
    """

    program: str
    nodes: tuple[int, ...]
    speedups: tuple[float, ...]
    law: tuple[float, ...] = ()


@dataclass(frozen=True)
class Found:
    """All of it. What was not measured, because it was not asked for or the run was stopped, is empty.

    ``others`` is the share of the processors' time that other work on the machine took meanwhile; None: not known.
    """

    name: str
    program: str
    rows: int
    parameters: int
    vector_bytes: int
    cores: int
    origin: dict[str, str] = field(default_factory=dict)
    processes: tuple[int, ...] = ()
    rounds: int = 0
    curves: tuple[Curve, ...] = ()
    jobs: tuple[Jobs, ...] = ()
    costs: tuple[Rounds, ...] = ()
    wires: tuple[Wire, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    stragglers: tuple[Straggler, ...] = ()
    simulated: tuple[Simulated, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    others: float | None = None
    complete: bool = True
