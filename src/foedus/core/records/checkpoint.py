"""Checkpoints: one commit, whole, in memory or in one file that appears atomically.

The file is a safetensors file: the tensors as raw numbers, and in its metadata the plain half of the tree as JSON.
Reading one executes no code.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import safetensors

from foedus.core.errors import BadInput
from foedus.core.records.run import Record

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if it had never stopped."""

    tree: dict[str, Any]
    history: list[Record]
    identity: dict[str, Any]

    @property
    def lost_memory(self) -> dict[int, str]:
        """Nodes whose memory is not in it, for it was lost with them, and how they were."""
        return dict(self.tree.get("lost_memory", {}))

    def save(self, path: Path) -> None:
        """Write the file under a temporary name, flush it to the disk, and rename it."""
        import safetensors.torch

        from foedus.core.types.trees import flatten

        plain, tensors = flatten({"tree": self.tree, "identity": self.identity})
        # Tensors that share memory are written once each; safetensors wants them apart and contiguous.
        named = {str(i): t.contiguous().clone() for i, t in enumerate(tensors)}
        text = json.dumps(plain)
        metadata = {"format": str(FORMAT), "tree": text, "digest": _digest(text, list(named.values()))}
        write_atomically(path, safetensors.torch.save(named, metadata=metadata))

    @staticmethod
    def load(folder: Path) -> Checkpoint:
        """Read the checkpoint and history of a run's folder. Errors: ``BadInput`` if there is none or it is damaged."""
        from foedus.core.types.trees import unflatten

        path = folder / CHECKPOINT
        if not path.exists():
            raise BadInput(f"there is no run to resume in {folder}: {CHECKPOINT} is missing")
        try:
            with safetensors.safe_open(path, framework="pt") as f:
                metadata = f.metadata() or {}
                tensors = [f.get_tensor(str(i)) for i in range(len(f.keys()))]
            if metadata["format"] != str(FORMAT):
                raise BadInput(f"{path} has format {metadata['format']}, this foedus reads format {FORMAT}")
            if _digest(metadata["tree"], tensors) != metadata["digest"]:
                raise ValueError("its digest does not fit its contents")
            whole = unflatten(json.loads(metadata["tree"]), tensors)
            history = read_history(folder, whole["tree"]["records"])
            return Checkpoint(whole["tree"], history, whole["identity"])
        except BadInput:
            raise
        except (safetensors.SafetensorError, LookupError, TypeError, ValueError, msgspec.MsgspecError, OSError) as e:
            reason = str(e).splitlines()[0] if str(e) else type(e).__name__
            raise BadInput(f"{path} is damaged or not a checkpoint ({reason}); start the run again elsewhere") from e


def _digest(text: str, tensors: list[Tensor]) -> str:
    import torch

    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for t in tensors:
        digest.update(t.reshape(-1).view(torch.uint8).numpy().data if t.numel() else b"")
    return digest.hexdigest()


def read_history(folder: Path, records: int | None = None) -> list[Record]:
    """The records of a run's folder, the first so many or all. Errors: ``BadInput`` if they are not there, whole."""
    path = folder / HISTORY
    try:
        # A line is whole once its end has been written.
        lines = path.read_bytes().split(b"\n")[:-1][:records]
        if records is not None and len(lines) < records:
            raise ValueError(f"{len(lines)} lines, but the checkpoint was written after {records}")
        decoder = msgspec.json.Decoder(dict[str, Any])
        return [Record(**decoder.decode(line)) for line in lines]
    except (OSError, ValueError, TypeError, msgspec.MsgspecError) as e:
        raise BadInput(f"{path} is missing or damaged ({e}); start the run again elsewhere") from e


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that, whenever the power fails, either the old or the new one is there, whole."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
