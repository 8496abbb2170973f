"""The pages about asynchronous programs show what really happens."""

import doctest
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "algorithms"


@pytest.mark.parametrize("page", ["parameter_server", "stale_synchronous", "easgd", "fedasync", "fedbuff"])
def test_examples_of_the_page(page: str) -> None:
    failed, tried = doctest.testfile(
        str(PAGES / f"{page}.md"),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert tried >= 6
    assert failed == 0
