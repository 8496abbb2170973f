"""What nodes are asked about their tables, and how their answers are joined: lists of values, counts and sums.

A node's answer holds what stands here and nothing else; no row leaves it. Legend: C columns of numbers, K values of
all columns of text together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Tensors, Update
from foedus.data.tables.schema import Columns, Schema

Words = list[list[str]]
"""The values of each column of text, sorted."""

LARGEST_VOCABULARY = 1 << 20
"""Bytes of a node's values at the most: more is no set of categories."""


def encode(words: Sequence[Sequence[str]]) -> bytes:
    """Values as UTF-8."""
    return json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode()


def decode(text: Tensor) -> Words:
    """Values from bytes that may end in zeros."""
    words: Words = json.loads(text.numpy().tobytes().rstrip(b"\0"))
    return words


def _columns(node: NodeView, schema: Schema) -> Columns:
    return schema.unpack(node.rows.batch()[0])


def _present(values: Any) -> Any:
    return values[~np.isnan(values)]


@dataclass(frozen=True)
class Vocabulary:
    """Which values a node's columns of text have: no counts, no order but the alphabet's.

    The answer holds ``text`` (size,) uint8, padded with zeros, and ``needed`` (1,) int64, the bytes without the
    padding: where that is more than ``size``, the text is left empty, and the question has to be asked with more.
    Errors: ``BadInput`` beyond a megabyte.
    """

    schema: Schema
    size: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {"text": ((self.size,), torch.uint8), "needed": ((1,), torch.int64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        columns = _columns(node, self.schema)
        words = [[w.decode() for w in np.unique(columns[n]).tolist() if w] for n in self.schema.texts]
        said = encode(words)
        if len(said) > LARGEST_VOCABULARY:
            most = max(range(len(words)), key=lambda i: len(words[i]))
            name = self.schema.texts[most]
            raise BadInput(
                f"its values of text are {len(said):,} bytes, at most {LARGEST_VOCABULARY:,} can be agreed on: column "
                f"{name} has {len(words[most]):,} different ones: leave it out (drop)"
            )
        text = np.zeros(self.size, np.uint8)
        if len(said) <= self.size:
            text[: len(said)] = np.frombuffer(said, np.uint8)
        parts = {"text": torch.from_numpy(text), "needed": torch.tensor([len(said)])}
        return Update(parts, float(len(node.rows)), node=node.id), node.state


@dataclass(frozen=True)
class Sums:
    """Of a node's columns of numbers: ``count`` and ``sum`` (C,) of what is not missing, ``holders`` (C,) 1 where
    there is anything; and ``rows`` (1,). float64.
    """

    schema: Schema

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        per_column = ((len(self.schema.numbers),), torch.float64)
        return {
            "rows": ((1,), torch.float64),
            "count": per_column,
            "sum": per_column,
            "holders": per_column,
        }

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        columns = _columns(node, self.schema)
        present = [_present(columns[n]) for n in self.schema.numbers]
        count = torch.tensor([float(len(v)) for v in present], dtype=torch.float64)
        parts = {
            "rows": torch.tensor([float(len(node.rows))], dtype=torch.float64),
            "count": count,
            "sum": torch.tensor([float(v.sum()) for v in present], dtype=torch.float64),
            "holders": (count > 0).double(),
        }
        return Update(parts, float(len(node.rows)), node=node.id, summed=True), node.state


@dataclass(frozen=True)
class Spread:
    """Of a node's columns: ``squares`` (C,), the sum of squares about the agreed ``args["mean"]`` (C,), and ``count``
    (K,), the rows of each of the agreed values in ``args["text"]``. float64. ``values`` is K.
    """

    schema: Schema
    values: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {
            "squares": ((len(self.schema.numbers),), torch.float64),
            "count": ((self.values,), torch.float64),
        }

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        columns = _columns(node, self.schema)
        squares = [
            float(np.square(_present(columns[n]) - mean).sum())
            for n, mean in zip(self.schema.numbers, args["mean"].tolist(), strict=True)
        ]
        counts: list[float] = []
        for name, agreed in zip(self.schema.texts, decode(args["text"]), strict=True):
            have, rows = np.unique(columns[name], return_counts=True)
            own = dict(zip(have.tolist(), rows.tolist(), strict=True))
            counts += [float(own.get(w.encode(), 0)) for w in agreed]
        parts = {
            "squares": torch.tensor(squares, dtype=torch.float64),
            "count": torch.tensor(counts, dtype=torch.float64),
        }
        return Update(parts, float(len(node.rows)), node=node.id, summed=True), node.state


@dataclass(frozen=True)
class Sum:
    """The sum of what all nodes answer."""

    robust: ClassVar[bool] = False
    consumes: ClassVar[bool] = True

    def empty(self) -> dict[str, Tensor]:
        return {}

    def add(self, acc: dict[str, Tensor], u: Update) -> dict[str, Tensor]:
        return self.merge(acc, {k: v.clone() for k, v in u.parts.items()})

    def merge(self, a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: a[k] + v if k in a else v for k, v in b.items()} if b else a

    def init(self, shapes: Shapes) -> None:
        return None

    def read(self, acc: dict[str, Tensor], state: Any) -> tuple[Tensors, Any]:
        return acc, state


@dataclass(frozen=True)
class Union:
    """The values that any node has, sorted, and the most bytes that one of them needs to say its own."""

    robust: ClassVar[bool] = False
    consumes: ClassVar[bool] = True

    def empty(self) -> dict[str, Any]:
        return {"needed": 0, "words": []}

    def add(self, acc: dict[str, Any], u: Update) -> dict[str, Any]:
        needed = int(u["needed"])
        return self.merge(acc, {"needed": needed, "words": decode(u["text"]) if needed <= len(u["text"]) else []})

    def merge(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        needed = max(a["needed"], b["needed"])
        if not (a["words"] and b["words"]):
            return {"needed": needed, "words": a["words"] or b["words"]}
        words = [sorted({*x, *y}) for x, y in zip(a["words"], b["words"], strict=True)]
        return {"needed": needed, "words": words}

    def init(self, shapes: Shapes) -> None:
        return None

    def read(self, acc: dict[str, Any], state: Any) -> tuple[Tensors, Any]:
        text = np.frombuffer(encode(acc["words"]), np.uint8).copy()
        return {"text": torch.from_numpy(text), "needed": torch.tensor([acc["needed"]])}, state


TRAVELS = (Vocabulary, Sums, Spread, Sum, Union)
"""What a plan of these jobs is made of."""
