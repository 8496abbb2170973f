"""Inner products and distances of K vectors of D numbers, from matrix products of blocks that fit a cache.

Shapes: K updates, D numbers each; g_KK inner products, d_KK squared distances, both float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foedus.aggregators.strips import in_blocks, over_strips

TRUSTED = 1 / 16
"""A squared distance is taken from inner products if it is at least this share of the two squared lengths. If it is
less, too few digits are left of the difference, and it is computed about one of the two."""

TRUSTED_WIDE = 1e-8
"""The same for products in float64."""

TINY = 1e-30
"""Squared lengths below this are computed in float64, as are those that overflow float32."""


def gram(u_KD: Tensor, *, rows: Tensor | None = None, about: int | None = None, wide: bool = False) -> Tensor:
    """Inner products (K, K) of the rows, or of what they differ by from row ``about``: float64.

    ``rows``  the numbers of the rows that are meant, all by default.
    ``wide``  multiply in float64; else in the stack's dtype, and again in float64 where that overflows or vanishes.
              Blocks are added up in float64 either way.
    """
    dtype = torch.float64 if wide else u_KD.dtype
    k = len(u_KD) if rows is None else len(rows)

    def block_of(columns: slice) -> Tensor:
        b_KC = (u_KD[:, columns] if rows is None else u_KD[rows, columns]).to(dtype)
        if about is None:
            return b_KC
        about_C = u_KD[about, columns].to(dtype)
        return b_KC - about_C if b_KC.data_ptr() == u_KD[:, columns].data_ptr() else b_KC.sub_(about_C)

    def of(strip: slice) -> Tensor:
        g_KK = torch.zeros(k, k, dtype=torch.float64)
        for columns in in_blocks(k * dtype.itemsize // 4, strip):
            b_KC = block_of(columns)
            g_KK += b_KC @ b_KC.T
        return g_KK

    g_KK = torch.stack(over_strips(k, u_KD.shape[1], of)).sum(0)
    if dtype is torch.float64:
        return g_KK
    small_K = g_KK.diagonal() < TINY
    if bool(torch.isfinite(g_KK).all()) and not (bool(small_K.any()) and _vanished(u_KD, rows, about, small_K)):
        return g_KK
    return gram(u_KD, rows=rows, about=about, wide=True)


def _vanished(u_KD: Tensor, rows: Tensor | None, about: int | None, small_K: Tensor) -> bool:
    """Whether a row whose length is almost 0 is not 0."""
    numbers = torch.nonzero(small_K).flatten() if rows is None else rows[small_K]
    zero_D = torch.zeros((), dtype=u_KD.dtype) if about is None else u_KD[about]
    return any(not bool((u_KD[n] == zero_D).all()) for n in numbers.tolist())


def squared_distances(u_KD: Tensor, g_KK: Tensor | None = None) -> Tensor:
    """Squared distances (K, K) of the rows: float64, symmetric, 0 between equal rows.

    ``g_KK``  their inner products in float64, about whichever row, where they are at hand.

    From one Gram matrix, ||u||^2 + ||v||^2 - 2 u.v. Where the two are close to each other and far from 0 that is a
    difference of almost equal numbers: those rows are taken about one of them, until no pair is left. Rows that are as
    far from 0 as from each other need one product, a cluster of them one more.
    """
    d_KK, close_KK = _from_gram(gram(u_KD), TRUSTED) if g_KK is None else _from_gram(g_KK, TRUSTED_WIDE)
    while bool(close_KK.any()):
        about = int(close_KK.sum(1).argmax())
        near_K = close_KK[about].clone()
        near_K[about] = True
        rows = torch.nonzero(near_K).flatten()
        again_NN, still_NN = _from_gram(gram(u_KD, rows=rows, about=about), TRUSTED)
        at = int((rows < about).sum())
        still_NN[at], still_NN[:, at] = False, False  # lengths about a row are its distances
        pairs = torch.meshgrid(rows, rows, indexing="ij")
        mend_NN = close_KK[pairs]
        d_KK[pairs] = torch.where(mend_NN, again_NN, d_KK[pairs])
        close_KK[pairs] = mend_NN & still_NN
    return d_KK


def _from_gram(g_KK: Tensor, trusted: float) -> tuple[Tensor, Tensor]:
    """Squared distances, and which of them have lost too many digits."""
    g_KK = (g_KK + g_KK.T) / 2
    both_KK = g_KK.diagonal()[:, None] + g_KK.diagonal()[None, :]
    d_KK = (both_KK - 2 * g_KK).clamp_(min=0)
    close_KK = (d_KK < trusted * both_KK) & ~torch.eye(len(g_KK), dtype=torch.bool)
    return d_KK.fill_diagonal_(0), close_KK


def combined(m_LK: Tensor, u_KD: Tensor) -> Tensor:
    """L linear combinations of the rows (L, D), by a matrix of coefficients (L, K)."""
    k, d = u_KD.shape
    m_LK = m_LK.to(u_KD.dtype)
    out_LD = u_KD.new_empty(len(m_LK), d)

    def of(strip: slice) -> None:
        for columns in in_blocks(k, strip):
            torch.mm(m_LK, u_KD[:, columns], out=out_LD[:, columns])

    over_strips(k, d, of)
    return out_LD


def distances_from(u_KD: Tensor, v_D: Tensor) -> Tensor:
    """How far every row is from a vector: (K,) float64."""
    k, d = u_KD.shape

    def of(strip: slice) -> Tensor:
        s_K = torch.zeros(k, dtype=torch.float64)
        for columns in in_blocks(k, strip):
            c_KC = u_KD[:, columns] - v_D[columns]
            squares_K = c_KC.square().sum(1, dtype=torch.float64)
            if not bool(torch.isfinite(squares_K).all()):
                squares_K = (u_KD[:, columns].double() - v_D[columns].double()).square().sum(1)
            s_K += squares_K
        return s_K

    return torch.stack(over_strips(k, d, of)).sum(0).sqrt_()
