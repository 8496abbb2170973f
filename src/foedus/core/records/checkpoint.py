"""Checkpoints: one commit, whole, in memory or in one file that appears atomically, beside the one before.

The file is a safetensors file: the tensors as raw numbers, and in its metadata the plain half of the tree as JSON.
Reading one executes no code. Beside it stand files to which every commit adds; of these it says which part is its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import safetensors

from foedus.core.errors import BadInput
from foedus.core.records import memory
from foedus.core.records.appended import Mark
from foedus.core.records.atomic import write_atomically
from foedus.core.records.lines import HISTORY, LINES, belonging, each_line
from foedus.core.records.memory import Place
from foedus.core.records.origin import Circumstances
from foedus.core.records.run import Record
from foedus.core.records.tensor_file import opened
from foedus.core.records.typed import as_type

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 3
BEFORE_DIGESTS = 2
"""The format of checkpoints that say nothing of the files beside them, nor under which circumstances they were made."""

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "previous.safetensors"


class Beside(msgspec.Struct, frozen=True):
    """What belongs to a checkpoint of the files beside it: its part of each file of lines; states of nodes, if many."""

    lines: dict[str, Mark] = {}
    memory: Place | None = None


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if it had never stopped."""

    tree: dict[str, Any]
    history: list[Record]
    identity: dict[str, Any]
    circumstances: Circumstances = field(default_factory=Circumstances)

    @property
    def lost_memory(self) -> dict[int, str]:
        """Nodes whose memory is not in it, for it was lost with them, and how they were."""
        return dict(self.tree.get("lost_memory", {}))

    def save(self, path: Path, beside: Beside = Beside()) -> None:
        """Write the file under a temporary name, flush it to the disk, and rename it; the one before is kept."""
        import safetensors.torch

        from foedus.core.types.trees import flatten

        plain, tensors = flatten({"tree": self.tree, "identity": self.identity})
        # Tensors that share memory are written once each; safetensors wants them apart and contiguous.
        named = {str(i): t.contiguous().clone() for i, t in enumerate(tensors)}
        text = json.dumps(plain)
        about = msgspec.json.encode(_About(self.circumstances, beside)).decode()
        metadata = {"format": str(FORMAT), "tree": text, "about": about}
        metadata["digest"] = _digest(text + about, list(named.values()))
        write_atomically(path, safetensors.torch.save(named, metadata=metadata), path.with_name(PREVIOUS))

    @staticmethod
    def load(folder: Path) -> Checkpoint:
        """The last whole checkpoint of a run's folder, with its history.

        Errors: ``BadInput`` if there is none, or it and what belongs to it are damaged.
        """
        return find(folder).checkpoint


@dataclass(frozen=True)
class Found:
    """A checkpoint in a folder, and what belongs to it.

    ``file``    its name: that of the last, or of the one before if the last is not there or is damaged.
    ``lines``   what every file of lines held when it was written.
    ``damage``  what is wrong with the last, if this is the one before.
    """

    checkpoint: Checkpoint
    file: str
    beside: Beside
    lines: dict[str, bytes]
    damage: str = ""


class _About(msgspec.Struct, frozen=True):
    circumstances: Circumstances = Circumstances()
    beside: Beside = Beside()


class _Damaged(Exception):
    """A checkpoint that cannot be used, where the one before may be whole."""


def there_is_one(folder: Path) -> bool:
    """Whether a folder has a checkpoint."""
    return (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()


def find(folder: Path) -> Found:
    """The last checkpoint of a folder, or the one before if that is not there or damaged. Errors: as ``load``."""
    if not there_is_one(folder):
        raise BadInput(f"there is no run to resume in {folder}: {CHECKPOINT} is missing")
    damage = ""
    for name in (CHECKPOINT, PREVIOUS):
        if not (folder / name).exists():  # its writer may have been stopped between two renames
            continue
        try:
            return _read(folder, name, damage)
        except _Damaged as e:
            damage = damage or str(e)
    raise BadInput(f"{damage}; start the run again elsewhere")


def circumstances_in(folder: Path) -> Circumstances:
    """Under which circumstances the last checkpoint was made, read from its head alone: nothing is checked yet."""
    for name in (CHECKPOINT, PREVIOUS):
        try:
            with opened(folder / name, "np") as f:
                about = (f.metadata() or {}).get("about", "{}")
            return msgspec.json.decode(about, type=_About).circumstances
        except (safetensors.SafetensorError, ValueError, OSError):
            continue
    return Circumstances()


def models_in(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The last and the best model's vectors (D,) of the last checkpoint, read without torch, which takes a second.

    None where that is not there, is damaged or has no model: then ``find`` knows what to do, or to say.
    """
    try:
        file = (folder / CHECKPOINT).read_bytes()
        # A safetensors file: the length of its head, the head in JSON, and the tensors' bytes.
        begin = 8 + int.from_bytes(file[:8], "little")
        head = json.loads(file[8:begin])
        metadata = head.pop("__metadata__")
        raw = []
        for i in range(len(head)):
            first, last = head[str(i)]["data_offsets"]
            raw.append(memoryview(file)[begin + first : begin + last])
        about = metadata.get("about", "")
        if metadata["format"] != str(FORMAT) or _digest_of(metadata["tree"] + about, raw) != metadata["digest"]:
            return None
        tree = json.loads(metadata["tree"])["tree"]
        # As ``core/types/trees.py`` writes a State and, by its place among the tensors, a tensor.
        last, best = tree["state"]["v"]["w"], tree["best_w"]
        places = [last["i"], last["i"] if best is None else best["i"]]
        if any(head[str(i)]["dtype"] != "F32" for i in places):
            return None
        w, best_w = (np.frombuffer(bytearray(raw[i]), dtype="<f4") for i in places)
    except (LookupError, TypeError, ValueError, OSError):
        return None
    return w, best_w


def _read(folder: Path, name: str, damage: str) -> Found:
    from foedus.core.types.trees import unflatten

    path = folder / name
    try:
        with opened(path, "pt") as f:
            metadata = f.metadata() or {}
            tensors = [f.get_tensor(str(i)) for i in range(len(f.keys()))]
        _check_format(path, metadata["format"])
        about = metadata.get("about", "")
        if _digest(metadata["tree"] + about, tensors) != metadata["digest"]:
            raise ValueError("its digest does not fit its contents")
        whole = unflatten(json.loads(metadata["tree"]), tensors)
        said = as_type(_About, json.loads(about)) if about else _About()
        tree, records = whole["tree"], whole["tree"]["records"]
        if said.beside.memory is not None:
            lost = tree.get("lost_memory", {})
            states = memory.load(folder, said.beside.memory)
            tree["node_states"] = {n: s for n, s in states.items() if n not in lost}
    except BadInput:
        raise
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, OSError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise _Damaged(f"{path} is damaged or not a checkpoint ({reason})") from e
    marks = said.beside.lines
    lines = {n: belonging(folder / n, marks[n]) if n in marks else _first(folder / n, records) for n in LINES}
    read = {name: list(each_line(folder / name, data, LINES[name])) for name, data in lines.items()}
    return Found(
        Checkpoint(tree, read[HISTORY], whole["identity"], said.circumstances), name, said.beside, lines, damage
    )


def _check_format(path: Path, given: str) -> None:
    if given in (str(FORMAT), str(BEFORE_DIGESTS)):
        return
    newer = given.isdecimal() and int(given) > FORMAT
    raise BadInput(
        f"{path} has format {given}, this foedus reads formats {BEFORE_DIGESTS} and {FORMAT}: "
        + ("it was written by a newer one; update foedus" if newer else "start the run again elsewhere")
    )


def _first(path: Path, records: int) -> bytes:
    """So many lines of a file of which the checkpoint has no digest. Errors: ``BadInput``."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # a line is whole once its end is written
    if len(lines) < records:
        raise BadInput(
            f"{path} has {len(lines)} lines, but the checkpoint was written after {records}; restore it from a copy, "
            "or start the run again elsewhere"
        )
    return b"".join(line + b"\n" for line in lines[:records])


def _digest(text: str, tensors: list[Tensor]) -> str:
    import torch

    return _digest_of(text, (t.reshape(-1).view(torch.uint8).numpy().data if t.numel() else b"" for t in tensors))


def _digest_of(text: str, raw: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for part in raw:
        digest.update(part)
    return digest.hexdigest()
