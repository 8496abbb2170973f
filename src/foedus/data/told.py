"""What a node tells of its data in words: plain values as JSON, in as many bytes as all nodes need."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from foedus.core.coordination.survey import Survey
from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update

LARGEST = 1 << 20
"""Bytes that a node may tell at the most."""


@dataclass(frozen=True)
class Told:
    """A job that answers in plain values, ``tell(node)``. Subclasses are frozen dataclasses that say what.

    The answer holds ``text`` (size,) uint8, JSON padded with zeros, and ``needed`` (1,) int64, the bytes without the
    padding: where that is more than ``size``, the text is left empty, and the question has to be asked with more.
    """

    size: int = 1024

    def tell(self, node: NodeView) -> dict[str, Any]:
        """What is told of a node's rows."""
        raise NotImplementedError

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {"text": ((self.size,), torch.uint8), "needed": ((1,), torch.int64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        said = json.dumps(self.tell(node), separators=(",", ":")).encode()
        if len(said) > LARGEST:
            raise BadInput(f"what it has to tell is {len(said):,} bytes, at most {LARGEST:,} can be told")
        text = np.zeros(self.size, np.uint8)
        if len(said) <= self.size:
            text[: len(said)] = np.frombuffer(said, np.uint8)
        parts = {"text": torch.from_numpy(text), "needed": torch.tensor([len(said)])}
        return Update(parts, float(len(node.rows)), node=node.id), node.state


def ask_told(survey: Survey, job: Told) -> list[dict[str, Any]]:
    """What every node tells. Asked again with more room if one needs it."""
    while True:
        answers = survey.each(job)
        needed = max(int(u["needed"]) for u in answers)
        if needed <= job.size:
            return [json.loads(u["text"].numpy().tobytes().rstrip(b"\0")) for u in answers]
        job = replace(job, size=1 << (needed - 1).bit_length())
