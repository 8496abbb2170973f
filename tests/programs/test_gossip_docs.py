"""The pages about decentralised algorithms show what really happens."""

import doctest
from pathlib import Path

import pytest


@pytest.mark.parametrize("page", ["gossip", "push-sum", "choco", "ad-psgd"])
def test_examples_of_the_page(page):
    path = Path(__file__).parents[2] / "docs" / "algorithms" / f"{page}.md"
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=flags)
    assert tried > 5
    assert failed == 0
