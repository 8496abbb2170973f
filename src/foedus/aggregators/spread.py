"""How much vectors spread about their mean, from their squared distances alone.

Differences of far away vectors are in no entry but their own: those of a cluster keep their digits, however far off
others are.
"""

from __future__ import annotations

import torch
from torch import Tensor


def about_mean(d_KK: Tensor, share_K: Tensor) -> Tensor:
    """Inner products (..., K, K) of vectors about their mean by these shares (they sum to 1), of squared distances.

    With d_ij = ||u_i - u_j||^2 it is h_ij = -(d_ij - d_i - d_j + d) / 2, d_i and d being the means by the shares
    (Torgerson 1952, classical scaling).
    """
    row = (d_KK * share_K).sum(-1, keepdim=True)
    whole = (row.mT * share_K).sum(-1, keepdim=True)
    return -(d_KK - row - row.mT + whole) / 2


def widest(d_KK: Tensor) -> Tensor:
    """The largest eigenvalue of the covariance of vectors that count alike (...,), of squared distances (..., K, K)."""
    k = d_KK.shape[-1]
    alike = torch.full((k,), 1 / k, dtype=d_KK.dtype)
    largest: Tensor = torch.linalg.eigvalsh(about_mean(d_KK, alike))[..., -1]
    return largest / k
