"""Rule: what every aggregator has in common that must see all updates side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from foedus.aggregators.gram import distances_from
from foedus.aggregators.strips import finite_rows
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Callability
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.torch_process import serial
from foedus.core.types.transform import Shapes, holds_numbers, shapes_of
from foedus.core.types.update import Tensors, Update, finite

NUMBERS = "numbers"
"""The vector of all parts that hold numbers of the update. Parts that do not, such as ``buffers``, are one each."""


@dataclass(frozen=True)
class Joined:
    """What a rule makes of a stack (K, D).

    ``u_D``         its answer.
    ``left_out_K``  which share of each row it left out, from 0 (counted as others are) to 1 (not at all); or what
                    computes that, for it may take longer than the answer.
    """

    u_D: Tensor
    left_out_K: Tensor | Callable[[], Tensor]

    def left_out(self) -> Tensor:
        """Which share of each row was left out: (K,)."""
        return self.left_out_K if isinstance(self.left_out_K, Tensor) else self.left_out_K()


class Rule(Callability):
    """Base of robust rules: a frozen dataclass with ``reduce``, and ``f`` if it is made for so many dishonest nodes.

    The parts that hold numbers are one flat vector to the rule. Every other part, such as ``buffers``, is joined by the
    same rule by itself. Nodes come in the order of their ids, which breaks ties. Updates that are not finite are
    dropped and named. Weights are ignored: a node that lies about its rows would otherwise buy influence.

    A rule is reading one stack, and may make one more. It never changes what it is given.
    """

    robust: ClassVar[bool] = True

    # -- what a rule says and does ---------------------------------------------------------------------------------

    @property
    def breakdown(self) -> str:
        """How many of n updates may be dishonest, f: as an inequality."""
        raise NotImplementedError

    def least(self) -> int:
        """Fewest updates with which ``breakdown`` holds."""
        return 1

    def reduce(self, u_KD: Tensor) -> Joined:
        """One vector from K finite ones. A rule that remembers something overrides ``step``, which calls this."""
        raise NotImplementedError

    def begin(self, d: int) -> Any:
        """What the rule remembers of vectors with D numbers before the first call: a tree of tensors and numbers."""
        return None

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        """One vector from those of these nodes, and what the rule remembers now."""
        return self.reduce(u_KD), state

    def require(self, finite: int, all: int) -> None:
        """Errors: ``BadInput`` if these are fewer updates than the rule's guarantee needs: finite ones, of so many."""
        if finite < self.least():
            beside = f" (of {all}: {all - finite} are not finite)" if finite < all else ""
            raise BadInput(
                f"{self} needs {self.breakdown}, at least {self.least()} finite updates; got {finite}{beside}: "
                "ask a larger cohort, or withstand fewer dishonest nodes"
            )

    # -- as an aggregator ------------------------------------------------------------------------------------------

    def empty(self) -> list[dict[str, Any]]:
        return []

    def add(self, acc: list[dict[str, Any]], u: Update) -> list[dict[str, Any]]:
        acc.append({"node": u.node, "parts": dict(u.value())})
        return acc

    def merge(self, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return a + b

    def init(self, shapes: Shapes) -> Any:
        state = {}
        for name, parts in _vectors(shapes).items():
            state[name] = self.begin(sum(math.prod(shapes[p][0]) for p in parts))
        return None if all(s is None for s in state.values()) else state

    def read(self, acc: list[dict[str, Any]], state: Any) -> tuple[Tensors, Any]:
        return self.judge(acc, state)[:2]

    def judge(self, acc: list[dict[str, Any]], state: Any) -> tuple[Tensors, Any, dict[int, Suspicion]]:
        """What ``read`` answers, and how far every node's update was left out and off.

        The accumulator is taken apart, so that there is room for the stack.
        """
        rows = sorted(acc, key=lambda row: row["node"])
        acc.clear()
        if not rows:
            return {}, state, {}
        shapes, vectors = shapes_of(rows[0]["parts"]), _vectors(shapes_of(rows[0]["parts"]))
        suspicions = {row["node"]: Suspicion(1.0, math.inf) for row in rows}
        stacks = {name: _stacked(rows, parts) for name, parts in vectors.items()}
        good_K = torch.stack([finite_rows(u_KD) for u_KD in stacks.values()]).all(0)
        nodes = [row["node"] for row, good in zip(rows, good_K.tolist(), strict=True) if good]
        self.require(len(nodes), len(rows))
        out: dict[str, Tensor] = {}
        after = {}
        for name, parts in vectors.items():
            u_KD = stacks.pop(name)
            u_KD = u_KD if len(nodes) == len(rows) else u_KD[good_K]
            before = self.begin(u_KD.shape[1]) if state is None else state[name]
            reduced, after[name] = self._reduced(u_KD, nodes, before)
            at = 0
            for p in parts:
                shape, dtype = shapes[p]
                size = math.prod(shape)
                out[p] = reduced.u_D[at : at + size].to(dtype).view(shape)
                at += size
            if name == NUMBERS or NUMBERS not in after:
                suspicions |= dict(zip(nodes, _suspicions(u_KD, reduced), strict=True))
        forgetful = all(s is None for s in after.values())
        return {p: out[p] for p in shapes}, None if forgetful else after, suspicions

    def __call__(self, u_KD: Tensor, weights_K: Sequence[float] | Tensor | None = None) -> Tensor:
        """Aggregate K updates of D numbers. Weights are ignored, the input is not changed."""
        u_KD = torch.as_tensor(u_KD).detach()
        if weights_K is not None and len(weights_K) != len(u_KD):
            raise BadInput(f"{len(u_KD)} updates have {len(weights_K)} weights: give one each, or none")
        d = math.prod(u_KD.shape[1:])
        stack = u_KD.reshape(len(u_KD), d)
        with serial():  # torch's threads and ours would wait for each other
            good = torch.nonzero(finite_rows(stack)).flatten().tolist()
            self.require(len(good), len(stack))
            reduced, _ = self._reduced(stack if len(good) == len(stack) else stack[good], good, self.begin(d))
        return reduced.u_D.to(u_KD.dtype).view(u_KD.shape[1:])

    # -- inside ----------------------------------------------------------------------------------------------------

    def _reduced(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        """Where a rule's own sums overflow, its answer is that in float64: between finite numbers it is finite."""
        if u_KD.dtype not in (torch.float32, torch.float64):  # half precision, and whole numbers
            u_KD = u_KD.float() if u_KD.is_floating_point() else u_KD.double()
        if not u_KD.shape[1]:
            return Joined(u_KD[0], torch.zeros(len(u_KD))), state
        reduced, after = self.step(u_KD, nodes, state)
        if finite({"u": reduced.u_D}) or u_KD.dtype is torch.float64:
            return reduced, after
        wide, after = self.step(u_KD.double(), nodes, state)
        u_D = reduced.u_D.where(torch.isfinite(reduced.u_D), wide.u_D.to(reduced.u_D.dtype))
        return Joined(u_D, wide.left_out_K), after


@dataclass(frozen=True)
class Withstands(Rule):
    """Base of rules that are made for ``f`` dishonest nodes, and need n >= a f + b updates: ``needs`` is (a, b)."""

    f: int = 1
    needs: ClassVar[tuple[int, int]] = (2, 1)

    def __post_init__(self) -> None:
        if isinstance(self.f, bool) or not isinstance(self.f, int) or self.f < 0:
            raise BadInput(
                f"f, how many dishonest nodes are withstood, must be a whole number from 0 up; got {self.f!r}"
            )

    @property
    def breakdown(self) -> str:
        times, more = self.needs
        return f"n >= {times}f + {more}"

    def least(self) -> int:
        times, more = self.needs
        return times * self.f + more


def _vectors(shapes: Shapes) -> dict[str, list[str]]:
    """Which parts are one vector to the rule."""
    vectors: dict[str, list[str]] = {}
    for part, (_, dtype) in shapes.items():
        vectors.setdefault(NUMBERS if holds_numbers(part, dtype) else part, []).append(part)
    return vectors


def _stacked(rows: list[dict[str, Any]], parts: list[str]) -> Tensor:
    """Parts of every node side by side (K, D). What has been copied is forgotten."""
    sizes = [rows[0]["parts"][p].numel() for p in parts]
    dtype = rows[0]["parts"][parts[0]].dtype
    for p in parts:
        dtype = torch.promote_types(dtype, rows[0]["parts"][p].dtype)
    u_KD = torch.empty(len(rows), sum(sizes), dtype=dtype)
    for u_D, row in zip(u_KD, rows, strict=True):
        for p, into in zip(parts, u_D.split(sizes), strict=True):
            into.copy_(row["parts"].pop(p).reshape(-1))
    return u_KD


def _suspicions(u_KD: Tensor, reduced: Joined) -> list[Suspicion]:
    """By row: what was left out of it, and its distance from the answer in units of the middle one of all rows."""
    far_K = distances_from(u_KD, reduced.u_D)
    middle = float(far_K.quantile(0.5))
    off_K = [f / middle if middle > 0 else (0.0 if f == 0 else math.inf) for f in far_K.tolist()]
    left_K = reduced.left_out().clamp(0, 1).tolist()
    return [Suspicion(left, off) for left, off in zip(left_K, off_K, strict=True)]
