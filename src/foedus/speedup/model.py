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
    """What computing costs a process while p of them compute at once: ``fixed_s`` a job and ``row_s`` a row."""

    p: int
    fixed_s: float
    row_s: float

    def seconds(self, rows: float) -> float:
        """Seconds of a job on so many rows."""
        return self.fixed_s + rows * self.row_s


def fit_jobs(p: int, jobs: Sequence[tuple[float, float]]) -> JobCosts:
    """The costs that are nearest to measured jobs, ``(rows, seconds)``. Errors: ``BadInput`` for none."""
    columns = ([1.0 for _ in jobs], [rows for rows, _ in jobs])
    return JobCosts(p, *nonnegative(columns, [seconds for _, seconds in jobs]))
