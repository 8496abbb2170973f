"""Every Python example in the documentation runs, and prints what the page says."""

import doctest
import re
import sys
import types
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# The tutorial's examples need what its commands left behind (test_tutorial.py); the API pages are docstrings.
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.name != "tutorial.md" and not {"_build", "api"} & set(page.relative_to(DOCS).parts)
]
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEEDS_A_FILE = "/usr/share/datasets/"
"""A block that reads what is not on every machine is shown, not run."""


def blocks(page: Path) -> list[str]:
    return [b for b in FENCE.findall(page.read_text(encoding="utf-8")) if NEEDS_A_FILE not in b]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(DOCS)))
def test_examples_of_the_page(page, tmp_path, monkeypatch):
    """From first to last, in one namespace, as somebody who reads the page would run them."""
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # A class needs a module that pickle, typing and dataclasses can find.
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for number, block in enumerate(blocks(page), 1):
        if ">>>" not in block:
            exec(compile(block, f"{page.name}, block {number}", "exec"), module.__dict__)
            continue
        test = doctest.DocTestParser().get_doctest(block, module.__dict__, page.name, str(page), 0)
        test.globs = module.__dict__
        said: list[str] = []
        if runner.run(test, out=said.append, clear_globs=False).failed:
            pytest.fail("".join(said), pytrace=False)


def test_examples_are_in_blocks_that_are_run():
    """A prompt outside of a python block would be shown and never run."""
    for page in PAGES:
        outside = FENCE.sub("", page.read_text(encoding="utf-8"))
        assert ">>> " not in outside, page
