"""A run's folder: one line of history and one of the ledger a commit, and the last durable commits as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from foedus.core.errors import BadInput, StorageFailed
from foedus.core.interrupts import held_back
from foedus.core.records.appended import Appended, Mark
from foedus.core.records.atomic import write_atomically
from foedus.core.records.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    Beside,
    Checkpoint,
    Found,
    find,
    there_is_one,
)
from foedus.core.records.lines import HISTORY, LEDGER, LINES
from foedus.core.records.lock import LOCK, FolderLock
from foedus.core.records.memory import Memory
from foedus.core.records.place import check_new_folder, why_not_written
from foedus.core.records.run import Record

ABOUT = "run.json"


Make = Callable[[Memory], Checkpoint | None]
"""Makes the checkpoint of the last commit: of what nodes remember only what ``memory`` wants. None: it is not whole."""


class RunFolder:
    """``history.jsonl`` and ``ledger.jsonl`` (a line a commit), ``checkpoint.safetensors`` and the one before that.

    ``files`` are written first. Nothing is created before the first commit, so that a run that cannot start leaves
    nothing behind. On resuming, lines beyond the checkpoint are cut. One process at a time writes to a folder.
    ``about`` is what ``run.json`` says.
    """

    def __init__(self, path: Path, resumed: Checkpoint | None = None, files: Mapping[str, bytes] | None = None) -> None:
        self.path = path
        self.files = dict(files or {})
        self.about: Callable[[], dict[str, Any]] | None = None
        self._ours = False
        """Whether what stands in the folder is known to be this run's."""
        self._lock = FolderLock(path)
        self._open = False
        self._found: Found | None = None
        """The checkpoint that the run goes on from, if it is of this folder."""
        history = () if resumed is None else resumed.history
        self._begins_with = {HISTORY: b"".join(_line(asdict(r)) for r in history), LEDGER: b""}
        self._lines = {name: Appended(path / name, remembers=True) for name in LINES}
        self._memory = Memory(path)
        self._durable = 0 if resumed is None else resumed.tree["round"]
        """The last commit with a checkpoint."""
        self._lined = dict.fromkeys(self._lines, self._durable)
        """The last commit with a line, by file."""
        self.broken = False
        """Whether a write failed: what is on the disk is then left as it is."""

    @staticmethod
    def fresh(path: Path, files: Mapping[str, bytes] | None = None, resumed: Checkpoint | None = None) -> RunFolder:
        """For a new run, or one that goes on from a checkpoint in memory.

        Errors: ``BadInput`` if the folder exists and is not empty, or could not be made.
        """
        check_new_folder(path, "choose another folder, remove it, or resume that run (resume=True)")
        return RunFolder(path, resumed, files)

    @staticmethod
    def again(path: Path, files: Mapping[str, bytes] | None = None) -> tuple[RunFolder, Found | None]:
        """To go on with a run, or to begin it anew if it was ended before its first checkpoint.

        Errors: ``BadInput`` if there is no run, it is damaged, or another process is writing to it.
        """
        if not (there_is_one(path) or begun(path, files or ())):
            raise BadInput(f"there is no run to resume in {path}: {CHECKPOINT} is missing")
        lock = FolderLock(path)
        lock.acquire()
        try:
            found = find(path) if there_is_one(path) else None
            folder = RunFolder(path, None if found is None else found.checkpoint, files)
            if found is not None:
                folder._begins_with = found.lines
                if found.beside.memory is not None:
                    folder._memory.found(found.beside.memory, found.checkpoint.tree["node_states"])
        except BaseException:
            lock.release()
            raise
        folder._lock, folder._ours, folder._found = lock, True, found
        return folder, found

    def commit(self, record: Record, ledger: Mapping[str, Any], checkpoint: Make | None) -> None:
        """Let the folder hold this commit: its line in each file, then, if it is to have one, its checkpoint.

        What of it is there already stays, so that a commit which was interrupted can be made good. Errors:
        ``StorageFailed``.
        """
        texts = {HISTORY: asdict(record), LEDGER: {"round": record.round, **ledger}}
        if self.broken or self._has(record.round, checkpoint is not None):
            return
        with held_back():
            try:
                self._begin()
                for name, text in texts.items():
                    if self._lined[name] != record.round:
                        self._lines[name].append(_line(text))
                        self._lined[name] = record.round
                if checkpoint is not None and self._durable != record.round:
                    self._write(record.round, checkpoint)
            except OSError as e:
                raise self._failed(e) from e

    def _has(self, round: int, whole: bool) -> bool:
        return all(lined == round for lined in self._lined.values()) and (self._durable == round or not whole)

    def _write(self, round: int, checkpoint: Make) -> None:
        made = checkpoint(self._memory)
        if made is None:
            return
        place = self._memory.write(made.tree["node_states"])
        if place is not None:
            made.tree["node_states"] = {}
        made.save(self.path / CHECKPOINT, Beside(self.marks(), place))
        self._durable = round
        self._memory.kept(place)
        for lines in self._lines.values():
            lines.kept()

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder, whole, if a run was begun there. Errors: ``StorageFailed``.

        A run that was killed after its last commit has nothing more to commit, but its last files to write.
        """
        if (self._open or self._ours) and not self.broken:
            with held_back():
                try:
                    self._begin()
                    write_atomically(self.path / name, data)
                except OSError as e:
                    raise self._failed(e) from e

    def marks(self) -> dict[str, Mark]:
        """Of every file of lines, what it holds of the run."""
        return {name: lines.mark() for name, lines in self._lines.items()}

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def _begin(self) -> None:
        if self._open:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        for left in self.path.glob("*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        own = {LOCK, HISTORY, LEDGER, ABOUT, *self.files}
        if not self._ours and any(p.name not in own for p in self.path.iterdir()):
            raise BadInput(f"{self.path} has been filled by somebody else meanwhile: choose another folder")
        if self._found is not None and self._found.file == PREVIOUS:  # it is the last one now
            os.replace(self.path / PREVIOUS, self.path / CHECKPOINT)
        # run.json vouches for files that a resumed run changes: whoever finds another there knows who changed it.
        there = {name for name in self.files if (self.path / name).exists()}
        for name in self.files.keys() - there:
            write_atomically(self.path / name, self.files[name])
        if self.about is not None:
            write_atomically(self.path / ABOUT, msgspec.json.format(msgspec.json.encode(self.about()), indent=1))
        for name in there:
            write_atomically(self.path / name, self.files[name])
        for name, lines in self._lines.items():
            lines.begin(self._begins_with[name])
        self._open = True

    def _failed(self, e: OSError) -> StorageFailed:
        self.broken = True
        for lines in self._lines.values():  # half a line is none
            try:
                lines.cut()
            except OSError:
                continue
        return StorageFailed(why_not_written(self.path, e, self._durable))


def begun(folder: Path, files: Iterable[str] = ()) -> bool:
    """Whether a run was begun in this folder, so that it has to be resumed rather than started; ``files`` are its own.

    A process can be killed after any write, the very first one included.
    """
    names = (LOCK, ABOUT, LEDGER, HISTORY, *files)
    return any((folder / name).exists() or (folder / f"{name}.tmp").exists() for name in names)


def _line(fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
