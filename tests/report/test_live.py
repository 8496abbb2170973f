"""Live progress, on a terminal and elsewhere."""

import io
import math
import re
import time

import pytest
from rich.console import Console

from foedus.core.records.judged import Judged, Measured
from foedus.core.records.run import Record
from foedus.report import Live, LiveTable

from .fakes import Centralized, FedAvg, fake, learn, record


def plain(width: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=width)


def terminal(width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={"TERM": "xterm"})


def out(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def screen(table: LiveTable, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table.render())
    return out(console)


def test_one_line_a_round_never_wrapped():
    console = plain(width=20)
    with Live(2, "FedAvg", console, pace=0) as live:
        live.update(record(1, 0.5, bytes_up=1000, bytes_down=2_500_000, virtual_s=65.0, wall_s=0.25))
        live.update(Record(2, train_loss=0.125, wall_s=0.5))
    assert out(console).splitlines() == [
        "FedAvg  round 1/2  accuracy 50.0 %  up 1 kB  down 2.5 MB  virtual 1 min 5 s  wall 250 ms",
        "FedAvg  round 2/2  training loss 0.125  up 0 B  down 0 B  virtual 0 s  wall 500 ms",
    ]


def test_lines_are_a_pace_apart_and_the_last_round_is_always_said():
    console, history = plain(), learn(400, 0.1, 0.9, 3, up=1)
    began = time.monotonic()
    with Live(400, "FedAvg", console, pace=0.1) as live:
        for r in history:
            live.update(r)
            time.sleep(0.001)
    said = re.findall(r"round (\d+)/400", out(console))
    assert said[-1] == "400"
    assert 3 <= len(said) <= (time.monotonic() - began) / 0.1 + 1


def test_the_longer_it_takes_the_fewer_lines_a_second(monkeypatch):
    """An hour of a thousand rounds a minute: a line a second at first, at last one in three minutes."""
    now = 0.0
    monkeypatch.setattr("foedus.report.live.time.monotonic", lambda: now)
    console = plain()
    with Live(60_000, "FedAvg", console) as live:
        for now in (0.06 * t for t in range(1, 60_001)):
            live.update(Record(round(now / 0.06)))
    minutes = [int(n) // 1000 for n in re.findall(r"round (\d+)/", out(console))]
    assert minutes.count(0) >= 30
    assert 100 <= len(minutes) <= 150
    assert minutes[-1] == 60


def test_the_end_is_said_with_what_it_is_judged_by():
    """Not with the best value of any round, which was picked on the rows that it is of."""
    console, history = plain(), learn(7, 0.1, 0.9, 3, up=1)
    here = Measured({"accuracy": 0.625, "loss": 1.0})
    run = fake(FedAvg(), history, status="stopped", judged=Judged((3, 5), "crossed", "accuracy", 80, None, here, here))
    with Live(None, "FedAvg", console) as live:
        for r in history:
            live.update(r)
        live.finish(run)
        live.finish(run)
    lines = out(console).splitlines()
    assert [ln.split("  ")[1] for ln in lines] == [
        "round 7",
        "stopped, accuracy 62.5 % in rounds 3 and 5",
    ]


def test_several_programs_one_after_the_other():
    console = plain()
    with LiveTable(["a", "b"], console, pace=0) as table:
        for label in ("a", "b"):
            row = table.row(label, 2)
            for r in learn(2, 0.1, 0.9, 3):
                row.update(r)
    assert [ln.split("  ")[:2] for ln in out(console).splitlines()] == [
        ["a", "round 1/2"], ["a", "round 2/2"], ["a", "finished"], ["b", "round 1/2"], ["b", "round 2/2"],
    ]  # fmt: skip


def test_lines_are_ascii_and_labels_are_not_markup():
    console = plain()
    with Live(1, "[red]x[/red]", console) as live:
        live.update(record(1, math.nan, virtual_s=math.nan))
    assert out(console).startswith("[red]x[/red]  round 1/1  up 0 B")
    assert "virtual -" in out(console)
    assert out(console).isascii()


def test_no_escape_codes_off_a_terminal():
    console = plain()
    with Live(1, "x", console) as live:
        live.update(record(1, 0.5))
    assert "\x1b" not in out(console)


@pytest.mark.parametrize("width", [120, 80])
def test_the_terminal_shows_a_table(width):
    console, history = terminal(width), learn(10, 0.1, 0.9, 3, up=1_000_000, down=1)
    with LiveTable(["Centralized", "FedAvg", "later"], console) as table:
        first = table.row("Centralized", 10)
        for r in learn(10, 0.1, 0.97, 3):
            first.update(r)
        first.finish(fake(Centralized(), []))
        row = table.row("FedAvg", 10)
        for r in history[:4]:
            row.update(r)
        lines = screen(table, width).splitlines()
        assert [ln.split()[0] for ln in lines[:4]] == ["program", "Centralized", "FedAvg", "later"]
        assert lines[4:] == (["Too narrow for: wall"] if width == 80 else [])
        assert "finished" in lines[1]
        assert "4/10" in lines[2]
        assert f"{100 * history[3].accuracy:.1f} %" in lines[2]
        assert "4 MB" in lines[2]
        assert "accuracy" in lines[0]
        assert max(len(ln) for ln in lines) <= width
        assert ("━" in lines[2]) == (width == 120)
    shown = out(console)
    assert "FedAvg" in shown
    assert "4/10" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_the_terminal_is_redrawn_at_most_8_times_a_second():
    console = terminal()
    begin = time.monotonic()
    with Live(100_000, "FedAvg", console) as live:
        for t in range(1, 3001):
            live.update(record(t, 0.5))
        time.sleep(0.3)
    spent = time.monotonic() - begin
    drawn = out(console).count("program")
    assert 2 <= drawn <= 8 * spent + 3


def test_quality_stays_when_a_round_was_not_evaluated():
    with LiveTable([], terminal()) as table:
        row = table.row("FedAvg", 5)
        row.update(record(1, 0.75))
        row.update(Record(2, train_loss=0.2))
        assert "75.0 %" in screen(table)
        assert "2/5" in screen(table)


def test_an_error_leaves_the_terminal_whole_and_the_row_stopped():
    console = terminal()

    def broken() -> None:
        with LiveTable(["FedAvg"], console) as table:
            table.row("FedAvg", 5).update(record(1, 0.5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert "stopped" in out(console)
    assert "\x1b[?25h" in out(console)


def test_unknown_total_and_a_label_twice():
    with LiveTable(["x"], terminal()) as table:
        table.row("x").update(record(3, 0.5))
        table.row("x", 9).update(record(4, 0.6))
        lines = screen(table).splitlines()
    assert len(lines) == 3
    assert " 3 " in lines[1]
    assert "4/9" in lines[2]


def sweep(console: Console, cases: int, pace: float | None = None, status: str = "finished") -> LiveTable:
    labels = [f"lr={i}" for i in range(cases)]
    with LiveTable(labels, console, pace=pace) as table:
        for label in labels[:3]:
            row = table.row(label, 2)
            history = learn(2, 0.1, 0.9, 3)
            for r in history:
                row.update(r)
            row.finish(fake(FedAvg(), history, status=status))
    return table


def test_a_sweep_is_a_line_a_case_off_a_terminal():
    console = plain()
    sweep(console, 100)
    assert [ln.split(", best")[0] for ln in out(console).splitlines()] == [
        f"case {i + 1} of 100  lr={i}  finished" for i in range(3)
    ]
    console = plain()
    sweep(console, 100, pace=0)
    assert [ln.split("  ")[1] for ln in out(console).splitlines()[:3]] == ["round 1/2", "round 2/2", "lr=0"]


@pytest.mark.parametrize("width", [120, 80, 60])
def test_a_sweep_shows_the_running_case_and_how_far_it_is(width):
    console = terminal(width)
    with LiveTable(cases=12, console=console) as table:
        done = table.row("lr=1", 10)
        done.update(record(10, 0.5))
        done.finish()
        table.row("lr=2", 10).finish(status="failed")
        row = table.row("lr=3", 10)
        row.update(record(4, 0.5, bytes_up=10))
        lines = screen(table, width).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("lr=3")
    assert lines[2].startswith("case 3 of 12, 1 finished, 1 failed, about ")
    assert max(map(len, lines)) <= width
    assert "50.0 %" in lines[1]
    assert "case 1 of 12  lr=1  finished" in out(console)  # scrolled away above
    assert "\x1b[?25h" in out(console)


def test_cases_that_were_found_finished_tell_no_pace():
    with LiveTable(cases=12, console=terminal()) as table:
        table.row("lr=1", 10).finish(fake(FedAvg(), learn(3, 0.1, 0.9, 3)))
        table.row("lr=2", 10)
        assert screen(table).splitlines()[-1] == "case 2 of 12, 1 finished"


def test_a_narrow_terminal_drops_columns_not_numbers():
    with LiveTable(["FedAvg"], terminal(60)) as table:
        table.console.width = 60
        row = table.row("FedAvg", 10)
        row.update(record(4, 0.5, bytes_up=123_000_000, bytes_down=123_000_000, virtual_s=3700.0))
        lines = screen(table, 60).splitlines()
    assert lines[0].split() == ["program", "round", "accuracy", "up", "left"]
    assert "123 MB" in lines[1]


def test_a_resumed_run_starts_at_its_round():
    with LiveTable(["FedAvg"], terminal()) as table:
        row = table.row("FedAvg", 60, start=12)
        assert "12/60" in screen(table)
        row.update(record(13, 0.5))
        assert "13/60" in screen(table)
    console = plain()
    with Live(60, "FedAvg", console, start=12) as live:
        live.update(record(13, 0.5))
    assert [ln.split("  ")[1] for ln in out(console).splitlines()] == ["goes on from round 12", "round 13/60"]


def test_the_keyboard_leaves_a_sweep_whole():
    console = terminal()

    def interrupted() -> None:
        with LiveTable(cases=5, console=console) as table:
            table.row("lr=1", 5).update(record(1, 0.5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "case 1 of 5, 1 stopped" in out(console)
    assert out(console).endswith("\x1b[?25h") or out(console).rstrip("\n").endswith("\x1b[?25h")
