"""The Synthetic(alpha, beta) data of the FedProx paper: classifiers and inputs that differ from node to node.

Legend: N rows of a node, F = 60 features, C = 10 classes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays

FEATURES, CLASSES = 60, 10


def synthetic(
    alpha: float = 1.0,
    beta: float = 1.0,
    nodes: int = 30,
    seed: int = 0,
    iid: bool = False,
    test: float | None = None,
    test_seed: int = 0,
) -> Dataset:
    """Synthetic(alpha, beta): every node labels inputs of its own by a linear classifier of its own.

    Node k has int(lognormal(4, 2)) + 50 rows x ~ N(v_k, diag(j^-1.2)) of 60 features, labelled
    argmax(softmax(W_k x + b_k)) among ten classes. W_k, b_k ~ N(u_k, 1) with u_k ~ N(0, alpha), and v_k ~ N(B_k, 1)
    with B_k ~ N(0, beta). ``alpha`` says how much the classifiers differ, ``beta`` how much the inputs do; both are
    variances (the authors' code takes them as deviations, which is the same at 0 and 1). ``iid``: one classifier
    W, b ~ N(0, 1) for all, and v_k = 0; alpha and beta are then not used.

    The node column is set: divide by ``Natural()``, and with ``holdout`` for test rows at every node. ``test`` is a
    fraction of all rows, held out for the coordinator, or None; ``test_seed`` picks the draw.
    Li et al., 2020, arXiv:1812.06127, section 5.1. Errors: ``BadInput`` for an option out of range.

    >>> from foedus.data import Natural
    >>> synthetic(0.5, 0.5, nodes=30).split(Natural(), holdout=0.2).nodes
    30
    """
    for name, value in (("alpha", alpha), ("beta", beta)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise BadInput(f"synthetic: {name} must be a variance, a number from 0 up; got {value!r}")
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
        raise BadInput(f"synthetic: nodes must be a positive integer, got {nodes!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadInput(f"synthetic: the seed must be an integer, got {seed!r}")
    if not isinstance(iid, bool):
        raise BadInput(f"synthetic: iid must be True or False, got {iid!r}")
    key = Key(seed).child("synthetic")
    drawn = [node_of(key, k, alpha, beta, iid) for k in range(nodes)]
    data = arrays(
        np.concatenate([x_NF for x_NF, _ in drawn]),
        np.concatenate([y_N for _, y_N in drawn]),
        node=np.repeat(np.arange(nodes), [len(y_N) for _, y_N in drawn]),
        test=test,
        test_seed=test_seed,
        classes=CLASSES,
    )
    return replace(data, name="synthetic(iid)" if iid else f"synthetic({alpha:g}, {beta:g})")


def classifier_of(key: Key, node: int, alpha: float, iid: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``W`` (C, F) and ``b`` (C,) of one node, or of all."""
    random = key.child("classifier", 0 if iid else node).numpy()
    u = 0.0 if iid else math.sqrt(alpha) * key.child("u", node).normal()
    return random.normal(u, 1, (CLASSES, FEATURES)), random.normal(u, 1, CLASSES)


def node_of(key: Key, node: int, alpha: float, beta: float, iid: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``x`` (N, F) and ``y`` (N,) of one node."""
    w_CF, b_C = classifier_of(key, node, alpha, iid)
    random = key.child("inputs", node).numpy()
    rows = int(random.lognormal(4, 2)) + 50
    v_F = np.zeros(FEATURES) if iid else random.normal(math.sqrt(beta) * key.child("B", node).normal(), 1, FEATURES)
    x_NF = random.normal(v_F, np.arange(1, FEATURES + 1) ** -0.6, (rows, FEATURES))  # variances j^-1.2
    return x_NF, (x_NF @ w_CF.T + b_C).argmax(1)  # softmax keeps the order
