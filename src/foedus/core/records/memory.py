"""Memory: what nodes remember, on the disk. Where that is much, a commit writes what has changed and no more.

Little is written into the checkpoint itself. More is appended to a file beside it, a piece a checkpoint, which holds
the states that are not as the pieces before have them; the checkpoint names the file and how far it counts. When most
of the file is of the past, the next piece has all states, in a new file.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from foedus.core.records.appended import Appended, Mark, read

LITTLE = 2**20
"""Bytes of states up to which the checkpoint holds them: another file would have to be flushed to the disk as well."""

_NAME = "memory-{}.bin"
_LENGTH = 8
"""Bytes of a piece's length, little-endian, before it."""


class Place(msgspec.Struct, frozen=True):
    """Where the states of a checkpoint are: the beginning of a file, which has a number.

    ``whole`` are the bytes of its first piece, which has the states of all nodes that there were.
    """

    number: int
    mark: Mark
    whole: int

    @property
    def name(self) -> str:
        """The file's."""
        return _NAME.format(self.number)


class Memory:
    """The states of a run's nodes in its folder.

    A state that was accepted is never changed but replaced, so that the same object is the same state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: Appended | None = None
        self._number = 0
        self._stored: dict[int, Any] = {}
        """Of every node the object whose state the file has."""
        self._whole = 0
        self._asked: dict[int, Any] = {}
        self._named = "", ""
        """The files that the checkpoint before the last names, and the last."""

    def found(self, place: Place, states: Mapping[int, Any]) -> None:
        """Go on from a checkpoint with these states."""
        self._file = Appended(self._folder / place.name)
        self._file.found(read(self._folder / place.name, place.mark))
        self._number, self._whole = place.number, place.whole
        self._stored = dict(states)
        self._named = "", place.name

    def wanted(self, states: Mapping[int, Any], lost: Container[int] = ()) -> dict[int, Any]:
        """Of the nodes' states those that the next ``write`` has to be given, with their tensors; those of nodes that
        are ``lost`` among them, whatever can be had of them.
        """
        if self._file is None or self._file.size > 2 * self._whole + LITTLE:
            self._file, self._stored = None, {}
        forgotten = dict.fromkeys(self._stored.keys() - states.keys())
        asked = {n: s for n, s in states.items() if n in lost or self._stored.get(n) is not s}
        self._asked = asked | forgotten
        return asked

    def write(self, states: Mapping[int, Any]) -> Place | None:
        """Write what was wanted; None where it is little, and for the checkpoint to hold. What was wanted and is not
        there any more is forgotten.
        """
        if self._file is None:
            if _bytes(states) <= LITTLE:
                return None
            piece = _piece(dict(states))
            file = Appended(self._folder / _NAME.format(self._number + 1))
            file.begin(piece)
            self._file, self._number, self._whole = file, self._number + 1, len(piece)
        elif self._asked:
            self._file.append(_piece({n: states.get(n) for n in self._asked}))
        for n, state in self._asked.items():
            if n in states:
                self._stored[n] = state
            else:
                self._stored.pop(n, None)
        return Place(self._number, self._file.mark(), self._whole)

    def kept(self, place: Place | None) -> None:
        """A checkpoint that says so is on the disk: files that neither it nor the one before names can go."""
        before = self._named
        self._named = before[1], "" if place is None else place.name
        if {*self._named} != {*before}:
            for path in self._folder.glob(_NAME.format("*")):
                if path.name not in self._named:
                    path.unlink(missing_ok=True)


def load(folder: Path, place: Place) -> dict[int, Any]:
    """The states of a checkpoint. Errors: ``ValueError`` if they are not there, whole."""
    try:
        data = read(folder / place.name, place.mark)
    except ValueError as e:
        raise ValueError(f"{place.name}, what its nodes remember, {e}") from None
    states: dict[int, Any] = {}
    for piece in _pieces(data):
        states |= piece
    return {n: s for n, s in states.items() if s is not None}


def _piece(states: dict[int, Any]) -> bytes:
    import safetensors.torch

    from foedus.core.types.trees import flatten

    plain, tensors = flatten(states)
    named = {str(i): t.contiguous().clone() for i, t in enumerate(tensors)}
    data = safetensors.torch.save(named, metadata={"tree": json.dumps(plain)})
    return len(data).to_bytes(_LENGTH, "little") + data


def _pieces(data: bytes) -> Iterator[dict[int, Any]]:
    import safetensors.torch

    from foedus.core.types.trees import unflatten

    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "little")
        piece = data[at + _LENGTH : end]
        head = json.loads(piece[_LENGTH : _LENGTH + int.from_bytes(piece[:_LENGTH], "little")])
        tensors = safetensors.torch.load(piece)
        plain = json.loads(head["__metadata__"]["tree"])
        yield unflatten(plain, [tensors[str(i)] for i in range(len(tensors))])
        at = end


def _bytes(states: Mapping[int, Any]) -> int:
    """Of the states' tensors."""
    from foedus.core.types.trees import flatten

    return sum(t.numel() * t.element_size() for t in flatten(dict(states))[1])
