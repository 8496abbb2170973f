"""The page about tables shows what really happens."""

import doctest
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_examples_of_the_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "tables.md"),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert tried > 15
    assert failed == 0
