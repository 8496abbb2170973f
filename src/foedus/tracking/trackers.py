"""All trackers of a run: opened before it, told of every commit, closed after it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from foedus.core.errors import BadInput, FoedusError
from foedus.core.records.atomic import write_atomically
from foedus.core.records.run import Record, Run
from foedus.core.types.metric import QUALITY
from foedus.core.types.several import several
from foedus.tracking.tracker import About, Mark, OpenTracker, Setting, Tracker, bytes_sent

log = logging.getLogger("foedus")

MARKS = "trackers.json"
"""The file in a run's folder that says how far each tracker has come."""


@dataclass
class _Opened:
    name: str
    tracker: OpenTracker
    mark: Mark


class Trackers:
    """The trackers of one run, as a context manager: a run that is never closed has failed.

    An error of a tracker is one warning, and that tracker is off; the run goes on.
    """

    def __init__(self, opened: list[_Opened], folder: Path | None) -> None:
        self._opened = opened
        self._folder = folder

    @staticmethod
    def open(trackers: Tracker | Sequence[Tracker], about: About, folder: Path | None = None) -> Trackers:
        """Open them. ``folder`` is the run's own, where it has one: a resumed run finds there how far each has come.

        A tracker that has not seen the run before is told of all commits already made.
        Errors: ``BadInput`` for what is no tracker, a library that is missing, a place that cannot be used.
        """
        chosen = several(trackers)
        for t in chosen:
            if isinstance(t, type) or not isinstance(t, Tracker):
                hint = f"write {t.__name__}() with parentheses" if isinstance(t, type) else "such as TensorBoard()"
                raise BadInput(f"track takes trackers, got {t!r}: {hint}")
        if len({repr(t) for t in chosen}) < len(chosen):
            raise BadInput("the same tracker is listed twice: each may stand once")
        marks = _read(folder) if about.history else {}
        opened = Trackers([], folder)
        for t in chosen:
            try:
                one = t.open(replace(about, mark=marks.get(repr(t))))
            except Exception as e:
                opened._end("failed", {})
                if isinstance(e, FoedusError):
                    raise
                raise BadInput(f"{type(t).__name__} cannot be opened: {_one_line(e)}; see {t!r}") from e
            opened._opened.append(_Opened(repr(t), one, one.mark))
        if any([opened._tell(record) for record in about.history]):
            opened._keep()
        return opened

    def record(self, record: Record) -> None:
        """Tell all of them of one commit."""
        if self._tell(record):
            self._keep()

    def _tell(self, record: Record) -> bool:
        """Tell those that do not know it yet; whether there was one."""
        told = False
        for o in list(self._opened):
            if record.round <= o.mark.round:
                continue
            try:
                o.tracker.record(record)
            except Exception as e:
                self._off(o, e)
                continue
            o.mark, told = replace(o.mark, round=record.round, bytes=bytes_sent(record)), True
        return told

    def close(self, run: Run) -> None:
        """Tell them how the run ended and what it came to."""
        summary: dict[str, Setting] = {"status": run.status, "sha256": run.sha256, "nodes": run.nodes}
        if run.best is not None:
            summary["best.round"] = run.best.round
            for name in dict.fromkeys([*(m.name for m in run.metrics), *QUALITY]):
                value = run.best.measured(name)
                if value is not None:
                    summary[f"best.{name}"] = value
        self._end(run.status, summary)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("failed", {})

    def _end(self, status: str, summary: Mapping[str, Setting]) -> None:
        for o in list(self._opened):
            try:
                o.tracker.close(status, summary)
            except Exception as e:
                self._off(o, e)
        self._opened = []

    def _off(self, o: _Opened, error: Exception) -> None:
        self._opened.remove(o)
        log.warning("tracker %s is off: %s: %s", o.name, type(error).__name__, _one_line(error))

    def _keep(self) -> None:
        # The folder is the run's: before its first commit, and so before the first record, it is not there.
        if self._folder is None or not self._folder.is_dir():
            return
        marks = _read(self._folder) | {o.name: o.mark for o in self._opened}
        try:
            text = json.dumps({name: asdict(mark) for name, mark in marks.items()}, indent=1)
            write_atomically(self._folder / MARKS, text.encode())
        except OSError as e:
            log.warning("%s cannot be written, so a resumed run will be tracked anew: %s", MARKS, _one_line(e))
            self._folder = None


def _read(folder: Path | None) -> dict[str, Mark]:
    if folder is None or not (folder / MARKS).exists():
        return {}
    try:
        return {name: Mark(**mark) for name, mark in json.loads((folder / MARKS).read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as e:
        log.warning("%s is damaged, so the run is tracked anew: %s", folder / MARKS, _one_line(e))
        return {}


def _one_line(e: Exception) -> str:
    return " ".join(str(e).split()) or type(e).__name__
