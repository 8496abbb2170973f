"""Progress, pictures and pages in a notebook's cell; a kernel is run by ``tests/test_notebook.py``."""

import sys
import types

import pytest

from foedus.report import LiveTable, Page, Picture, page, plot
from foedus.report.notebook import in_notebook

from .fakes import FedAvg, fake, learn


class Cell:
    """Stands where IPython is: notes what is displayed, and how often that is written anew."""

    def __init__(self):
        self.displays, self.updates = [], []

    def display(self, data, raw, display_id):
        assert raw
        assert display_id is True
        self.displays.append(data)
        return types.SimpleNamespace(update=lambda data, raw: self.updates.append(data))


@pytest.fixture
def cell(monkeypatch):
    found = Cell()
    shell = types.SimpleNamespace(kernel=object())
    ipython = types.SimpleNamespace(get_ipython=lambda: shell, display=types.SimpleNamespace(display=found.display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return found


def test_a_kernel_is_a_notebook_and_a_terminals_ipython_is_none(cell, monkeypatch):
    assert in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())
    assert not in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_one_display_however_many_rounds(cell, capsys):
    history = learn(500, 0.1, 0.9, 3, up=1)
    with LiveTable(["FedAvg", "<later>"]) as table:
        row = table.row("FedAvg", 500)
        for r in history:
            row.update(r)
        row.finish(fake(FedAvg(), history))
    assert len(cell.displays) == 1
    assert 1 <= len(cell.updates) <= 20
    last = cell.updates[-1]["text/html"]
    assert "500/500" in last
    assert "finished" in last
    assert '<progress style="width:9em" max="500.0" value="500' in last
    assert "&lt;later&gt;" in last
    assert "\x1b" not in cell.updates[-1]["text/plain"]
    assert capsys.readouterr().out == ""


def test_a_sweep_says_how_far_it_is(cell):
    with LiveTable(cases=12) as table:
        table.row("lr=1", 10).finish()
        table.row("lr=2", 10).finish(status="failed")
    assert "case 2 of 12, 1 finished, 1 failed" in cell.updates[-1]["text/html"]


def test_a_picture_and_a_page_without_a_path(tmp_path):
    runs = {"<b>": fake(FedAvg(), learn(3, 0.1, 0.9, 3, up=1))}
    shown = plot(runs)
    assert isinstance(shown, Picture)
    png, size = shown._repr_png_()
    assert png == plot(runs, tmp_path / "a.png").read_bytes()
    assert size == {"width": 768, "height": 312}
    whole = page(runs)
    assert isinstance(whole, Page)
    assert whole.html == page(runs, tmp_path / "a.html").read_text()
    frame = whole._repr_html_()
    assert frame.count("<") == 2  # the frame and its end: all else is inside its attribute, escaped
    assert 'sandbox="allow-scripts allow-popups"' in frame
