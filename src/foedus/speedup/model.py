"""The cost model of a round: what p processes should take, from what was measured of their parts.

A round is fixed + messages * alpha + vectors * bytes * beta, plus the slowest process's computing. How many messages
and vectors lie one after the other depends on the exchange; these are the closed forms of ``network.theory``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.errors import BadInput, did_you_mean
from foedus.network import theory
from foedus.speedup.fits import nonnegative

EXCHANGES = ("server", "tree", "ring", "gloo")
WIRES = ("shared", "sockets")


def one_of(what: str, name: str, known: Sequence[str]) -> str:
    """The name, if it is known. Errors: ``BadInput`` with the closest."""
    if name not in known:
        raise BadInput(f"unknown {what} {name!r}: {did_you_mean(name, known)}there are {', '.join(known)}")
    return name


def on_the_path(exchange: str, p: int) -> tuple[float, float]:
    """Messages and vectors that follow each other in one round of p processes.

    One server serves p processes one after the other: 2p of both, down and up. A tree has 2 ceil(log2 p) messages
    of the whole vector, a ring 2(p - 1) messages that add up to 2(p - 1)/p vectors. gloo's own algorithm is a ring.

    >>> on_the_path("server", 4), on_the_path("tree", 4), on_the_path("ring", 4)
    ((8.0, 8.0), (4.0, 4.0), (6.0, 1.5))
    """
    one_of("exchange", exchange, EXCHANGES)
    if exchange == "server":
        # Unlike a network card, whose latencies overlap, a server's processor takes its messages in turn.
        return 2.0 * p, theory.server_seconds(p, 1.0, 0.0, 1.0)
    if exchange == "tree":
        return theory.tree_allreduce_seconds(p, 0.0, 1.0, 0.0), theory.tree_allreduce_seconds(p, 1.0, 0.0, 1.0)
    return theory.ring_allreduce_seconds(p, 0.0, 1.0, 0.0), theory.ring_allreduce_seconds(p, 1.0, 0.0, 1.0)


def in_all(exchange: str, p: int) -> tuple[float, float] | None:
    """Messages and vectors that all processes together send in a round; None where the algorithm is not ours.

    >>> in_all("server", 4), in_all("tree", 4), in_all("ring", 4)
    ((8, 8.0), (6, 6.0), (24, 6.0))
    """
    one_of("exchange", exchange, EXCHANGES)
    if exchange == "server":
        return 2 * p, 2.0 * p
    if exchange == "tree":
        return 2 * (p - 1), 2.0 * (p - 1)
    if exchange == "ring":
        return 2 * (p - 1) * p, p * theory.ring_allreduce_bytes(p, 1.0)
    return None


@dataclass(frozen=True)
class Empty:
    """One round without computing: of p processes with vectors of so many bytes, in seconds."""

    p: int
    nbytes: float
    seconds: float


@dataclass(frozen=True)
class RoundCosts:
    """What a round costs beside computing, by one exchange over one wire.

    ``fixed_s`` a round whoever takes part (the program's step, the commit), ``alpha_s`` a message on the path,
    ``beta_s`` a byte on the path, with what is done to it: copies, additions.
    """

    fixed_s: float
    alpha_s: float
    beta_s: float

    def seconds(self, exchange: str, p: int, nbytes: float) -> float:
        """Seconds of a round beside computing."""
        messages, vectors = on_the_path(exchange, p)
        return self.fixed_s + messages * self.alpha_s + vectors * nbytes * self.beta_s


def fit_round(exchange: str, rounds: Sequence[Empty]) -> RoundCosts:
    """The costs that are nearest to measured empty rounds. Errors: ``BadInput`` for none."""
    paths = [on_the_path(exchange, r.p) for r in rounds]
    columns = (
        [1.0 for _ in rounds],
        [messages for messages, _ in paths],
        [vectors * r.nbytes for (_, vectors), r in zip(paths, rounds, strict=True)],
    )
    return RoundCosts(*nonnegative(columns, [r.seconds for r in rounds]))


@dataclass(frozen=True)
class JobCosts:
    """What computing costs a process while p of them compute at once, by the sizes that were measured.

    ``knots`` are ``(rows, seconds)``, both rising: between them seconds are interpolated, for a row costs more where
    a job leaves the processor's cache. ``fixed_s`` is what a job without rows would take, ``row_s`` a row of the
    largest one.
    """

    p: int
    knots: tuple[tuple[float, float], ...]

    @property
    def fixed_s(self) -> float:
        """Seconds of a job whatever its rows: the line through the two smallest, at no rows."""
        rows, seconds = self.knots[0]
        if len(self.knots) == 1:
            return 0.0
        more_rows, more_seconds = self.knots[1]
        return min(seconds, max(0.0, seconds - rows * (more_seconds - seconds) / (more_rows - rows)))

    @property
    def row_s(self) -> float:
        """Seconds a row."""
        rows, seconds = self.knots[-1]
        return (seconds - self.fixed_s) / rows

    def seconds(self, rows: float) -> float:
        """Seconds of a job on so many rows."""
        if rows >= self.knots[-1][0]:
            return self.fixed_s + rows * self.row_s
        low = (0.0, self.fixed_s)
        for high in self.knots:
            if rows <= high[0]:
                return low[1] + (rows - low[0]) / (high[0] - low[0]) * (high[1] - low[1])
            low = high
        raise AssertionError("rows are below the last knot")


def fit_jobs(p: int, jobs: Sequence[tuple[float, float]]) -> JobCosts:
    """The costs by measured jobs, ``(rows, seconds)``. A larger job that seems quicker takes as long as a smaller.

    Errors: ``BadInput`` for none, or no rows.
    """
    if not jobs or min(rows for rows, _ in jobs) <= 0:
        raise BadInput(f"computing is calibrated by jobs of at least one row, got {list(jobs)}")
    knots: list[tuple[float, float]] = []
    for rows, seconds in sorted(jobs):
        knots.append((rows, max(seconds, knots[-1][1] if knots else 0.0)))
    return JobCosts(p, tuple(knots))
