"""What a notebook shows of things: no tensors, no rows, nothing that acts, the page's own colours."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.cell import ends, facts, grid, paragraph

NASTY = "<script>alert(1)</script>\u202e"


def things():
    x = np.full((40, 3), 0.123456, "f")
    names = (NASTY, "no")
    whole = replace(fd.data.arrays(x, np.arange(40) % 2, node=[NASTY, "b"] * 20), class_names=names, name=NASTY)
    split = whole.split(fd.data.Natural(), holdout=0.25)
    model = fd.Model(fd.models.logistic(3, 2))
    return {"data": whole, "split": split, "model": model, "run": fd.train(fd.FedAvg(rounds=2), model, split)}


@pytest.fixture(scope="module")
def shown():
    return {name: thing._repr_html_() for name, thing in things().items()}


def test_names_from_elsewhere_are_text(shown):
    for html in (shown["data"], shown["split"]):
        assert "<script>" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in html
    for block in (paragraph(NASTY), facts([(NASTY, NASTY)]), grid([NASTY], [[NASTY]])):
        assert "<script>" not in block


def test_there_are_no_numbers_of_rows_and_no_colours_of_our_own(shown):
    for html in shown.values():
        assert "0.123" not in html
        assert "tensor" not in html
        assert not re.search(r"(?<!-)color:", html)


def test_what_is_there_is_told(shown):
    assert "40, each of shape (3,)" in shown["data"]
    assert "30 at 2 nodes" in shown["split"]
    assert ">15</td>" in shown["split"]
    assert "8 parameters" in shown["model"]
    assert "FedAvg: finished after 2 rounds, 2 nodes" in shown["run"]


def test_as_text_they_are_a_line():
    for thing in things().values():
        assert len(repr(thing).splitlines()) == 1
        assert len(repr(thing)) < 200


def test_of_many_rows_the_ends_are_shown():
    assert ends([[i, i] for i in range(12)]) == [[i, i] for i in range(12)]
    found = ends([[i, i] for i in range(1000)])
    assert [r[0] for r in found] == [0, 1, 2, 3, 4, 5, "...", 994, 995, 996, 997, 998, 999]
    assert "999,999" in repr(fd.data.arrays(torch.zeros(999_999, 1), torch.zeros(999_999)))
