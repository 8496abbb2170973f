"""Live progress: a Rich table on a terminal, plain lines elsewhere, a second apart and further as a run goes on."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foedus.core.cell import framed, grid, paragraph, text
from foedus.core.records.judged import in_words
from foedus.core.records.run import Record, Run
from foedus.core.text import visible
from foedus.core.types.metric import named
from foedus.report.notebook import Display, in_notebook
from foedus.report.summary import METRICS, Metric, measures
from foedus.report.terminal import LEFT_OUT, SafeConsole, in_ascii
from foedus.report.units import human_bytes, human_seconds

REFRESH = 8
"""Times a second that a terminal is redrawn, at most."""
PACE, PACE_OF_A_SWEEP = 1.0, 10.0
"""Seconds between two lines of progress off a terminal, at least. In a sweep a case that has ended is a line anyway."""
PATIENCE = 20
"""The time so far is at least so many times the time between two lines: an hour is a hundred lines, not 3,600."""
_MOST_ROWS = 20
_NARROW = ("program", "round", "quality", "up", "left")
_MIDDLE = ("program", "round", "quality", "up", "down", "virtual", "left")
_WIDE = ("program", "round", "quality", "up", "down", "virtual", "bar", "left", "wall")
_HEADS = ((92, _WIDE), (76, _MIDDLE), (0, _NARROW))
"""Columns by the width they need, beside a name of 12 letters."""


class Row:
    """One program's line: give it every record as it comes, and the run at the end.

    ``total_rounds``  None where it is not known.   ``start``  the round it goes on from.
    ``case``          its number in a sweep.
    """

    def __init__(self, table: LiveTable, label: str, total_rounds: int | None, start: int, case: int) -> None:
        self.label = label
        self.total = total_rounds
        self._table = table
        self._case = case
        self._start = start
        self._seen = _Seen(started=time.monotonic())
        self._printed: int | None = None
        self.worked = False

    @property
    def status(self) -> str:
        """How it ended; empty while it goes on."""
        return self._seen.status

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self._seen.lasted

    def update(self, record: Record) -> None:
        """Take one commit. Records that were not evaluated keep the quality shown before."""
        self.worked = True
        self._seen = self._seen.after(record)
        self._table.changed()
        if self._table.due():
            self._printed = record.round
            self._table.say(self._line(record))

    def finish(self, run: Run | None = None, status: str = "") -> None:
        """Say how it ended: ``status`` or ``run.status``, and how good it is where it is judged. May be called without
        a run.
        """
        if self._seen.status:
            return
        status = status or (run.status if run is not None else "finished")
        if run is not None and run.history and self._seen.record is not run.history[-1]:
            self._seen = self._seen.after(run.history[-1])
        self._seen = self._seen.ended(status)
        self._say_last()
        if self._table.terminal and self._table.cases is None:
            return
        of = "" if self._table.cases is None else f"case {self._case} of {self._table.cases}  "
        self._table.say(f"{of}{self.label}  {status}{_judged(run)}")

    def close(self) -> None:
        """The table ends: a row that never finished was stopped."""
        if not self._seen.status:
            self._seen = self._seen.ended("stopped")
            self._say_last()

    def _say_last(self) -> None:
        """Off a terminal the last round is always said, whenever it comes; in a sweep, how the case ended."""
        record = self._seen.record
        if self._table.lines and self._table.cases is None and record and self._printed != record.round:
            self._printed = record.round
            self._table.say(self._line(record))

    def _line(self, r: Record) -> str:
        # Plain ASCII, so that it can be printed whatever the output's encoding is.
        of = f"/{self.total}" if self.total is not None else ""
        parts = [self.label, f"round {r.round}{of}", _quality(r)]
        parts += [f"up {human_bytes(r.bytes_up)}", f"down {human_bytes(r.bytes_down)}"]
        parts += [f"virtual {human_seconds(r.virtual_s)}", f"wall {human_seconds(self._seen.wall)}"]
        return in_ascii("  ".join(p for p in parts if p))

    def cells(self) -> dict[str, Text | ProgressBar]:
        """This row of the terminal's table, by column."""
        seen, r = self._seen, self._seen.record
        of = f"/{self.total}" if self.total is not None else ""
        color = {"": "bold", "finished": "green"}.get(seen.status, "yellow")
        at = self._start if r is None else r.round
        done, total = (min(at, self.total), float(self.total)) if self.total else (0, None)
        if self.total is None and (seen.status or r is None):
            done, total = (1 if seen.status else 0), 1.0
        cells: dict[str, Text | ProgressBar] = {
            "program": Text(self.label, color if r is not None else ""),
            "round": Text("starting", "dim") if r is None and not self._start else Text(f"{at}{of}"),
            "bar": ProgressBar(total, float(done), 14, finished_style="green"),
            "left": Text(seen.status, color) if seen.status else Text(_eta(seen.left(self.total)), "dim"),
            "wall": Text(human_seconds(seen.wall_now), "dim" if r is None else ""),
        }
        if r is not None:
            cells |= {
                "quality": Text(seen.quality or ""),
                "up": Text(human_bytes(r.bytes_up)),
                "down": Text(human_bytes(r.bytes_down)),
                "virtual": Text(human_seconds(r.virtual_s)),
            }
        return cells


class LiveTable:
    """Several programs one after the other in one table: each row is live, then final.

    ``labels``  those that will come, so that the table has its final width from the start; more may follow.
    ``pace``    off a terminal, the seconds between two lines, at least: 1 by default, in a sweep 10, and more the
                longer it takes. The last round is always said.
    ``cases``   how many there will be, for a sweep: only the running one is shown, with how far the sweep is; the
                finished ones scroll away as plain lines. More than 20 labels are a sweep.

    >>> import io
    >>> out = io.StringIO()
    >>> with LiveTable(["FedAvg"], Console(file=out), pace=0) as table:
    ...     row = table.row("FedAvg", total_rounds=2)
    ...     row.update(Record(round=1, accuracy=0.5, bytes_up=1000))
    >>> out.getvalue().startswith("FedAvg  round 1/2  accuracy 50.0 %  up 1 kB")
    True
    """

    def __init__(
        self,
        labels: Sequence[str] = (),
        console: Console | None = None,
        pace: float | None = None,
        cases: int | None = None,
    ) -> None:
        self.console = console if console is not None else SafeConsole()
        self._cell = Display(self.html, self.text) if console is None and in_notebook() else None
        self.terminal = self._cell is None and self.console.is_terminal and not self.console.is_dumb_terminal
        self.cases = cases if cases is not None or len(labels) <= _MOST_ROWS else len(labels)
        self._labels = [visible(label) for label in labels]
        self._pace = pace if pace is not None else PACE if self.cases is None else PACE_OF_A_SWEEP
        self._began = self._said = time.monotonic()
        self._rows: dict[str, Row] = {}
        self._live: RichLive | None = None

    def __enter__(self) -> LiveTable:
        self._began = self._said = time.monotonic()
        if self.terminal:
            self._live = RichLive(console=self.console, get_renderable=self.render, refresh_per_second=REFRESH)
            self._live.start()
        self.changed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for row in self._rows.values():
            row.close()
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.changed(last=True)

    def row(self, label: str, total_rounds: int | None = None, start: int = 0) -> Row:
        """Begin a program, at round ``start`` where it is resumed. The row before it, if still open, is finished."""
        label = visible(label)
        for earlier in self._rows.values():
            earlier.finish()
        row = Row(self, label, total_rounds, start, len(self._rows) + 1)
        # A label that comes again gets a line of its own.
        key = label if label not in self._rows else f"{label}#{len(self._rows)}"
        self._rows[key] = row
        if key not in self._labels:
            self._labels.append(key)
        if start and self.lines and self.cases is None:
            self.say(f"{label}  goes on from round {start}")
        return row

    def changed(self, last: bool = False) -> None:
        """A row has changed: what redraws itself needs no word, a notebook's cell does."""
        if self._cell is not None:
            self._cell.update(last)

    def due(self) -> bool:
        """Whether a line of progress may be printed now; if so, the next has to wait."""
        now = time.monotonic()
        if not self.lines or now - self._said < max(self._pace, (now - self._began) / PATIENCE):
            return False
        self._said = now
        return True

    def say(self, line: str) -> None:
        """Print one plain line, never wrapped and never read as markup. In a notebook the display says it all."""
        if self._cell is not None:
            return
        self.console.print(Text(line), soft_wrap=True)

    @property
    def lines(self) -> bool:
        """Whether progress is lines: neither a terminal that is redrawn, nor a notebook's cell."""
        return not self.terminal and self._cell is None

    def html(self) -> str:
        """The table as a notebook shows it now."""
        heads = [self._metric() if head == "quality" else "" if head == "bar" else head for head in _WIDE]
        cells = [
            self._rows[label].cells() if label in self._rows else {"program": Text(label)} for label in self._shown
        ]
        rows = [[_html(row.get(head, Text())) for head in _WIDE] for row in cells]
        raw = range(len(_WIDE))
        return framed(grid(heads, rows, raw), paragraph(self._so_far(), soft=True) if self.cases is not None else "")

    def text(self) -> str:
        """The table as text of 100 columns, for who reads a notebook without its HTML."""
        # Rich would else show it in the cell itself, and in colours.
        plain = SafeConsole(file=io.StringIO(), width=100, force_jupyter=False, force_terminal=False)
        plain.print(self.render())
        assert isinstance(plain.file, io.StringIO)
        return plain.file.getvalue().rstrip()

    @property
    def _shown(self) -> list[str]:
        """The labels that are shown: all, or of a sweep the one that runs."""
        return self._labels if self.cases is None else list(self._rows)[-1:]

    def render(self) -> Group:
        """The table as it is now: all programs, or of a sweep the running one and how far it is."""
        labels = self._shown
        width = max((len(label) for label in labels), default=0)
        room = self.console.width - max(0, width - 12)
        heads = next((heads for least, heads in _HEADS if room >= least), _HEADS[-1][1])
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        for head in heads:
            if head == "program":
                table.add_column(head, no_wrap=True, overflow="ellipsis")
            elif head == "bar":
                table.add_column("", width=14, vertical="middle")
            elif head == "left":
                table.add_column(head, no_wrap=True, min_width=11 if "wall" in heads else None)
            else:
                table.add_column(self._metric() if head == "quality" else head, justify="right", no_wrap=True)
        for label in labels:
            cells = self._rows[label].cells() if label in self._rows else {"program": Text(label, "dim")}
            table.add_row(*(cells.get(head, Text()) for head in heads))
        if self.cases is not None:
            return Group(table, Text(self._so_far(), "dim"))
        # The bar only draws what "left" says.
        left_out = [head for head in _WIDE if head not in (*heads, "bar")]
        return Group(table, Text(f"{LEFT_OUT}{', '.join(left_out)}", "dim")) if left_out else Group(table)

    def _so_far(self) -> str:
        """How far a sweep is: "case 3 of 12, 2 finished, about 4 min left"."""
        assert self.cases is not None
        rows = list(self._rows.values())
        ended = [row for row in rows if row.status]
        parts = [f"case {len(rows)} of {self.cases}"]
        for status in dict.fromkeys(row.status for row in ended):
            parts.append(f"{sum(row.status == status for row in ended)} {status}")
        # Cases that were found finished took no time and tell no pace.
        worked = [row for row in ended if row.worked]
        if worked and len(ended) < self.cases:
            pace = sum(row.spent for row in worked) / len(worked)
            left = pace * (self.cases - len(ended)) - sum(row.spent for row in rows if not row.status)
            parts.append(f"about {human_seconds(max(1, round(left)))} left")
        return ", ".join(parts)

    def _metric(self) -> str:
        labels = [row._seen.metric.label for row in list(self._rows.values()) if row._seen.metric is not None]
        return labels[-1] if labels else "quality"


class Live:
    """One program's progress, as a context manager.

    ``total_rounds``  None where it is not known.   ``label``  the program's name.
    ``pace``          off a terminal, the seconds between two lines, at least (the last round is always said).
    ``start``         the round a resumed run goes on from.
    """

    def __init__(
        self,
        total_rounds: int | None,
        label: str,
        console: Console | None = None,
        pace: float | None = None,
        start: int = 0,
    ) -> None:
        self._table = LiveTable([label], console, pace)
        self._label, self._total, self._start = label, total_rounds, start
        self._row: Row | None = None

    def __enter__(self) -> Live:
        self._table.__enter__()
        self._row = self._table.row(self._label, self._total, self._start)
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
            self._row = self._table.row(self._label, self._total, self._start)
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
    stopped: float | None = None

    def after(self, r: Record) -> _Seen:
        now = time.monotonic()
        metric = _main(r)
        # Test quality stays when a round was not evaluated and has a training loss only.
        if metric is None or (self.metric is not None and r.main is None and metric.field == "train_loss"):
            metric, quality = self.metric, self.quality
        else:
            quality = metric.text(metric.of(r))
        first = self.first or (r.round, now)
        return _Seen(self.started, r, metric, quality, now, first)

    def ended(self, status: str) -> _Seen:
        return replace(self, status=status, stopped=time.monotonic())

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

    @property
    def lasted(self) -> float:
        """Seconds from the start to the end, or to now."""
        return (self.stopped or time.monotonic()) - self.started

    def left(self, total: int | None) -> float | None:
        """Seconds to go, at the pace so far; None where that is unknown."""
        if total is None or self.record is None or self.first is None:
            return None
        begun, since = self.first
        # A resumed run starts late: only the rounds seen here tell the pace.
        rounds = self.record.round - begun
        pace = (self.at - since) / rounds if rounds > 0 else self.at - self.started
        return max(0.0, pace * (total - self.record.round) - (time.monotonic() - self.at))


def _html(cell: Text | ProgressBar) -> str:
    if isinstance(cell, ProgressBar):
        return f'<progress style="width:9em" max="{cell.total or 1}" value="{cell.completed}"></progress>'
    return text(cell.plain)


def _main(r: Record) -> Metric | None:
    """What the record is judged by; None where nothing was measured."""
    said = [] if r.main is None else [Metric.of_core(named(r.main))]
    return next((m for m in [*said, *METRICS] if m.of(r) is not None), None)


def _quality(r: Record) -> str:
    metric = _main(r)
    return f"{metric.label} {metric.text(metric.of(r))}" if metric else ""


def _judged(run: Run | None) -> str:
    """How good a run is at the point at which it is judged; empty where nothing was evaluated."""
    j = None if run is None else run.judged
    if run is None or j is None:
        return ""
    metric = next((m for m in measures([run]) if m.field in j.here.values), None)
    return (
        "" if metric is None else f", {metric.label} {metric.text(j.here.values[metric.field])} in {in_words(j.rounds)}"
    )


def _eta(seconds: float | None) -> str:
    return "" if seconds is None else human_seconds(round(seconds) if seconds >= 1 else 0)
