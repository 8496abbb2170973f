"""Floating-point operations of a forward pass, counted as it runs.

torch has a counter of its own (``torch.utils.flop_counter``), but to enter it imports torch's compiler, which takes
longer than many a simulation. This one looks at the same operations one level higher; a test holds the two against
each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


def count_flops(run: Callable[[], Any]) -> int:
    """Operations of the matrix products, convolutions and recurrences in a call; a multiply-and-add is two.

    Everything else, such as activations and normalisation, is left out: it is small beside them.
    """
    counter = _Counter()
    with counter:
        run()
    return counter.flops


class _Counter(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.flops: int = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = _FORMULAS.get(getattr(func, "__name__", ""))
        if formula is not None:
            values = [*args, *(kwargs or {}).values()]
            self.flops += formula(out, [v for v in values if isinstance(v, Tensor)], values)
        return out


def _product(out: Tensor, tensors: list[Tensor], values: list[Any]) -> int:
    # The last two tensors are the factors: addmm and its like have a summand in front.
    return 2 * int(out.numel()) * int(tensors[-2].shape[-1])


def _linear(out: Tensor, tensors: list[Tensor], values: list[Any]) -> int:
    return 2 * out.numel() * int(tensors[1].shape[-1])


def _convolution(out: Tensor, tensors: list[Tensor], values: list[Any]) -> int:
    return 2 * out.numel() * math.prod(tensors[1].shape[1:])


def _transposed(out: Tensor, tensors: list[Tensor], values: list[Any]) -> int:
    return 2 * tensors[0].numel() * math.prod(tensors[1].shape[1:])


def _recurrence(out: Any, tensors: list[Tensor], values: list[Any]) -> int:
    # (input, state, weights, ...), or packed (input, batch sizes, state, weights, ...): an LSTM's state is a list too.
    weights = [v for v in values if isinstance(v, list | tuple)][-1]
    steps = tensors[0].numel() // int(tensors[0].shape[-1])
    return 2 * steps * sum(int(w.numel()) for w in weights if w.dim() > 1)


def _attention(out: Tensor, tensors: list[Tensor], values: list[Any]) -> int:
    query, key = tensors[0], tensors[1]
    return 4 * query.numel() * int(key.shape[-2])


_FORMULAS: dict[str, Callable[[Any, list[Tensor], list[Any]], int]] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "__matmul__", "__rmatmul__"), _product),
    **dict.fromkeys(("linear",), _linear),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrence),
    "scaled_dot_product_attention": _attention,
}
