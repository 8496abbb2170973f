"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.models.seeded import check_width, seeded


def mlp(
    *layers: int,
    widths: Sequence[int] | None = None,
    inputs: int | None = None,
    hidden: Sequence[int] | None = None,
    outputs: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """A perceptron with ReLU between its layers: (N, first width) to (N, last width).

    ``mlp(64, 32, 10)``, ``mlp(widths=[64, 32, 10])`` and ``mlp(inputs=64, hidden=[32], outputs=10)`` are the same.
    In the last spelling ``hidden`` is ``[64]`` if it is not given; ``[]`` is a single linear layer.
    Errors: ``BadInput`` for fewer than two widths, a width below 1, or two spellings at once.

    >>> mlp(64, 32, 10)
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=10, bias=True)
    )
    """
    named = (inputs, hidden, outputs) != (None, None, None)
    if bool(layers) + (widths is not None) + named > 1:
        raise BadInput(
            "mlp: give the widths once, all of them by ",
            _such({"widths": [64, 32, 10]}),
            ", or by ",
            _such({"inputs": 64, "hidden": [32], "outputs": 10}),
        )
    if named:
        if inputs is None or outputs is None:
            raise BadInput(
                "mlp needs inputs and outputs beside hidden, such as ",
                _such({"inputs": 64, "hidden": [32], "outputs": 10}),
                f"; got inputs {inputs}, outputs {outputs}",
            )
        layers = (inputs, *_listed("hidden", (64,) if hidden is None else hidden), outputs)
    elif widths is not None:
        layers = _listed("widths", widths)
    if len(layers) < 2:
        raise BadInput(f"mlp needs at least two widths, inputs and outputs, such as mlp(64, 10); got {list(layers)}")
    for position, width in enumerate(layers):
        check_width(f"mlp: width {position}", width)

    def build() -> nn.Module:
        stack: list[nn.Module] = []
        for a, b in pairwise(layers):
            stack += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*stack[:-1])  # no ReLU after the last

    return seeded(build, seed)


def _such(sizes: dict[str, int | list[int]]) -> Option:
    """The network with these sizes, as advice."""
    return Option("network", {"mlp": sizes}, "model", f"mlp({', '.join(f'{k}={v}' for k, v in sizes.items())})")


def _listed(name: str, widths: Sequence[int]) -> tuple[int, ...]:
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise BadInput(f"mlp: {name} must be a list such as [64, 32, 10], got {widths!r}")
    return tuple(widths)


def two_nn(inputs: int = 784, classes: int = 10, *, seed: int = 0) -> nn.Module:
    """The 2NN: two hidden layers of 200 units, (N, inputs) to (N, classes) logits; 199,210 parameters as it stands.

    Source: McMahan et al., 2017, arXiv:1602.05629, section 3. Errors: ``BadInput`` for a width below 1.

    >>> sum(p.numel() for p in two_nn().parameters())
    199210
    """
    check_width("two_nn: inputs", inputs)
    check_width("two_nn: classes", classes)
    return mlp(inputs, 200, 200, classes, seed=seed)
