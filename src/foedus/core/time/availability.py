"""WhoIsOn: which nodes are on now, as the network's availability says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from foedus.core.time.clock import Clock
from foedus.core.time.cost import Availability, Spell
from foedus.core.types.keys import Key

ALWAYS = Spell(True, math.inf, 0)


class WhoIsOn:
    """The spell that every node is in. Of a node it remembers the last one asked for: 17 bytes a node.

    Nothing of it is in a checkpoint: any spell can be found again from its key.
    """

    def __init__(self, availability: Availability, clock: Clock, seed: int, nodes: Callable[[], int]) -> None:
        self._availability, self._clock, self._key, self._nodes = availability, clock, Key(seed), nodes
        self._end = np.full(0, -math.inf)
        self._number = np.zeros(0, dtype=np.int64)
        self._on = np.zeros(0, dtype=bool)
        self._make_room()

    def _make_room(self) -> None:
        """For nodes that have joined."""
        new = self._nodes() - len(self._end)
        if new > 0:
            self._end = np.append(self._end, np.full(new, -math.inf))
            self._number = np.append(self._number, np.zeros(new, dtype=np.int64))
            self._on = np.append(self._on, np.zeros(new, dtype=bool))

    def spell(self, node: int) -> Spell:
        """The spell that the node is in now."""
        if node >= len(self._end):
            self._make_room()
        now, end = self._clock.now, float(self._end[node])
        known = None if end == -math.inf else Spell(bool(self._on[node]), end, int(self._number[node]))
        if known is not None and now < end:
            return known
        spell = self._availability.spell(node, now, self._key.child("availability", node), known)
        self._on[node], self._end[node], self._number[node] = spell
        return spell

    def on(self) -> list[int]:
        """Ids of the nodes that are on now, ascending. Only nodes whose spell has ended since are asked anew."""
        self._make_room()
        for node in np.flatnonzero(self._end <= self._clock.now).tolist():
            self.spell(node)
        return np.flatnonzero(self._on).tolist()

    def more(self, k: int) -> float:
        """Until this time fewer than k nodes that are off now will have come on (inf: there never are k)."""
        self.on()
        ends = self._end[~self._on]
        return math.inf if len(ends) < k else float(np.partition(ends, k - 1)[k - 1])
