"""Rhythm: how often nodes that run a program together talk with the parent about their commits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rhythm:
    """At which commits the parent is told all, and at which it has to say that the run goes on.

    ``checkpoint_every`` is 0 where nothing is written: what can be gone on from is the last commit told. ``rules``:
    there are stop rules, which may end the run at any commit.
    """

    evaluate_every: int
    evaluate_nodes: int
    checkpoint_every: int
    rules: bool

    def told(self, t: int, planned: int | None) -> bool:
        """Whether the parent is told of a commit, with all before it."""
        written = bool(self.checkpoint_every and t % self.checkpoint_every == 0)
        return self.rules or written or t == planned or self._evaluated(t)

    def waits(self, t: int, planned: int | None) -> bool:
        """Whether nodes wait for the parent's word. While it evaluates nobody computes: its time is not the run's."""
        return t != planned and (self.rules or self._evaluated(t))

    def keeps(self, t: int, planned: int | None) -> bool:
        """Whether the parent needs what nodes remember: to write it, or to evaluate at nodes with it."""
        written = t % (self.checkpoint_every or 1) == 0
        return self.rules or written or planned is None or t == planned or self._at_nodes(t)

    def _evaluated(self, t: int) -> bool:
        return t % self.evaluate_every == 0 or self._at_nodes(t)

    def _at_nodes(self, t: int) -> bool:
        return bool(self.evaluate_nodes and t % self.evaluate_nodes == 0)
