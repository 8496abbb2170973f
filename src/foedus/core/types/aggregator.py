"""Aggregators: how many updates become one. A fold that can be merged.

Sums have one canonical order, so that the same bits come out with any number of workers: sequentially inside a
block of consecutive positions of the cohort, then up a fixed binary tree over the block index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.suspicion import Judges, Suspicions
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Tensors, Update, finite

MAX_BLOCKS = 32
"""Blocks of a cohort at the most. It bounds the traffic to the coordinator: blocks x D, not nodes x D."""


@dataclass(frozen=True)
class Denominator:
    """What an aggregator divides its sum by.

    ``kind``   ``"weights"``: the sum of the weights of those whose answers came, which their refusals move too.
               ``"count"``: how many answers came. ``"one"``: nothing. ``"fixed"``: ``value``, whoever answered.
    ``value``  of a fixed one.
    """

    kind: Literal["weights", "count", "one", "fixed"]
    value: float | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.kind == "fixed"):
            raise BadInput(f"a denominator has a value if it is fixed, and only then; got {self}")


ALIKE = (1.0, 1.0)
"""The weights of a sum in which all values count alike."""

REPORTED = (0.0, math.inf)
"""The weights of a sum in which a value counts what its node says, its rows usually: nothing bounds them."""


@runtime_checkable
class Aggregator(Protocol):
    """``empty``, ``add`` and ``merge`` build an accumulator (a tree of tensors and numbers); ``read`` ends it.

    ``add`` and ``merge`` may reuse the accumulators they are given, which are the fold's own, but never change an
    update's tensors. ``read`` may keep a state across rounds, which lives in the checkpoint. ``robust``: NaN and
    infinite updates are dropped and the run goes on; otherwise the run stops and names the node. An aggregator whose
    ``add`` keeps no reference to an update's tensors may say so (``consumes = True``) and is spared a copy of each.
    One whose accumulators are ``{"sum": {name: tensor} or None, ...}`` with numbers beside it, and whose ``merge`` adds
    them, may say so (``additive = True``): nodes can then add theirs up in any way, round a ring for example.

    One that is a sum of values, each times a weight, says what a privacy account has to know: ``denominator``, a
    ``Denominator``, and ``weight_range``, the least and the most that one value is multiplied by: ``ALIKE``, or
    ``REPORTED``, as its node says. One that says neither is taken for no sum.
    """

    @property
    def robust(self) -> bool: ...
    def empty(self) -> Any: ...
    def add(self, acc: Any, u: Update) -> Any: ...
    def merge(self, a: Any, b: Any) -> Any: ...
    def init(self, shapes: Shapes) -> Any: ...
    def read(self, acc: Any, state: Any) -> tuple[Tensors, Any]: ...


class Callability:
    """Lets an aggregator be called on a stack: ``aggregator(u_KD, weights_K=None) -> u_D``."""

    def __call__(self, u_KD: Tensor, weights_K: Sequence[float] | Tensor | None = None) -> Tensor:
        """Aggregate K updates of D numbers; equal weights by default. The input is not changed."""
        u_KD = torch.as_tensor(u_KD)
        weights = [1.0] * len(u_KD) if weights_K is None else [float(w) for w in weights_K]
        updates = [Update({"u": u.clone()}, w, node=i) for i, (u, w) in enumerate(zip(u_KD, weights, strict=True))]
        total, _ = fold(self, updates)  # type: ignore[arg-type]
        return total["u"]


def read(aggregator: Aggregator, acc: Any, state: Any) -> tuple[Tensors, Any, Suspicions]:
    """What an aggregator makes of its accumulator, what it remembers, and what it says of nodes, if it does."""
    if isinstance(aggregator, Judges):
        return aggregator.judge(acc, state)
    return *aggregator.read(acc, state), {}


def fold(aggregator: Aggregator, updates: Sequence[Update], state: Any = None) -> tuple[Tensors, Any]:
    """Aggregate updates that are all at hand, in the canonical order: ``join`` without what it says of nodes."""
    return join(aggregator, updates, state)[:2]


def join(aggregator: Aggregator, updates: Sequence[Update], state: Any = None) -> tuple[Tensors, Any, Suspicions]:
    """Aggregate updates that are all at hand, in the canonical order; see ``read``.

    Where a sum of finite numbers overflows, it is made again in float64: their mean is finite, and so it is here.
    """

    def of(updates: Sequence[Update]) -> tuple[Tensors, Any, Suspicions]:
        folded = Fold(aggregator)
        for block in blocks(len(updates)):
            folded.block(updates[position] for position in block)
        acc = folded.result()
        return read(aggregator, aggregator.empty() if acc is None else acc, state)

    total, after, said = of(updates)
    if not finite(total) and all(finite(u.parts) for u in updates):
        wide = [
            u.with_parts({k: v.double() if v.is_floating_point() else v for k, v in u.parts.items()}) for u in updates
        ]
        again, _, _ = of(wide)
        total = {k: v if finite({k: v}) else v.where(torch.isfinite(v), again[k].to(v.dtype)) for k, v in total.items()}
    return total, after, said


def blocks(cohort: int, most: int = MAX_BLOCKS) -> list[range]:
    """Consecutive positions of a cohort, in at most ``most`` blocks of almost equal size.

    >>> [list(b) for b in blocks(5, most=2)]
    [[0, 1], [2, 3, 4]]
    """
    n = min(cohort, most)
    return [range(i * cohort // n, (i + 1) * cohort // n) for i in range(n)]


def groups(blocks: int, workers: int) -> list[range]:
    """Consecutive blocks that are given to a worker together, so that it merges them and sends one accumulator.

    A group is a whole subtree of the merge tree (its size is a power of two, its start a multiple of it), so that who
    merges makes no difference to the bits. Groups get smaller towards the end, so that workers end together.

    >>> [len(g) for g in groups(32, workers=2)]
    [8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    """
    out, at = [], 0
    while at < blocks:
        size = 1 << (max(1, (blocks - at) // (2 * workers)).bit_length() - 1)
        while at % size:
            size //= 2
        out.append(range(at, at + size))
        at += size
    return out


class Fold:
    """The canonical fold: in sequence inside a block, then up the merge tree over the blocks.

    Blocks come in the order of the cohort, as updates or as accumulators of those that folded them elsewhere.
    """

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator, self._tree = aggregator, MergeTree(aggregator.merge)

    def block(self, updates: Iterable[Update]) -> None:
        """Fold the updates of the next block, taken one by one."""
        acc, left = None, iter(updates)
        while (u := next(left, None)) is not None:
            acc = self._aggregator.add(self._aggregator.empty() if acc is None else acc, u)
            u = None  # before the next is computed
        self._tree.push(acc)

    def group(self, acc: Any, blocks: int = 1) -> None:
        """Take the accumulator of the next group of blocks, which is a whole subtree; None if nothing came of it."""
        self._tree.push(acc, blocks)

    def result(self) -> Any:
        """The accumulator of all, or None if nothing came."""
        return self._tree.result()


class MergeTree:
    """Merges accumulators that arrive in index order up a fixed binary tree, holding about log2(n) of them at a time.

    The tree's shape depends on the number of blocks alone: neighbours of equal height merge as soon as both are
    there, and what is left at the end merges from the right.
    """

    def __init__(self, merge: Callable[[Any, Any], Any]) -> None:
        self._merge = merge
        self._pending: list[tuple[int, Any]] = []

    def push(self, acc: Any, blocks: int = 1) -> None:
        """Add the accumulator of the next block or whole group of blocks, or None if nothing came from it."""
        height = blocks.bit_length() - 1
        while self._pending and self._pending[-1][0] == height:
            acc = self._join(self._pending.pop()[1], acc)
            height += 1
        self._pending.append((height, acc))

    def result(self) -> Any:
        """The root, or None if nothing came at all."""
        acc = None
        for _, left in reversed(self._pending):
            acc = self._join(left, acc)
        self._pending.clear()
        return acc

    def _join(self, left: Any, right: Any) -> Any:
        if left is None or right is None:
            return right if left is None else left
        return self._merge(left, right)
