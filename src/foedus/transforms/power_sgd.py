"""PowerSGD: a matrix as the product of two thin ones.

Legend: N x M a parameter's matrix, R the rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout, Slot
from foedus.core.types.transform import LOSSLESS, Contraction, Identity, Sends, Shapes, Transform, holds_numbers
from foedus.core.types.update import Update


@dataclass(frozen=True)
class PowerSGD(Identity):
    """Send every weight matrix U as P (N, R) and Q (M, R), U ~ P Q^T, R being ``rank``; biases travel as they are.

    One step of subspace iteration: P = an orthonormal basis of U Q, Q = U^T P, with Q kept at the node as the next
    step's start (Vogels et al. 2019, arXiv:1905.13727, Algorithm 1). P Q^T is the projection of U to R columns, so that
    a matrix of rank R or less arrives whole. Biased: wrap it in ``ErrorFeedback``, as the paper does.

    The paper reduces P and Q over all nodes in two rounds of messages: their subspace is the nodes' common one, and the
    aggregate has rank R. Here each node has a subspace of its own, one message goes up, the coordinator multiplies, and
    the aggregate of K nodes has rank K R at most. For one node the two are the same. Bytes up are the same.

    A tensor of more than two dimensions is a matrix of its first one by all others. One that would not get smaller
    travels as it is. Which numbers are a matrix is known from the model's layout (``fit``), or from a part's own shape.
    """

    rank: int = 2
    slots: tuple[Slot, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadInput(f"the rank of PowerSGD must be at least 1, got {self.rank}")

    @property
    def takes(self) -> Sends:
        return Sends.VECTOR  # the next step's start belongs to these columns

    @property
    def sends(self) -> Sends:
        return Sends.CODE

    def fit(self, layout: Layout) -> Transform:
        return replace(self, slots=tuple(s for s in layout.slots if s.stop <= layout.parameters))

    def contraction(self, shapes: Shapes) -> Contraction | None:
        numbers = [shape for name, (shape, dtype) in shapes.items() if holds_numbers(name, dtype)]
        # A projection never leads further away, but the columns that were kept last time may be the wrong ones now.
        thin = any(p.thin(self.rank) for shape in numbers for p in self._pieces(shape))
        return Contraction(0.0) if thin else LOSSLESS

    def wire(self, shapes: Shapes) -> Shapes:
        return {
            name: ((sum(p.sent(self.rank) for p in self._pieces(shape)),), dtype)
            if holds_numbers(name, dtype)
            else (shape, dtype)
            for name, (shape, dtype) in shapes.items()
        }

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        parts, after = {}, {}
        for name, v in u.parts.items():
            if not holds_numbers(name, v.dtype):
                parts[name] = v
                continue
            sent = []
            for i, (piece, v_S) in enumerate(self._split(v.reshape(-1), tuple(v.shape))):
                if not piece.thin(self.rank):
                    sent.append(v_S)
                    continue
                place = f"{name}:{i}"
                # All nodes start from the same numbers, whatever the experiment's seed.
                q_MR = state.get(place, None)
                if q_MR is None:
                    q_MR = torch.from_numpy(Key(0).child("power_sgd", i).numpy().normal(size=(piece.m, self.rank)))
                p_NR, q_MR = _step(v_S.double().view(piece.n, piece.m), q_MR.double(), v.dtype)
                sent += [p_NR.reshape(-1), q_MR.reshape(-1)]
                after[place] = q_MR
            parts[name] = torch.cat(sent) if sent else v.reshape(-1)
        return u.with_parts(parts), after

    def decode(self, u: Update, shapes: Shapes) -> Update:
        parts = {}
        for name, (shape, dtype) in shapes.items():
            if not holds_numbers(name, dtype):
                parts[name] = u[name]
                continue
            whole, at = [], 0
            for piece in self._pieces(shape):
                sent = u[name][at : at + piece.sent(self.rank)]
                at += len(sent)
                if piece.thin(self.rank):
                    p_NR, q_MR = sent[: piece.n * self.rank].view(piece.n, -1), sent[piece.n * self.rank :]
                    sent = (p_NR @ q_MR.view(piece.m, -1).T).reshape(-1)
                whole.append(sent)
            parts[name] = (torch.cat(whole) if whole else u[name]).view(shape)
        return u.with_parts(parts)

    def _pieces(self, shape: tuple[int, ...]) -> list[_Piece]:
        """The tensors that a part of this shape is made of."""
        if len(shape) < 2 and self.slots and self.slots[-1].stop == math.prod(shape):
            return [_Piece.of(s.shape) for s in self.slots]
        return [_Piece.of(shape)]

    def _split(self, v_D: Tensor, shape: tuple[int, ...]) -> Iterator[tuple[_Piece, Tensor]]:
        at = 0
        for piece in self._pieces(shape):
            yield piece, v_D[at : at + piece.n * piece.m]
            at += piece.n * piece.m


@dataclass(frozen=True)
class _Piece:
    """A tensor as a matrix of n rows and m columns; a vector is one row."""

    n: int
    m: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Piece:
        return cls(shape[0], math.prod(shape[1:])) if len(shape) > 1 else cls(1, math.prod(shape))

    def thin(self, rank: int) -> bool:
        """Whether two factors are less than the matrix."""
        return rank * (self.n + self.m) < self.n * self.m

    def sent(self, rank: int) -> int:
        """How many numbers travel."""
        return rank * (self.n + self.m) if self.thin(rank) else self.n * self.m


def _step(u_NM: Tensor, q_MR: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One step of subspace iteration in float64, where nothing overflows; the factors as they travel."""
    # The basis of Q instead of Q: the subspace is the same, and it stays R wide after an update of lower rank.
    p_NR = torch.linalg.qr(u_NM @ torch.linalg.qr(q_MR).Q).Q.to(dtype)
    largest = torch.finfo(dtype).max
    return p_NR, (u_NM.T @ p_NR.double()).clamp(-largest, largest).to(dtype)
