"""A stack of dense layers, and how it is divided among nodes that all see the same rows.

Layers are taken in pairs (Shoeybi et al. 2019, arXiv:1909.08053, section 3): a node has some outputs of the first, with
their biases, and the same inputs of the second. What it computes of the second layer's output is a summand, and the sum
over the nodes is the output. Where the number of layers is odd, the first is alone, divided by its inputs: by features.

Legend: F inputs of a layer, C its outputs, H what lies between the layers of a pair, K nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.model import Layout, Slot


@dataclass(frozen=True)
class Dense:
    """One layer: where its weight (C, F) lies in the flat vector, and its bias (C,), if it has one."""

    weight: Slot
    bias: Slot | None

    @property
    def outputs(self) -> int:
        """C."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """F."""
        return self.weight.shape[1]


@dataclass(frozen=True)
class Stage:
    """What ends in one sum over the nodes: a pair of layers, or one divided by its inputs (``column`` is None)."""

    column: Dense | None
    row: Dense

    @property
    def width(self) -> int:
        """What is divided: H, or the layer's inputs F."""
        return self.row.inputs

    @property
    def products(self) -> int:
        """Multiplications for one row, all nodes together."""
        return sum(layer.inputs * layer.outputs for layer in (self.column, self.row) if layer is not None)

    def block(self, nodes: int, node: int) -> slice:
        """The node's part of the width; sizes differ by at most one.

        >>> row = Dense(Slot("weight", 0, (1, 10)), None)
        >>> [Stage(None, row).block(3, k) for k in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
        """
        return slice(node * self.width // nodes, (node + 1) * self.width // nodes)


def stages_of(layout: Layout) -> tuple[Stage, ...]:
    """The stages of a model, the first first. Errors: ``BadInput`` for a model that is no stack of dense layers."""
    layers: list[Dense] = []
    slots = list(layout.slots)
    while slots:
        weight = slots.pop(0)
        bias = slots.pop(0) if slots and slots[0].shape == weight.shape[:1] else None
        fits = len(weight.shape) == 2 and (not layers or layers[-1].outputs == weight.shape[1])
        if not fits or layout.buffers:
            raise BadInput(
                f"{weight.name} {weight.shape} is no part of a stack of dense layers, and only such a model can be "
                "divided: use linear, logistic or mlp of foedus.models, with all layers trainable"
            )
        layers.append(Dense(weight, bias))
    alone = len(layers) % 2
    pairs = zip(layers[alone::2], layers[alone + 1 :: 2], strict=True)
    return (*(Stage(None, layer) for layer in layers[:alone]), *(Stage(a, b) for a, b in pairs))


def check_blocks(stages: Sequence[Stage], nodes: int) -> None:
    """Errors: ``BadInput`` where a node would get nothing of a stage."""
    for stage in stages:
        if stage.width < nodes:
            what = "features" if stage.column is None else f"outputs of {stage.column.weight.name}"
            raise BadInput(
                f"the {stage.width} {what} cannot be divided among {nodes} nodes, each needs one at least: "
                f"use {stage.width} nodes or fewer"
            )


def share(stages: Sequence[Stage], stage: Stage, nodes: int) -> float:
    """The part of the whole model's multiplications that the node with the largest block does in this stage."""
    return stage.products / sum(s.products for s in stages) * math.ceil(stage.width / nodes) / stage.width


def blocks(stages: Sequence[Stage], vector_D: Tensor, nodes: int, node: int) -> Iterator[tuple[str, Tensor]]:
    """A node's parameters by name, as views of the dense vector."""
    for i, stage in enumerate(stages):
        part = stage.block(nodes, node)
        if stage.column is not None:
            yield f"column{i}", _view(vector_D, stage.column.weight)[part]
            if stage.column.bias is not None:
                yield f"bias{i}", _view(vector_D, stage.column.bias)[part]
        yield f"row{i}", _view(vector_D, stage.row.weight)[:, part]


def largest(stages: Sequence[Stage], nodes: int) -> int:
    """Parameters of the node that has the most."""
    shape = torch.empty(max(layer.stop for s in stages for layer in _slots(s)), device="meta")
    return max(sum(b.numel() for _, b in blocks(stages, shape, nodes, node)) for node in range(nodes))


def put_back(stages: Sequence[Stage], vector_D: Tensor, nodes: int, node: int, part: Tensor) -> None:
    """Write a node's parameters, which come one after the other, to their places in the dense vector."""
    at = 0
    for _, view in blocks(stages, vector_D, nodes, node):
        view.copy_(part[at : at + view.numel()].view(view.shape))
        at += view.numel()


def output_biases(stages: Sequence[Stage], vector_D: Tensor) -> list[Tensor | None]:
    """The bias behind every stage's sum, as views: it is no node's, so that it is added once."""
    return [None if s.row.bias is None else _view(vector_D, s.row.bias) for s in stages]


def _slots(stage: Stage) -> Iterator[Slot]:
    for layer in (stage.column, stage.row):
        if layer is not None:
            yield layer.weight
            if layer.bias is not None:
                yield layer.bias


def _view(vector_D: Tensor, slot: Slot) -> Tensor:
    return vector_D[slot.start : slot.stop].view(slot.shape)
