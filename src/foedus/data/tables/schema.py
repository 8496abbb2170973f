"""Raw rows as tensors: every column has its bytes in a record of fixed width, so that a row can be handed to a job.

Legend: N rows, W bytes of a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["number", "text"]
Columns = Mapping[str, NDArray[Any]]
"""Columns by name (N,): numbers are float64, NaN where missing; texts are UTF-8 bytes, empty where missing."""


@dataclass(frozen=True)
class Column:
    """A column of a table. ``width`` is the number of bytes of the longest text, or 8 of a number."""

    name: str
    kind: Kind
    width: int = 8


@dataclass(frozen=True)
class Schema:
    """The columns of a table, the target last: what the nodes have to know before they can agree on anything else."""

    columns: tuple[Column, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return tuple(c.name for c in self.columns if c.kind == "number")

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the columns of text."""
        return tuple(c.name for c in self.columns if c.kind == "text")

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        return np.dtype([(c.name, "<f8" if c.kind == "number" else f"S{c.width}") for c in self.columns])

    def pack(self, columns: Columns) -> Tensor:
        """Columns as records (N, W) uint8."""
        rows = len(columns[self.columns[0].name])
        records = np.empty(rows, self.dtype)
        for c in self.columns:
            records[c.name] = columns[c.name]
        return torch.from_numpy(records.view(np.uint8).reshape(rows, -1))

    def unpack(self, records: Tensor) -> Columns:
        """The columns of records (N, W), without copying them."""
        flat = records.contiguous().numpy().view(self.dtype).reshape(-1)
        return {c.name: flat[c.name] for c in self.columns}


def widths(columns: Columns, kinds: Mapping[str, Kind], *others: Columns) -> Schema:
    """The schema that fits these columns and others by the same names, in the order of ``kinds``."""
    return Schema(tuple(Column(n, k, max(c[n].dtype.itemsize for c in (columns, *others))) for n, k in kinds.items()))
