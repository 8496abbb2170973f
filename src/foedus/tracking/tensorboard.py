"""TensorBoard: event files in a folder."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.tracking.tracker import About, Mark, Setting, bytes_sent, library, numbers, quality, table


@dataclass(frozen=True)
class TensorBoard:
    """Curves for ``tensorboard --logdir FOLDER``: one subfolder a run, named after it (``FedAvg``, ``FedAvg-2`` ...).

    ``folder``  where the runs are; it is made if it is not there.

    Every number of a commit stands at its round. What says how good the model is stands at the bytes sent as well, as
    ``by_bytes/accuracy`` and so on, in a run of its own: TensorBoard has one x axis, the step.
    """

    folder: str = "tb"

    def open(self, about: About) -> _Open:
        writer = library("torch.utils.tensorboard", self, "tensorboard").SummaryWriter
        root = Path(self.folder)
        if about.mark is not None and (root / about.mark.id).is_dir():
            return _Open(writer, root, about.mark)
        opened = _Open(writer, root, Mark(_new(root, about.name)))
        opened.text("config", {"seed": about.seed, "program": about.program, **about.config})
        return opened


class _Open:
    def __init__(self, writer: Any, root: Path, mark: Mark) -> None:
        self.mark = mark
        # What was written after the mark, just before the run was killed, comes again: readers drop the first of it.
        resumed = mark.round > 0
        if resumed:
            _until_names_are_later(root / mark.id)
        self._by_round = writer(str(root / mark.id), purge_step=mark.round + 1 if resumed else None)
        self._by_bytes = writer(str(root / mark.id / "by_bytes"), purge_step=mark.bytes + 1 if resumed else None)

    def text(self, tag: str, rows: Mapping[str, Setting]) -> None:
        self._by_round.add_text(tag, table(rows))

    def record(self, record: Record) -> None:
        for name, value in numbers(record).items():
            self._by_round.add_scalar(name, value, record.round)
        if bytes_sent(record):
            for name, value in quality(record).items():
                self._by_bytes.add_scalar(f"by_bytes/{name}", value, bytes_sent(record))
        self._by_round.flush()
        self._by_bytes.flush()

    def close(self, status: str, summary: Mapping[str, Setting]) -> None:
        self.text("summary", {"status": status, **summary})
        self._by_round.close()
        self._by_bytes.close()


def _until_names_are_later(folder: Path) -> None:
    """Readers take event files in the order of their names. These begin with the second, and the rest of a name tells
    no order: a run resumed within the second that it was stopped in waits for the next.
    """
    seconds = [int(p.name.split(".")[3]) for p in folder.rglob("events.out.tfevents.*")]
    left = max(seconds, default=0) + 1 - time.time()
    if 0 < left <= 1:  # more than that is a clock that was set back
        time.sleep(left)


def _new(root: Path, name: str) -> str:
    """A subfolder of its own, so that runs never share one; two processes may ask at once."""
    base = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for n in count(1):
            try:
                (root / (base if n == 1 else f"{base}-{n}")).mkdir()
            except FileExistsError:
                continue
            break
    except OSError as e:
        raise BadInput(f"TensorBoard cannot write to {root}: {e.strerror}; choose another folder") from e
    return base if n == 1 else f"{base}-{n}"
