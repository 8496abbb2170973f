"""Links and devices as a cost model: what a message and a computation take, drawn from keys."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.core.time.cost import Always, Availability, Link
from foedus.core.types.keys import Key
from foedus.network.checks import is_number, not_negative, speed

if TYPE_CHECKING:
    from foedus.core.types.job import Work


PASSES_OF_TRAINING = 3.0
"""A row that is trained on costs three forward passes: one forward, and backward about two more."""


@runtime_checkable
class Jitter(Protocol):
    """A frozen dataclass that draws by what factor one job takes longer than usual. The factor's mean is 1."""

    def draw(self, key: Key) -> float:
        """One positive factor. ``key`` belongs to the job alone."""
        ...


@dataclass(frozen=True)
class Steady:
    """Every job takes exactly its time.

    >>> Steady().draw(Key(0))
    1.0
    """

    def draw(self, key: Key) -> float:
        """The factor 1."""
        return 1.0


@dataclass(frozen=True)
class Exponential:
    """Exponential times: the factor is exponential with mean 1, the textbook's memoryless worker.

    Source: Dean and Barroso (2013) on why tails rule; ``theory.expected_kth`` has the closed forms.
    """

    def draw(self, key: Key) -> float:
        """A factor from Exponential(1)."""
        return key.exponential()


@dataclass(frozen=True)
class ShiftedExponential:
    """Part of the time is fixed and the rest exponential: ``shift + (1 - shift) * Exponential(1)``.

    ``shift`` in [0, 1) is the smallest factor. Source: Lee et al. (2018, arXiv:1512.02673), whose straggler model
    this is, scaled to mean 1. Errors: ``BadInput`` for a shift outside [0, 1).
    """

    shift: float

    def __post_init__(self) -> None:
        if not (is_number(self.shift) and 0 <= self.shift < 1):
            raise BadInput(
                f"ShiftedExponential.shift is {self.shift!r}: it must be at least 0 and less than 1, the share of the "
                "mean time that is fixed; for no randomness at all use Steady()"
            )

    def draw(self, key: Key) -> float:
        """A factor of at least ``shift``, with mean 1 and standard deviation ``1 - shift``."""
        return self.shift + (1 - self.shift) * key.exponential()


@dataclass(frozen=True)
class LogNormal:
    """The factor is lognormal with mean 1; ``sigma`` is the standard deviation of its logarithm.

    Errors: ``BadInput`` for a negative, infinite or NaN sigma.
    """

    sigma: float

    def __post_init__(self) -> None:
        not_negative("LogNormal.sigma", self.sigma)

    def draw(self, key: Key) -> float:
        """A factor with mean 1 and median ``exp(-sigma**2 / 2)``."""
        return math.exp(self.sigma * key.normal() - self.sigma**2 / 2)


@dataclass(frozen=True)
class Pareto:
    """Heavy tails: the factor is Pareto distributed with mean 1, ``P(factor > x) = (minimum / x) ** alpha``.

    ``alpha`` above 1; the smallest factor is ``1 - 1 / alpha``. Up to an alpha of 2 the variance is infinite: now and
    then one job takes longer than all others together. Errors: ``BadInput`` for an alpha of 1 or less, whose mean is
    infinite.

    >>> Pareto(2.0).minimum
    0.5
    """

    alpha: float

    def __post_init__(self) -> None:
        if not (is_number(self.alpha) and 1 < self.alpha < math.inf):
            raise BadInput(
                f"Pareto.alpha is {self.alpha!r}: it must be a finite number above 1 (the mean is infinite at 1); "
                "the smaller, the heavier the tail"
            )

    @property
    def minimum(self) -> float:
        """The smallest factor."""
        return 1 - 1 / self.alpha

    def draw(self, key: Key) -> float:
        """A factor of at least ``minimum``, with mean 1."""
        return float(self.minimum * key.uniform() ** (-1 / self.alpha))


@dataclass(frozen=True)
class Device:
    """How fast nodes compute. Seconds are work / speed, times the job's jitter.

    Give exactly one speed: ``samples_per_second`` (rows trained per second, whatever the model) or
    ``flops_per_second`` (sustained, so that larger models take longer). Training on a row costs three forward
    passes, evaluating it one. ``spread`` is the sigma of a lognormal factor on the speed, drawn once per node, with
    median 1: 0.6 makes the fastest of the middle 95 % of nodes ten times as fast as the slowest.
    Errors: ``BadInput`` for no or two speeds, a speed that is not positive, a spread that is negative or NaN.

    >>> from foedus.core.types.job import Work
    >>> Device(samples_per_second=1000).seconds(Work(trained=500), flops=0, node_key=Key(0), job_key=Key(1))
    0.5
    >>> Device(flops_per_second=1e9).seconds(Work(trained=100, evaluated=50), 1e6, Key(0), Key(1))
    0.35
    """

    samples_per_second: float | None = None
    flops_per_second: float | None = None
    spread: float = 0.0
    jitter: Jitter = field(default_factory=Steady)

    def __post_init__(self) -> None:
        if (self.samples_per_second is None) == (self.flops_per_second is None):
            given = "neither" if self.samples_per_second is None else "both"
            raise BadInput(
                f"a Device needs exactly one of samples_per_second and flops_per_second, and {given} was given"
            )
        if self.samples_per_second is not None:
            speed("Device.samples_per_second", self.samples_per_second, "rows per second")
        if self.flops_per_second is not None:
            speed("Device.flops_per_second", self.flops_per_second, "operations per second")
        not_negative("Device.spread", self.spread)
        if not isinstance(self.jitter, Jitter) or isinstance(self.jitter, type):
            raise BadInput(
                f"Device.jitter is {self.jitter!r}: use Steady(), Exponential(), ShiftedExponential(shift), "
                "LogNormal(sigma), Pareto(alpha) or an object with draw(key)"
            )

    def seconds(self, work: Work, flops: float, node_key: Key, job_key: Key) -> float:
        """Seconds for this work. ``flops``: one forward pass of one row, ignored with ``samples_per_second``."""
        if self.samples_per_second is not None:
            usual = work.samples / self.samples_per_second
        else:
            assert self.flops_per_second is not None
            usual = (PASSES_OF_TRAINING * work.trained + work.evaluated) * flops / self.flops_per_second
        return usual / _lognormal(self.spread, node_key, "device") * self.jitter.draw(job_key.child("jitter"))


@dataclass(frozen=True)
class Links:
    """How nodes are connected. ``latency`` in seconds one way, ``up`` and ``down`` in bytes per second.

    ``spread`` is the sigma of a lognormal factor with median 1, drawn once per node, on both of its rates: a good
    line is good in both directions. Rates may be infinite, latency may not.
    Errors: ``BadInput`` for a rate that is not positive, a latency or spread that is negative, infinite or NaN.

    >>> Links(latency=0.02, up=1e6, down=5e6).draw(Key(0))
    Link(latency=0.02, up=1000000.0, down=5000000.0)
    """

    latency: float
    up: float
    down: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        not_negative("Links.latency", self.latency, "seconds")
        speed("Links.up", self.up, "bytes per second")
        speed("Links.down", self.down, "bytes per second")
        not_negative("Links.spread", self.spread)

    def draw(self, key: Key) -> Link:
        """The connection of the node that ``key`` belongs to."""
        factor = _lognormal(self.spread, key, "link")
        return Link(latency=self.latency, up=self.up * factor, down=self.down * factor)


@dataclass(frozen=True)
class CostModel:
    """A network: every node has a link and a device, and all share the server's link. It is a ``Network``.

    ``server_up`` is what all nodes together can send to the server in bytes per second, ``server_down`` what the
    server can send to all of them together. ``availability`` says when nodes are on, ``dropout`` with which
    probability a node drops out of a job: at a uniformly random moment of its computing, each job on its own.
    Errors: ``BadInput`` for rates that are not positive, a dropout outside [0, 1), parts of another type.

    >>> wire = Links(latency=0.02, up=1e6, down=5e6)
    >>> network = CostModel(wire, Device(samples_per_second=1000))
    >>> network.link(3, Key(0)).down
    5000000.0
    """

    links: Links
    device: Device
    server_up: float = math.inf
    server_down: float = math.inf
    availability: Availability = Always()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, value, kind in (("links", self.links, Links), ("device", self.device, Device)):
            if not isinstance(value, kind):
                raise BadInput(f"CostModel.{name} is {value!r}: it must be a {kind.__name__}")
        speed("CostModel.server_up", self.server_up, "bytes per second")
        speed("CostModel.server_down", self.server_down, "bytes per second")
        if not isinstance(self.availability, Availability) or isinstance(self.availability, type):
            raise BadInput(
                f"CostModel.availability is {self.availability!r}: use Always(), OnOff(mean_on, mean_off), "
                "DayNight(period, share, spread) or an object with spell(node, when, key, known)"
            )
        if not (is_number(self.dropout) and 0 <= self.dropout < 1):
            raise BadInput(f"CostModel.dropout is {self.dropout!r}: it is a probability, at least 0 and less than 1")

    def link(self, node: int, key: Key) -> Link:
        """The node's connection, the same whenever it is asked for; ``key`` belongs to the node."""
        return self.links.draw(key)

    def compute_seconds(self, node: int, work: Work, flops: float, node_key: Key, job_key: Key) -> float:
        """Seconds the node computes. ``flops`` is one forward pass of one row; ``job_key`` belongs to this job."""
        return self.device.seconds(work, flops, node_key, job_key)


def _lognormal(sigma: float, key: Key, purpose: str) -> float:
    # The same node key serves link and device, so each draws under a name of its own. Zero spread is exact and free.
    return math.exp(sigma * key.child(purpose).normal()) if sigma else 1.0
