"""Round: who of a cohort has answered, who still may, and when enough have.

Pure: it knows no time, no network and no process. Events go in (``asked``, ``arrived``, ``failed``, ``refused``,
``lost``, ``time_is_up``), decisions come out: ask somebody, close the round, give the run up. Whoever drives a round,
on virtual time, on the wall clock or together with other nodes, tells it what happened and does what it says.

A member of the cohort is known by its place in it, 0 .. members-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foedus.core.coordination.until import Until
from foedus.core.types.update import Failed, Lost, Refused

PATIENCE = 3
"""So many rounds in a row may end at their deadline without an answer; a run that would go on like this is ended."""


@dataclass(frozen=True)
class Ask:
    """Give this member its job; once more, if it had it before."""

    place: int


@dataclass(frozen=True)
class Close:
    """The round is over: its answers are those that have arrived."""


@dataclass(frozen=True)
class Raise:
    """The run does not go on without this member's answer."""

    missing: Failed | Lost


Decision = Ask | Close | Raise
Goes = Literal["if not needed", "always", "never"]
"""When a round goes on without a member that was lost."""


class Round:
    """The state of one round.

    ``members``  how many were asked.
    ``until``    when it is over, and what follows a failure (``All``, ``Quorum``, ``Deadline``).
    ``first``    of an over-selected cohort: only so many answers are wanted.
    ``robust``   an answer that is NaN, infinite or invalid is left out whatever ``until.failure`` says, as long as
                 there are others.
    ``empty``    how many rounds before this one ended at their deadline without an answer, in a row.

    ``came`` are the places of those that have answered, in order of arrival; ``missing`` those of whom no answer will
    come, and why; ``retried`` how the first attempt failed of those that were asked twice. ``closed`` may become false
    again: where an answer is looked at only after the round was closed, it may turn out to be none.

    >>> from foedus.core.coordination.until import Quorum
    >>> r = Round(3, Quorum(2))
    >>> r.asked(), r.arrived(2), r.arrived(0)
    ([Ask(place=0), Ask(place=1), Ask(place=2)], [], [Close()])
    >>> r.failed(2, Failed(7, "its disk is full"))
    [Raise(missing=Failed(node=7, reason='its disk is full', log='', nonfinite=False, invalid=False))]
    """

    def __init__(
        self, members: int, until: Until, *, first: int | None = None, robust: bool = False, empty: int = 0
    ) -> None:
        self.members, self.until, self._robust, self._empty = members, until, robust, empty
        self.needed = until.needed(members) if first is None else min(until.needed(members), first)
        """Answers that end it."""
        self.came: dict[int, None] = {}
        self.missing: dict[int, Failed | Refused | Lost] = {}
        self.retried: dict[int, Failed | Lost] = {}
        self.over = False
        """Whether its time was up."""

    # -- what is known -----------------------------------------------------------------------------------------

    @property
    def out(self) -> int:
        """How many may still answer."""
        return self.members - len(self.came) - len(self.missing)

    @property
    def closed(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.over or len(self.came) >= self.needed or not self.out

    @property
    def wants_all(self) -> bool:
        """Whether every answer that comes will be used."""
        return self.needed == self.members and self.until.seconds is None

    @property
    def empty(self) -> int:
        """How many rounds in a row have ended at their deadline without an answer, this one included."""
        if self.until.seconds is None or not self.members:
            return self._empty
        return 0 if self.came else self._empty + 1

    @property
    def hopeless(self) -> bool:
        """Whether so many were empty that a run would go on like this for ever."""
        return self.until.seconds is not None and self.empty >= PATIENCE

    # -- events ------------------------------------------------------------------------------------------------

    def asked(self) -> list[Decision]:
        """The round begins."""
        return [*map(Ask, range(self.members)), *self._close()]

    def arrived(self, place: int) -> list[Decision]:
        """An answer is there. After the end of the round it is late, and nobody's."""
        if self.closed:
            return []
        self.came[place] = None
        return self._close()

    def failed(self, place: int, failed: Failed) -> list[Decision]:
        """A member tried and could not, which may show only in an answer that has arrived."""
        if self._again(place, failed, can=True):
            return [Ask(place)]
        left_out = self._robust and (failed.nonfinite or failed.invalid)
        if self.until.failure == "abort" and not left_out:
            return [Raise(failed)]
        decisions = self._without(place, failed)
        if self.until.failure == "abort" and not self.came and not self.out:
            return [Raise(failed)]  # nobody's answer can be used: that is no dishonest node
        return decisions

    def refused(self, place: int, refused: Refused) -> list[Decision]:
        """A member will not do it."""
        return self._without(place, refused)

    def lost(self, place: int, lost: Lost, goes_on: Goes = "if not needed") -> list[Decision]:
        """A member is gone. ``goes_on`` says whether the round does, where ``until.failure`` is ``"abort"``: that a
        device went off is in the nature of things, that a process ended is not.
        """
        if self._again(place, lost, can=not lost.for_good):
            return [Ask(place)]
        decisions = self._without(place, lost)
        short = len(self.came) + self.out < self.needed and self.until.seconds is None
        if self.until.failure == "abort" and (goes_on == "never" or (goes_on == "if not needed" and short)):
            return [Raise(lost)]
        return decisions

    def time_is_up(self) -> list[Decision]:
        """The deadline."""
        self.over = True
        return self._close()

    # ----------------------------------------------------------------------------------------------------------

    def _again(self, place: int, missing: Failed | Lost, can: bool) -> bool:
        if not can or self.over or self.until.failure != "retry" or place in self.retried:
            return False
        self.retried[place] = missing
        self.came.pop(place, None)
        return True

    def _without(self, place: int, missing: Failed | Refused | Lost) -> list[Decision]:
        self.came.pop(place, None)
        self.missing[place] = missing
        return self._close()

    def _close(self) -> list[Decision]:
        return [Close()] if self.closed else []
