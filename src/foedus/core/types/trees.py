"""Trees of tensors, split into plain values and a list of tensors, and put together again.

One codec for every place where values leave a process without pickle: checkpoints, worker channels, the network.
A tree is made of tensors, NumPy arrays, numbers, strings, bytes, ``None``, and dicts, lists, tuples and States
of trees. The plain half holds only JSON types tagged where JSON has no type of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.state import State

_TAG = "~"


def flatten(tree: Any) -> tuple[Any, list[Tensor]]:
    """``(plain, tensors)``: ``plain`` is JSON-like and names each tensor by its place in the list.

    Raises ``BadInput`` with the place of a value that a checkpoint cannot hold.
    """
    tensors: list[Tensor] = []
    return _flatten(tree, tensors, ""), tensors


def _flatten(tree: Any, tensors: list[Tensor], where: str) -> Any:
    if isinstance(tree, Tensor):
        tensors.append(tree.detach())
        return {_TAG: "t", "i": len(tensors) - 1}
    if isinstance(tree, np.generic):
        tree = tree.item()
    if tree is None or isinstance(tree, bool | str):
        return tree
    if isinstance(tree, bytes):
        return {_TAG: "b", "v": tree.hex()}
    if isinstance(tree, int):
        return int(tree)
    if isinstance(tree, float):
        # JSON has no NaN or infinity.
        return float(tree) if abs(tree) < float("inf") else {_TAG: "f", "v": repr(float(tree))}
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "biuf":
        tensors.append(torch.from_numpy(np.ascontiguousarray(tree).reshape(tree.shape)))
        return {_TAG: "a", "i": len(tensors) - 1}
    if isinstance(tree, State):
        return {_TAG: "s", "v": {k: _flatten(v, tensors, f"{where}.{k}") for k, v in tree}}
    if isinstance(tree, dict):
        if all(type(k) is str for k in tree) and _TAG not in tree:
            return {k: _flatten(v, tensors, f"{where}[{k!r}]") for k, v in tree.items()}
        pairs = [[_flatten(k, tensors, where), _flatten(v, tensors, f"{where}[{k!r}]")] for k, v in tree.items()]
        return {_TAG: "d", "v": pairs}
    if type(tree) is tuple:
        return {_TAG: "u", "v": [_flatten(v, tensors, f"{where}[{i}]") for i, v in enumerate(tree)]}
    if type(tree) is list:
        return [_flatten(v, tensors, f"{where}[{i}]") for i, v in enumerate(tree)]
    kind = f"NumPy array of {tree.dtype}" if isinstance(tree, np.ndarray) else type(tree).__name__
    raise BadInput(
        f"{where or 'the value'} is a {kind}, which a checkpoint cannot hold: use tensors, "
        "numbers, strings, None, and dicts, lists, tuples or States of these"
    )


def unflatten(plain: Any, tensors: list[Tensor]) -> Any:
    """The tree that ``flatten`` took apart. Errors: ``BadInput`` if ``plain`` did not come from ``flatten``."""
    if isinstance(plain, list):
        return [unflatten(v, tensors) for v in plain]
    if not isinstance(plain, dict):
        return plain
    tag = plain.get(_TAG)
    if tag is None:
        return {k: unflatten(v, tensors) for k, v in plain.items()}
    if tag == "t":
        return tensors[plain["i"]]
    if tag == "a":
        return tensors[plain["i"]].numpy()
    if tag == "b":
        return bytes.fromhex(plain["v"])
    if tag == "f":
        return float(plain["v"])
    if tag == "s":
        return State(**{k: unflatten(v, tensors) for k, v in plain["v"].items()})
    if tag == "u":
        return tuple(unflatten(v, tensors) for v in plain["v"])
    if tag == "d":
        return {unflatten(k, tensors): unflatten(v, tensors) for k, v in plain["v"]}
    raise BadInput(f"unknown tag {tag!r} in a stored tree: was it written by a newer foedus?")


def owned(tree: Any) -> Any:
    """The tree with tensors of its own memory. One that came in a message holds the whole message's."""
    plain, tensors = flatten(tree)
    return unflatten(plain, [t.clone() for t in tensors])
