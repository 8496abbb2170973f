"""The pages about FedAvg's relatives show what really happens."""

import doctest
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "algorithms"


@pytest.mark.parametrize(
    "page",
    ["ditto", "fedavgm", "fedbn", "feddyn", "fednova", "fedopt", "fedper", "fedprox", "fedrep", "fine_tune",
     "hierarchical", "ifca", "qffl", "scaffold"],
)  # fmt: skip
def test_examples_of_the_page(page: str) -> None:
    failed, tried = doctest.testfile(
        str(PAGES / f"{page}.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried > 4
    assert failed == 0
