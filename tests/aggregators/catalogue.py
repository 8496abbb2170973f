"""Every rule that withstands dishonest nodes, with what theory says of it.

kappa: with S the honest ones of n updates, f of which are anybody's,

    ||rule - mean_S||^2 <= kappa / |S| * sum over S of ||u - mean_S||^2            ((f, kappa)-robust averaging).

Of the median, trimmed mean, geometric median and Krum it is that of Allouah et al. 2023 (arXiv:2302.01772, table 1), of
NNM that of its lemma 5. Others are proved here: sets of n - f updates share n - 2f with S, and what is in one and not
in the other are at most f, each as near to something as one of S.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import foedus as fd
from foedus.aggregators import (
    ARC,
    CAF,
    CGE,
    MDA,
    NNM,
    RFA,
    SMEA,
    Bucketing,
    Bulyan,
    CenteredClipping,
    FoolsGold,
    GeometricMedian,
    Krum,
    MeaMed,
    Median,
    MoNNA,
    MultiKrum,
    NormBound,
    TrimmedMean,
)
from foedus.aggregators.fltrust import Rooted

ROOT_UPDATE = fd.Update(
    {"delta": torch.tensor([0.3, -0.2, 0.5, 0.1, 0.2, -0.4]), "buffers": torch.tensor([0.1, 0.2])}, 1.0
)


def _median(n: int, f: int) -> float:
    return 4 * (1 + f / (n - 2 * f)) ** 2


def _trimmed(n: int, f: int) -> float:
    return 6 * f / (n - 2 * f) * (1 + f / (n - 2 * f))


def _krum(n: int, f: int) -> float:
    return 6 * (1 + f / (n - 2 * f))


def _multi_krum(n: int, f: int) -> float:
    """A dishonest update that is chosen scores no more than the worst honest one, whose neighbours are at most the
    honest ones: (n - f + 1) V, V being the sum in the bound. At least n - 2f - 1 honest ones are among its own
    neighbours.
    """
    return 2 * f / (n - f) * (2 * f * (n - f + 2) / (n - 2 * f - 1) + 1)


def _mda(n: int, f: int) -> float:
    """The chosen set and S share an update, so that all are within twice the diameter of S, and that squared is 2 V."""
    return 8 * f**2 / (n - f)


def _around(n: int, f: int) -> float:
    """Chosen values are as near to the median as honest ones that are not chosen."""
    return 4 * f / (n - f) * (1 + _median(n, f))


def _monna(n: int, f: int) -> float:
    """Chosen updates are as near to the pivot as honest ones that are not chosen, and the pivot is as far off as V."""
    return 4 * f / (n - f) * (1 + n - f)


def _bulyan(n: int, f: int) -> float:
    """At a coordinate, chosen values are as near to a value between honest ones as honest ones are."""
    return 8 * (n - f)


def _smea(n: int, f: int) -> float:
    """The means of both sets are within sqrt(f / (n - 2f) * variance) of that of what they share."""
    return 4 * f / (n - 2 * f)


def _caf(n: int, f: int) -> float:
    """As long as more weight was taken from dishonest updates than from honest ones, these have n - 2f left, and the
    mean is within sqrt(r) (sqrt(variance) + sqrt(honest variance)) of theirs, r = f / (n - 2f). More is taken from
    honest ones only if half of the variance is theirs: (1 + r) (1 + r (y + 1)^2) >= y^2 / 2, y^2 being the one variance
    over the other. The answer has no more variance than there is then, and weights of more than n - 2f.
    """
    r = f / (n - 2 * f)
    a, b, c = 0.5 - r * (1 + r), -2 * r * (1 + r), -(1 + r) * (1 + r)
    assert a > 0, "too many dishonest nodes for this bound"
    y = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    return f / (n - 3 * f) * (y + math.sqrt(2)) ** 2


def _nnm(inner: Callable[[int, int], float]) -> Callable[[int, int], float]:
    return lambda n, f: 8 * f / (n - f) * (1 + inner(n, f))


def _arc(inner: Callable[[int, int], float]) -> Callable[[int, int], float]:
    """Clipping moves no two updates apart, and the honest mean by at most sqrt(2 f / (n - 2f) * V / |S|)."""
    return lambda n, f: (math.sqrt(inner(n, f)) + math.sqrt(2 * f / (n - 2 * f))) ** 2


@dataclass(frozen=True)
class Case:
    """A rule and its theory.

    ``make``         the rule that withstands f nodes.
    ``least``        fewest updates with which it does, by f.
    ``kappa``        by n and f, or None where there is none.
    ``reach``        where there is none: how far its answer can be from the honest mean, by the honest
                     updates, n and f.
    ``translates``   moves with the updates.
    ``unanimous``    n - f equal updates are its answer, whatever the others are.
    ``between``      its answer is between honest values at every coordinate.
    ``symmetric``    which node sent which update makes no difference: it trusts none, draws no lots, and has no ties.
    ``idempotent``   equal updates are its answer.
    ``tolerance``    how far equal answers may be apart.
    """

    make: Callable[[int], Any]
    least: Callable[[int], int] = lambda f: 2 * f + 1
    kappa: Callable[[int, int], float] | None = None
    reach: Callable[[Tensor, int, int], float] | None = None
    translates: bool = True
    unanimous: bool = True
    between: bool = False
    symmetric: bool = True
    idempotent: bool = True
    tolerance: float = 1e-5


RADIUS = 3.0
"""Of what is clipped: longer than honest updates are here."""


def _clipped(u_SD: Tensor, n: int, f: int) -> float:
    """n - f honest updates, and f of length RADIUS, over n."""
    return f / n * (RADIUS + float(u_SD.mean(0).norm()))


def _shortest(u_SD: Tensor, n: int, f: int) -> float:
    """What is chosen is no longer than the longest honest one."""
    return float(u_SD.norm(dim=1).max()) + float(u_SD.mean(0).norm())


def _root(u_SD: Tensor, n: int, f: int) -> float:
    """What is trusted is as long as the root's."""
    return float(ROOT_UPDATE["delta"].norm()) + float(u_SD.mean(0).norm())


def _range(u_SD: Tensor, n: int, f: int) -> float:
    """At every coordinate it is between honest values, as their mean is."""
    return float((u_SD.amax(0) - u_SD.amin(0)).norm())


CASES: dict[str, Case] = {
    "Median": Case(lambda f: Median(), kappa=_median, between=True),
    "TrimmedMean": Case(TrimmedMean, kappa=_trimmed, between=True),
    "GeometricMedian": Case(lambda f: GeometricMedian(), kappa=_median, tolerance=2e-3),
    "Krum": Case(Krum, lambda f: 2 * f + 3, kappa=_krum),
    "MultiKrum": Case(MultiKrum, lambda f: 2 * f + 3, kappa=_multi_krum),
    # Ties are no accident where few are left that have one neighbour, and where sets share their most distant pair.
    "Bulyan": Case(Bulyan, lambda f: 4 * f + 3, kappa=_bulyan, symmetric=False),
    "MDA": Case(MDA, kappa=_mda, symmetric=False),
    "MeaMed": Case(MeaMed, kappa=_around),
    "MoNNA": Case(MoNNA, kappa=_monna, symmetric=False),
    "CAF": Case(CAF, kappa=_caf),
    "SMEA": Case(SMEA, kappa=_smea),
    "NNM, TrimmedMean": Case(lambda f: NNM(f, TrimmedMean(f)), kappa=_nnm(_trimmed)),
    "NNM, Krum": Case(lambda f: NNM(f, Krum(f)), lambda f: 2 * f + 3, kappa=_nnm(_krum)),
    "ARC, TrimmedMean": Case(lambda f: ARC(f, TrimmedMean(f)), kappa=_arc(_trimmed), translates=False),
    "ARC, NNM, Median": Case(lambda f: ARC(f, NNM(f, Median())), kappa=_arc(_nnm(_median)), translates=False),
    "Bucketing, Median": Case(
        lambda f: Bucketing(2, Median()), lambda f: 4 * f + 1, reach=_range, between=True, symmetric=False
    ),
    "CGE": Case(CGE, reach=_shortest, translates=False, unanimous=False),
    "NormBound": Case(lambda f: NormBound(RADIUS), lambda f: 1, reach=_clipped, translates=False, unanimous=False),
    "NormBound, Median": Case(lambda f: NormBound(RADIUS, Median()), kappa=_median, translates=False),
    "CenteredClipping": Case(
        lambda f: CenteredClipping(RADIUS), lambda f: 1, reach=_clipped, translates=False, unanimous=False
    ),
    "FLTrust": Case(
        lambda f: Rooted(ROOT_UPDATE), lambda f: 1, reach=_root, translates=False, unanimous=False, idempotent=False
    ),
    "FoolsGold": Case(lambda f: FoolsGold(), lambda f: 1, translates=False, unanimous=False, idempotent=False),
    "RFA": Case(lambda f: RFA(), unanimous=False),
}
"""Rules by name. Those with neither ``kappa`` nor ``reach`` promise nothing against nodes that act on their own."""


def reach(case: Case, honest_SD: Tensor, n: int, f: int) -> float:
    """How far f dishonest nodes can put a rule's answer from the honest mean."""
    if case.kappa is None:
        assert case.reach is not None
        return case.reach(honest_SD, n, f)
    spread = float((honest_SD - honest_SD.mean(0)).square().sum(1).mean())
    return math.sqrt(case.kappa(n, f) * spread)
