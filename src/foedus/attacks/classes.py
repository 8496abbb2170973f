"""Classes, as attacks on labels see them: what a label is of, and what a model takes a row for."""

from __future__ import annotations

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import Rows
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster


def classes_of(rows: Rows, model: Model) -> int | None:
    """How many classes the labels of some rows are of; None for a regression. The model's weights do not matter."""
    x, y = rows.batch(torch.zeros(1, dtype=torch.int64))
    if model.loss == "bce":
        return 2
    if y.is_floating_point():
        return None
    output = model.outputs(x)
    return int(output.shape[1]) if output.dim() == 2 and output.shape[1] > 1 else 2


def predicted(output: Tensor) -> Tensor:
    """The class of each row (N,) int64: the largest of several outputs, or whether the one output is positive."""
    if output.dim() == 2 and output.shape[1] > 1:
        return output.argmax(1)
    return (output.flatten() > 0).long()


def check_class(name: str, label: int | None, roster: Roster) -> None:
    """Errors: ``BadInput`` for a label that the data does not have."""
    if label is None:
        return
    if roster.classes is None:
        raise BadInput(f"{name}={label} is a class, and this data has numbers to predict: leave it out")
    if not isinstance(label, int):
        raise BadInput(f"{name} is the number of a class, 0..{roster.classes - 1}; got {label!r}")
    if not 0 <= label < roster.classes:
        raise BadInput(f"{name}={label} is none of the {roster.classes} classes, which are 0..{roster.classes - 1}")
