"""What the terminal shows: it fits, it is plain where it must be, and its numbers are those of the run."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from foedus.core.records.run import Record
from foedus.report import Sheet, as_json, comparison, show
from foedus.report.terminal import SPARKS, Column, Facts, Grid, Words, bar, sparkline

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, learn, record, seeds
from .test_page import EMPTY, four

WIDTHS = (24, 40, 60, 80, 120, 250)


def terminal(sheet: Sheet, width: int) -> list[str]:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={"TERM": "xterm"}
    )
    console.print(sheet)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_fits(width):
    group = {"a long name for a setting, lr=0.001": seeds(FedAvg(), 0.8, 0.9), "b": seeds(SyncSGD(), 0.7)}
    for sheet in (show(four()[3]), comparison(four()), comparison(group)):
        text = sheet.plain(width)
        assert max(map(len, text.splitlines())) <= width
        assert text.isascii()
        lines = [
            ln.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") for ln in terminal(sheet, width)
        ]
        assert max(map(cell_len, lines)) <= width


def test_a_terminal_gets_curves_and_a_file_gets_ascii():
    sheet = show(fake(FedAvg(), learn(30, 0.1, 0.9, 6, up=10, wire=3.0)))
    assert any(c in "\n".join(terminal(sheet, 100)) for c in SPARKS)
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    console.print(sheet)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().isascii()
    assert console.file.getvalue().rstrip("\n") == sheet.plain(100)


def test_one_run_says_first_and_last(tmp_path):
    history = [record(1, 0.2), record(2, 0.9, bytes_up=2_000_000, bytes_down=10), record(3, 0.8, bytes_up=3_000_000)]
    (tmp_path / "history.jsonl").write_text("")
    text = show(fake(FedAvg(), history, out=tmp_path, status="stopped")).plain(400)
    assert "FedAvg: stopped after 3 rounds, 3 nodes, seed 7" in text
    for said in (
        "80.0 % in round 3",
        "20.0 % in round 1",
        "3 MB up",
        str(tmp_path),
        "history.jsonl",
    ):
        assert said in text
    assert "90.0 % in" not in text  # in which of many rounds it was best by chance says nothing


def test_metrics_of_the_programs_own_are_shown():
    run = fake(FedAvg(), [record(1, 0.5, metrics={"consensus_distance": 0.25, "node_mean_accuracy": 0.4})])
    text = show(run).plain(100)
    assert "consensus distance  0.25" in text
    assert "node mean" not in text


@pytest.mark.parametrize("history", EMPTY)
@pytest.mark.parametrize("changes", [{}, {"sizes": [], "label_counts": None, "nodes": 0}])
def test_little_or_odd_history_is_still_shown(history, changes):
    run = fake(FedAvg(), history, **changes)
    text = show(run).plain(80) + comparison([run, fake(Centralized(), history, **changes)]).plain(80)
    assert "nan" not in text.lower().split()
    assert "None" not in text.replace("None)", "")
    for found in (as_json(run), as_json([run])):
        json.dumps(found, allow_nan=False)


def test_rows_are_settings_and_narrow_tables_drop_columns_not_settings():
    wide, narrow = comparison(four()).plain(160), comparison(four()).plain(44)
    for label in ("Centralized", "LocalOnly", "SyncSGD", "FedAvg"):
        assert any(ln.startswith(label) for ln in wide.splitlines())
        assert any(ln.startswith(label) for ln in narrow.splitlines())
    assert "virtual" in wide
    assert "96.0 %" in narrow
    assert "virtual" not in narrow.splitlines()[0] + narrow.splitlines()[1]


def test_the_answer_is_said_below_the_table():
    assert "Working together, FedAvg reached an accuracy of" in comparison(four()).plain(200)
    assert "To reach 80 %, FedAvg needed" in " ".join(comparison(four(), 0.8).plain(200).split())


def test_json_of_a_run():
    found = json.loads(json.dumps(as_json(four()[3]), allow_nan=False))
    assert set(found) == {
        "program", "settings", "runtime", "status", "seed", "nodes", "rounds", "evaluated_on", "objective",
        "quality", "baseline", "judged", "costs", "time_shares", "node_metrics", "suspects", "each_node", "sha256",
        "out", "origin", "preparation",
    }  # fmt: skip
    assert found["quality"]["last"]["round"] == 40
    assert found["costs"]["bytes_up"] == 120_000
    assert set(found["costs"]) == {
        "epochs", "bytes_up", "bytes_down", "messages", "compute_s", "wire_s", "waiting_s", "serial_s",
        "virtual_s", "wall_s", "late", "refused", "failed", "lost",
    }  # fmt: skip
    assert sum(found["time_shares"].values()) == pytest.approx(1)


def test_unknown_numbers_are_null():
    found = as_json(fake(FedAvg(), [Record(1, accuracy=0.5, virtual_s=float("nan"))]))
    assert found["costs"]["virtual_s"] is None
    assert as_json(fake(LocalOnly(), []))["quality"] is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(1, 60))
def test_sparklines_keep_order_and_width(values, width):
    line = sparkline(values, width)
    assert len(line) == min(width, len(values))
    if len(values) <= width:
        ranks = [SPARKS.index(c) for c in line]
        assert all(
            a <= b for (x, a) in zip(values, ranks, strict=True) for (y, b) in zip(values, ranks, strict=True) if x < y
        )


def test_bars():
    assert [len(bar(x, 10)) for x in (0, 0.001, 0.5, 1)] == [0, 1, 5, 10]


def test_words_of_two_cells_and_long_words_are_broken():
    sheet = Sheet((Words("数" * 30), Words("x" * 70), Facts((("k", "y" * 70),)), Grid((Column("h", ("z" * 50,)),))))
    for line in sheet.plain(24).splitlines():
        assert cell_len(line) <= 24
    assert sheet.plain(24).count("数") == 30
    assert sheet.plain(24).count("z") == 50


def test_columns_that_must_stay_are_cut_at_the_width():
    sheet = Sheet((Grid((Column("a", ("x" * 30,)), Column("b", ("y" * 30,)), Column("c", ("z" * 30,), spare=1))),))
    text = sheet.plain(36)
    assert max(map(len, text.splitlines())) == 36
    assert "z" not in text
    assert "z" in sheet.plain(100)


def test_an_output_that_knows_no_letters_gets_question_marks():
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=40)
    console.print(Sheet((Words("Köln"),)))
    console.file.flush()
    assert raw.getvalue() == b"K?ln\n"
