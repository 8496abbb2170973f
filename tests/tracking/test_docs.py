"""The page about trackers shows what really happens."""

import doctest
from pathlib import Path


def test_examples_of_the_page(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "tracking.md"
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried > 10
    assert failed == 0
