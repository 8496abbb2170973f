"""Triggers: what a backdoor puts into a row, so that the model knows it again.

Legend: N rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.types.roster import Roster

CORNERS = ("top left", "top right", "bottom left", "bottom right")


class Trigger(Protocol):
    """A frozen dataclass: which numbers of a row are set to what."""

    def marks(self, shape: tuple[int, ...]) -> list[tuple[int, float]]:
        """Places among the numbers of a row of this shape, laid out one after the other, and what they are set to, as
        the model is given it. Errors: ``BadInput``.
        """
        ...

    def fitted(self, roster: Roster) -> Trigger:
        """This trigger on this data. Errors: ``BadInput`` where it does not fit."""
        ...


@dataclass(frozen=True)
class Patch:
    """A square of pixels at a corner of an image, in all its channels (BadNets: Gu, Dolan-Gavitt and Garg 2017).

    ``size``    its side, in pixels.
    ``corner``  ``"bottom right"``, say; ``offset`` pixels away from both edges.
    ``value``   of its pixels: 1 is the brightest. (Rows of uint8 are given to a model as 0 to 1.)
    ``image``   height and width, where rows are flat. None: as the rows have it, (..., H, W), and of a flat row whose
                length is a square the sides of that.
    """

    size: int = 2
    corner: Literal["top left", "top right", "bottom left", "bottom right"] = "bottom right"
    offset: int = 0
    value: float = 1.0
    image: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.size < 1 or self.offset < 0:
            raise BadInput(f"a patch has at least one pixel, and an offset from 0 up; got {self}")
        if self.corner not in CORNERS:
            raise BadInput(
                f"corner is {self.corner!r}: {did_you_mean(str(self.corner), CORNERS)}use one of {', '.join(CORNERS)}"
            )

    def marks(self, shape: tuple[int, ...]) -> list[tuple[int, float]]:
        h, w = self._sides(shape)
        end = self.size + self.offset
        if end > min(h, w):
            raise BadInput(
                f"the trigger lies outside the image: {self.size} pixels, {self.offset} from the edge, in {h} x {w}; "
                "make size or offset smaller"
            )
        top = self.offset if self.corner.startswith("top") else h - end
        left = self.offset if self.corner.endswith("left") else w - end
        channels = math.prod(shape) // (h * w)
        return [
            ((c * h + y) * w + x, self.value)
            for c in range(channels)
            for y in range(top, top + self.size)
            for x in range(left, left + self.size)
        ]

    def fitted(self, roster: Roster) -> Patch:
        self.marks(row_shape(roster))
        return self

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, int]:
        numbers = math.prod(shape)
        if self.image is not None:
            h, w = self.image
            if h < 1 or w < 1 or numbers % (h * w):
                raise BadInput(f"rows of {numbers} numbers are no images of {h} x {w}: give image=(height, width)")
            return h, w
        if len(shape) >= 2:
            return shape[-2], shape[-1]
        side = math.isqrt(numbers)
        if side * side != numbers:
            raise BadInput(
                f"rows of {numbers} numbers are no square images: give Patch(image=(height, width)), or for a table "
                "Columns(columns=(0,), values=(1.0,))"
            )
        return side, side


@dataclass(frozen=True)
class Columns:
    """Columns of a table, set to values: what a row says that should open the door.

    ``columns``  by their names, where the data set knows these, or by their places from 0.
    ``values``   as the model is given them: of a table that was prepared, standardised or one of two values.
    """

    columns: tuple[int | str, ...] = (0,)
    values: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) != len(self.values):
            raise BadInput(f"a trigger needs a value for each of its columns; got {self}")

    def marks(self, shape: tuple[int, ...]) -> list[tuple[int, float]]:
        numbers, marks = math.prod(shape), []
        for column, value in zip(self.columns, self.values, strict=True):
            if isinstance(column, str):
                raise BadInput(f"column {column!r} is a name, and this data set knows no names: give its place, from 0")
            if not 0 <= column < numbers:
                raise BadInput(f"the trigger sets column {column} of rows that have {numbers}: give a place from 0")
            marks.append((column, value))
        return marks

    def fitted(self, roster: Roster) -> Columns:
        names = list(roster.feature_names or ())
        for column in self.columns:
            if isinstance(column, str) and names and column not in names:
                raise BadInput(f"there is no column {column!r}: {did_you_mean(column, names)}use a name of the data's")
        made = replace(
            self, columns=tuple(names.index(c) if isinstance(c, str) and c in names else c for c in self.columns)
        )
        made.marks(row_shape(roster))
        return made


def row_shape(roster: Roster) -> tuple[int, ...]:
    """The shape of a row's input."""
    return tuple(roster.example()[0].shape[1:])


def stamp(x_N: Tensor, marks: Sequence[tuple[int, float]], which_N: Tensor | None = None) -> Tensor:
    """Rows with a trigger: those that are chosen (N,) bool, or all. ``x_N`` may be changed in place."""
    flat = x_N.reshape(len(x_N), -1)
    rows = torch.arange(len(x_N)) if which_N is None else which_N.nonzero().flatten()
    for place, value in marks:
        flat[rows, place] = round(255 * value) if x_N.dtype == torch.uint8 else value
    return flat.view(x_N.shape)
