"""All dishonest nodes are one of the honest ones.

Legend: K honest updates, D numbers of one, N nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from foedus.attacks.colluding import Colluding, Known, check_knows
from foedus.core.errors import BadInput
from foedus.core.types.update import Tensors


@dataclass(frozen=True)
class Mimic(Colluding):
    """Sends what one honest node sends, so that it counts many times and others' data less (Karimireddy, He and Jaggi
    2022, arXiv:2006.09365, section 3 and appendix B). On equal data it does nothing, and no rule can see it.

    ``node``    whom; where that is not in the call, nobody lies. None: whom the paper chooses, the node that is
                furthest out along z, the direction in which honest updates differ most. z is followed over the first
                ``warmup`` calls by Oja's rule (equation 5), from the first call's leading eigenvector where the paper
                begins at random.
    ``warmup``  after so many calls the node stays who it is.
    """

    node: int | None = None
    warmup: int = 20
    knows: Literal["honest", "coalition"] = "honest"

    def __post_init__(self) -> None:
        if self.warmup < 1:
            raise BadInput(f"warmup counts calls, from 1 up; got {self.warmup}")
        if self.node is not None and self.node < 0:
            raise BadInput(f"node is the id of an honest node, from 0 up; got {self.node}")
        check_knows(self.knows)

    def check(self, members: tuple[int, ...], nodes: int) -> None:
        if self.node is not None and (self.node in members or self.node >= nodes):
            what = "is dishonest itself" if self.node in members else f"is none of the {nodes} nodes"
            raise BadInput(f"Mimic(node={self.node}) copies an honest node, and node {self.node} {what}")

    def agree(self, known: Known, memory: Tensors) -> tuple[Tensor, Tensors]:
        if self.node is not None:
            if self.node not in known.ids:
                return known.own_MD, memory
            copied = known.ids.index(self.node)
        else:
            memory = self._watch(known, memory)
            score_N = memory["score"]
            there = [n for n in known.ids if n < len(score_N)]  # who has joined since was never watched
            copied = known.ids.index(max(there, key=lambda n: abs(float(score_N[n])))) if there else 0
        return known.seen_KD[copied].expand(known.dishonest, -1), memory

    def _watch(self, known: Known, memory: Tensors) -> Tensors:
        """What is remembered after this call: calls ``t``, mean ``mu`` (D,), ``z`` (D,), ``score`` (N,)."""
        t = int(memory["t"]) if memory else 0
        if t >= self.warmup:
            return memory
        mean_D = known.seen_KD.mean(0)
        if not t:
            mu_D, z_D, score_N = mean_D, _leading(known.seen_KD - mean_D), torch.zeros(known.nodes)
        else:
            mu_D = (t * memory["mu"] + mean_D) / (t + 1)
            off_KD = known.seen_KD - mu_D
            z_D, score_N = _normal(t * memory["z"] + (off_KD @ memory["z"]) @ off_KD), memory["score"]
        score_N = F.pad(score_N, (0, max(0, known.ids[-1] + 1 - len(score_N))))  # nodes may have joined
        along_K = (known.seen_KD - mu_D) @ z_D
        score_N = score_N.index_add(0, torch.tensor(known.ids, dtype=torch.int64), along_K.to(score_N.dtype))
        return {"t": torch.tensor(t + 1), "mu": mu_D, "z": z_D, "score": score_N}


def _leading(off_KD: Tensor) -> Tensor:
    """The direction (D,) of largest variance of centred rows, by their Gram matrix."""
    wide_KD = off_KD.double()
    _, vectors = torch.linalg.eigh(wide_KD @ wide_KD.T)
    return _normal((vectors[:, -1] @ wide_KD).to(off_KD.dtype))


def _normal(z_D: Tensor) -> Tensor:
    norm = float(z_D.norm())
    return z_D / norm if norm > 0 else z_D
