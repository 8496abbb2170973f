"""Live progress: a Rich table on a terminal, one plain line a round elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foedus.core.run import Record, Run
from foedus.report.summary import METRICS, Metric
from foedus.report.units import MISSING, human_bytes, human_seconds

REFRESH = 8
"""Times a second that a terminal is redrawn, at most."""


class Row:
    """One program's line: give it every record as it comes, and the run at the end.

    ``total_rounds``  None where it is not known.   ``every``  off a terminal, print each so many rounds.
    """

    def __init__(self, table: LiveTable, label: str, total_rounds: int | None, every: int) -> None:
        self.label = label
        self.total = total_rounds
        self._table = table
        self._every = max(1, every)
        self._seen = _Seen(started=time.monotonic())
        self._printed: int | None = None

    def update(self, record: Record) -> None:
        """Take one commit. Records that were not evaluated keep the quality shown before."""
        self._seen = self._seen.after(record)
        last = self.total is not None and record.round >= self.total
        if not self._table.terminal and (record.round % self._every == 0 or last):
            self._printed = record.round
            self._table.say(self._line(record))

    def finish(self, run: Run | None = None) -> None:
        """Say how it ended: ``run.status`` and its best quality. May be called without a run."""
        if self._seen.status:
            return
        status = run.status if run is not None else "finished"
        if run is not None and run.history and self._seen.record is not run.history[-1]:
            self._seen = self._seen.after(run.history[-1])
        self._seen = self._seen.ended(status, run.best if run is not None else None)
        record = self._seen.record
        if self._table.terminal:
            return
        if record is not None and self._printed != record.round:
            self._table.say(self._line(record))
        quality = _quality(self._seen.best) if self._seen.best is not None else ""
        best = f", best {quality} in round {self._seen.best.round}" if quality and self._seen.best else ""
        self._table.say(f"{self.label}  {status}{best}")

    def close(self) -> None:
        """The table ends: a row that never finished was stopped."""
        if not self._seen.status:
            self._seen = self._seen.ended("stopped", None)

    def _line(self, r: Record) -> str:
        # Plain ASCII, so that it can be printed whatever the output's encoding is.
        of = f"/{self.total}" if self.total is not None else ""
        parts = [self.label, f"round {r.round}{of}", _quality(r)]
        parts += [f"up {human_bytes(r.bytes_up)}", f"down {human_bytes(r.bytes_down)}"]
        parts += [f"virtual {human_seconds(r.virtual_s)}", f"wall {human_seconds(self._seen.wall)}"]
        return "  ".join(p for p in parts if p).replace(MISSING, "-")

    def cells(self, wide: bool) -> list[Text | ProgressBar]:
        """This row of the terminal's table."""
        seen, r = self._seen, self._seen.record
        if r is None:
            cells: list[Text | ProgressBar] = [
                Text(self.label),
                Text("starting", "dim"),
                Text(),
                Text(),
                Text(),
                Text(),
            ]
            return (
                cells + ([ProgressBar(1, 0, 14), Text()] if wide else []) + [Text(human_seconds(seen.wall_now), "dim")]
            )
        of = f"/{self.total}" if self.total is not None else ""
        color = {"": "bold", "finished": "green"}.get(seen.status, "yellow")
        cells = [
            Text(self.label, color),
            Text(f"{r.round}{of}"),
            Text(seen.quality or ""),
            Text(human_bytes(r.bytes_up)),
            Text(human_bytes(r.bytes_down)),
            Text(human_seconds(r.virtual_s)),
        ]
        left = Text(seen.status, color) if seen.status else Text(_eta(seen.left(self.total)), "dim")
        if wide:
            done = min(r.round, self.total) if self.total else 0
            total = float(self.total) if self.total else None
            bar = ProgressBar(total, float(done), 14, finished_style="green")
            if self.total is None and seen.status:
                bar = ProgressBar(1, 1, 14, finished_style="green")
            return [*cells, bar, left, Text(human_seconds(seen.wall_now))]
        return [*cells, left]


class LiveTable:
    """Several programs one after the other in one table: each row is live, then final.

    ``labels``  those that will come, so that the table has its final width from the start; more may follow.
    ``every``   off a terminal, print one line each so many rounds (the last round always).

    >>> import io
    >>> out = io.StringIO()
    >>> with LiveTable(["FedAvg"], Console(file=out)) as table:
    ...     row = table.row("FedAvg", total_rounds=2)
    ...     row.update(Record(round=1, accuracy=0.5, bytes_up=1000))
    >>> out.getvalue().startswith("FedAvg  round 1/2  accuracy 50.0 %  up 1 kB")
    True
    """

    def __init__(self, labels: Sequence[str] = (), console: Console | None = None, every: int = 1) -> None:
        self.console = console if console is not None else Console()
        self.terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self._labels = list(labels)
        self._every = every
        self._rows: dict[str, Row] = {}
        self._live: RichLive | None = None

    def __enter__(self) -> LiveTable:
        if self.terminal:
            self._live = RichLive(console=self.console, get_renderable=self.render, refresh_per_second=REFRESH)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for row in self._rows.values():
            row.close()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def row(self, label: str, total_rounds: int | None = None) -> Row:
        """Begin a program. The row before it, if still open, is taken as finished."""
        for earlier in self._rows.values():
            earlier.finish()
        row = Row(self, label, total_rounds, self._every)
        # A label that comes again gets a line of its own.
        key = label if label not in self._rows else f"{label}#{len(self._rows)}"
        self._rows[key] = row
        if key not in self._labels:
            self._labels.append(key)
        return row

    def say(self, line: str) -> None:
        """Print one plain line, never wrapped and never read as markup."""
        self.console.print(Text(line), soft_wrap=True)

    def render(self) -> Group:
        """The table as it is now."""
        width = max((len(label) for label in self._labels), default=0)
        wide = self.console.width >= 92 + max(0, width - 12)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("program", no_wrap=True, overflow="ellipsis")
        for head in ("round", self._metric(), "up", "down", "virtual"):
            table.add_column(head, justify="right", no_wrap=True)
        if wide:
            table.add_column("", width=14, vertical="middle")
            table.add_column("left", no_wrap=True, min_width=11)
            table.add_column("wall", justify="right", no_wrap=True)
        else:
            table.add_column("left", no_wrap=True)
        for label in self._labels:
            if label in self._rows:
                table.add_row(*self._rows[label].cells(wide))
            else:
                table.add_row(Text(label, "dim"))
        return Group(table)

    def _metric(self) -> str:
        labels = [row._seen.metric.label for row in self._rows.values() if row._seen.metric is not None]
        return labels[-1] if labels else "quality"


class Live:
    """One program's progress, as a context manager.

    ``total_rounds``  None where it is not known.   ``label``  the program's name.
    ``every``         off a terminal, print one line each so many rounds (the last round always).
    """

    def __init__(self, total_rounds: int | None, label: str, console: Console | None = None, every: int = 1) -> None:
        self._table = LiveTable([label], console, every)
        self._label, self._total = label, total_rounds
        self._row: Row | None = None

    def __enter__(self) -> Live:
        self._table.__enter__()
        self._row = self._table.row(self._label, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)

    def update(self, record: Record) -> None:
        """Take one commit."""
        self._open().update(record)

    def finish(self, run: Run | None = None) -> None:
        """Say how it ended."""
        self._open().finish(run)

    def _open(self) -> Row:
        if self._row is None:
            self._row = self._table.row(self._label, self._total)
        return self._row


@dataclass(frozen=True)
class _Seen:
    """What a row knows. It is replaced, never changed, because the terminal is redrawn from another thread."""

    started: float
    record: Record | None = None
    metric: Metric | None = None
    quality: str = ""
    at: float = 0.0
    first: tuple[int, float] | None = None
    status: str = ""
    best: Record | None = None
    stopped: float | None = None

    def after(self, r: Record) -> _Seen:
        now = time.monotonic()
        metric = next((m for m in METRICS if m.of(r) is not None), None)
        # Test quality stays when a round was not evaluated and has a training loss only.
        if metric is None or (self.metric is not None and METRICS.index(metric) > METRICS.index(self.metric)):
            metric, quality = self.metric, self.quality
        else:
            quality = metric.text(metric.of(r))
        first = self.first or (r.round, now)
        return _Seen(self.started, r, metric, quality, now, first)

    def ended(self, status: str, best: Record | None) -> _Seen:
        return _Seen(
            self.started, self.record, self.metric, self.quality, self.at, self.first, status, best, time.monotonic()
        )

    @property
    def wall(self) -> float:
        """Seconds of the run so far: its own account, or ours where it keeps none."""
        if self.record is not None and self.record.wall_s > 0:
            return self.record.wall_s
        return (self.at or self.started) - self.started

    @property
    def wall_now(self) -> float:
        """The same, and going on between records."""
        since = (self.stopped or time.monotonic()) - (self.at or self.started)
        return self.wall + (0.0 if self.stopped else max(0.0, since))

    def left(self, total: int | None) -> float | None:
        """Seconds to go, at the pace so far; None where that is unknown."""
        if total is None or self.record is None or self.first is None:
            return None
        begun, since = self.first
        # A resumed run starts late: only the rounds seen here tell the pace.
        rounds = self.record.round - begun
        pace = (self.at - since) / rounds if rounds > 0 else self.at - self.started
        return max(0.0, pace * (total - self.record.round) - (time.monotonic() - self.at))


def _quality(r: Record) -> str:
    metric = next((m for m in METRICS if m.of(r) is not None), None)
    return f"{metric.label} {metric.text(metric.of(r))}" if metric else ""


def _eta(seconds: float | None) -> str:
    return "" if seconds is None else human_seconds(round(seconds) if seconds >= 1 else 0)
