"""When a round is over, and what to do when a node fails."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.errors import BadInput

ON_FAILURE = ("abort", "skip", "retry")


@dataclass(frozen=True)
class Until:
    """Base of ``All``, ``Quorum`` and ``Deadline``.

    ``failure`` says what happens when a node's job raises, or its update, loss or weight is NaN or infinite:
    ``"abort"`` the run with the node's name, ``"skip"`` the node, or ``"retry"`` it once, then skip. Who was left out
    is in the ledger (``failed``) and in ``Run.notices``. Unless it is ``"abort"``, every update is looked at.

    A node that goes off or drops out before it has answered is no fault of the code. With ``"retry"`` it is asked once
    more, when it is back. Else it is missing like one that is late, and the round goes on with those that are left;
    only where the round cannot have the answers it needs any more (``All`` needs every one, ``Quorum`` its k,
    ``Deadline`` none), ``"abort"`` ends the run, and ``"skip"`` takes all that still come.
    """

    failure: str = "abort"

    def __post_init__(self) -> None:
        if self.failure not in ON_FAILURE:
            raise BadInput(f"unknown failure policy {self.failure!r}: use one of {', '.join(ON_FAILURE)}")

    def needed(self, cohort: int) -> int:
        """Answers that end the round. Errors: ``BadInput`` if the cohort cannot give so many."""
        return cohort

    @property
    def seconds(self) -> float | None:
        """The time after which the round ends, whoever is there."""
        return None


@dataclass(frozen=True)
class All(Until):
    """Wait for every node."""


@dataclass(frozen=True)
class Quorum(Until):
    """Wait for the first k answers; the others are told to stop, and what they had done is in the ledger."""

    k: int = 1

    def __init__(self, k: int, failure: str = "abort") -> None:
        object.__setattr__(self, "k", k)
        object.__setattr__(self, "failure", failure)
        self.__post_init__()
        if k < 1:
            raise BadInput(f"a quorum needs at least one answer, got Quorum({k})")

    def needed(self, cohort: int) -> int:
        if self.k > cohort:
            raise BadInput(f"a quorum of {self.k} answers was asked of a cohort of {cohort}")
        return self.k


@dataclass(frozen=True)
class Deadline(Until):
    """Wait at most this many seconds of the runtime's clock, less if every node has answered.

    A round in which nobody is in time is empty. Three in a row end the run with ``NobodyInTime``.
    """

    limit: float = 0.0

    def __init__(self, limit: float, failure: str = "abort") -> None:
        object.__setattr__(self, "limit", limit)
        object.__setattr__(self, "failure", failure)
        self.__post_init__()
        if not limit > 0:
            raise BadInput(f"a deadline lies after the start, got Deadline({limit})")

    @property
    def seconds(self) -> float | None:
        return self.limit
