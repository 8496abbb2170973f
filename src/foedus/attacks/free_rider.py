"""An answer without work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from foedus.attacks.attack import Attack, Attacker, Train
from foedus.attacks.on_vector import check_positive
from foedus.core.errors import BadInput
from foedus.core.types.transform import holds_numbers
from foedus.core.types.update import BUFFERS, Tensors, Update

SEEN = "w"
"""What it remembers: the model that it was given last."""


@dataclass(frozen=True)
class FreeRider(Attack):
    """Answers without having trained, to get the model for nothing.

    ``kind``  ``"echo"``: by how much the model has changed since the node was last asked, which looks like an update
              (Lin, Du and Liu 2019, arXiv:1911.12560, "delta weights"); the first time nothing. Where a job answers a
              gradient, its negative: steps go against gradients. ``"noise"``: normal numbers around no change
              (Fraboni et al. 2021, arXiv:2006.11901, disguised).
    ``std``   of the noise.

    It claims the weight of its rows, and says nothing of its loss.
    """

    kind: Literal["echo", "noise"] = "echo"
    std: float = 1e-3

    def __post_init__(self) -> None:
        if self.kind not in ("echo", "noise"):
            raise BadInput(f'a free rider is of the kind "echo" or "noise", got {self.kind!r}')
        check_positive("std", self.std)

    def answers(self, who: Attacker, train: Train) -> tuple[Update, Tensors]:
        view, w_D = who.view, who.args.get("w")
        moved_D = None
        if w_D is not None and w_D.shape == view.model.flat.shape:
            moved_D = w_D - who.memory.get(SEEN, w_D)
        parts: dict[str, Tensor] = {}
        for name, said in who.asked.job.parts(view.model).items():
            shape, dtype = said if len(said) == 2 and isinstance(said[1], torch.dtype) else (said, torch.float32)
            parts[name] = self._part(name, torch.zeros(shape, dtype=dtype), moved_D, who)
        memory = {} if moved_D is None or w_D is None else {SEEN: w_D.clone()}
        return Update(parts, float(len(view.rows)), {}, view.id), memory

    def _part(self, name: str, nothing: Tensor, moved_D: Tensor | None, who: Attacker) -> Tensor:
        if not holds_numbers(name, nothing.dtype):
            buffers = who.view.model.layout.buffers
            echoes = name == BUFFERS and self.kind == "echo" and moved_D is not None and nothing.shape == (buffers,)
            return moved_D[-buffers:].clone() if echoes and moved_D is not None else nothing
        if self.kind == "noise":
            key = who.key.child(name)
            return torch.randn(nothing.shape, generator=key.torch(), dtype=nothing.dtype) * self.std
        p = who.view.model.layout.parameters
        if moved_D is None or nothing.shape != (p,):
            return nothing
        return -moved_D[:p] if name == "gradient" else moved_D[:p].clone()
