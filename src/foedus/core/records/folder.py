"""A run's folder: one line of history and one of the ledger a commit, and the last durable commit as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from foedus.core.errors import BadInput, StorageFailed
from foedus.core.records.checkpoint import CHECKPOINT, HISTORY, Checkpoint, write_atomically
from foedus.core.records.lock import LOCK, FolderLock
from foedus.core.records.place import check_new_folder, why_not_written
from foedus.core.records.run import Record

LEDGER = "ledger.jsonl"
ABOUT = "run.json"


class RunFolder:
    """``history.jsonl`` and ``ledger.jsonl`` (a line a commit), and ``checkpoint.safetensors``.

    ``files`` are written first. Nothing is created before the first commit, so that a run that cannot start leaves
    nothing behind. On resuming, lines beyond the checkpoint are cut. One process at a time writes to a folder.
    ``about`` is what ``run.json`` says.
    """

    def __init__(self, path: Path, resumed: Checkpoint | None = None, files: Mapping[str, bytes] | None = None) -> None:
        self.path = path
        self.files = dict(files or {})
        self.about: Callable[[], dict[str, Any]] | None = None
        self._resumed = resumed
        self._ours = False
        """Whether what stands in the folder is known to be this run's."""
        self._lock = FolderLock(path)
        self._open = False
        self._durable = 0 if resumed is None else resumed.tree["round"]
        self._sizes: dict[str, int] = {}
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
    def again(path: Path, files: Mapping[str, bytes] | None = None) -> tuple[RunFolder, Checkpoint | None]:
        """To go on with a run, or to begin it anew if it was ended before its first checkpoint.

        Errors: ``BadInput`` if there is no run, it is damaged, or another process is writing to it.
        """
        if begun(path, files or ()) and not (path / CHECKPOINT).exists():
            found = RunFolder(path, None, files)
            found._lock.acquire()
            found._ours = True
            return found, None
        if not (path / CHECKPOINT).exists():
            raise BadInput(f"there is no run to resume in {path}: {CHECKPOINT} is missing")
        lock = FolderLock(path)
        lock.acquire()
        try:
            checkpoint = Checkpoint.load(path)
        except BaseException:
            lock.release()
            raise
        found = RunFolder(path, checkpoint, files)
        found._lock, found._ours = lock, True
        return found, checkpoint

    def commit(
        self, record: Record, ledger: Mapping[str, Any], checkpoint: Callable[[], Checkpoint | None] | None
    ) -> None:
        """Append a line to each file, then write the checkpoint if this commit has one. Errors: ``StorageFailed``."""
        try:
            self._begin()
            self._append(HISTORY, asdict(record))
            self._append(LEDGER, {"round": record.round, **ledger})
            if checkpoint is not None:
                self._write(record.round, checkpoint())
        except OSError as e:
            raise self._failed(e) from e

    def settle(self, round: int, checkpoint: Callable[[], Checkpoint | None]) -> None:
        """A run ends: the checkpoint shall be of its last commit, whatever the cadence was, if there is one of it."""
        if self._open and not self.broken and self._durable != round:
            try:
                self._write(round, checkpoint())
            except OSError as e:
                raise self._failed(e) from e

    def _write(self, round: int, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            checkpoint.save(self.path / CHECKPOINT)
            self._durable = round

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder, whole, if a run was begun there. Errors: ``StorageFailed``.

        A run that was killed after its last commit has nothing more to commit, but its last files to write.
        """
        if (self._open or self._ours) and not self.broken:
            try:
                self._begin()
                write_atomically(self.path / name, data)
            except OSError as e:
                raise self._failed(e) from e

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
        for name, data in self.files.items():
            write_atomically(self.path / name, data)
        if self.about is not None:
            write_atomically(self.path / ABOUT, msgspec.json.format(msgspec.json.encode(self.about()), indent=1))
        history = [] if self._resumed is None else self._resumed.history
        ledger = self.path / LEDGER
        charged = ledger.read_bytes().split(b"\n")[: len(history)] if ledger.exists() else []
        self._replace(LEDGER, b"".join(line + b"\n" for line in charged))
        self._replace(HISTORY, b"".join(_line(asdict(r)) for r in history))
        self._open = True

    def _replace(self, name: str, data: bytes) -> None:
        write_atomically(self.path / name, data)
        self._sizes[name] = len(data)

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        data = _line(line)
        with open(self.path / name, "ab") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        self._sizes[name] += len(data)

    def _failed(self, e: OSError) -> StorageFailed:
        self.broken = True
        for name, size in self._sizes.items():  # half a line is none
            try:
                os.truncate(self.path / name, size)
            except OSError:
                continue
        return StorageFailed(why_not_written(self.path, e, self._durable))


def begun(folder: Path, files: Iterable[str] = ()) -> bool:
    """Whether a run was begun in this folder, so that it has to be resumed rather than started; ``files`` are its own.

    A process can be killed after any write, the very first one included.
    """
    names = (ABOUT, LEDGER, HISTORY, *files)
    return any((folder / name).exists() or (folder / f"{name}.tmp").exists() for name in names)


def _line(fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
