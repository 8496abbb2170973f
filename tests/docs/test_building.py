"""What builds the documentation: docstrings made reST, pages of the API, the table of programs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docutils.core import publish_doctree

import foedus

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import api_pages  # noqa: E402
import plain_docstrings  # noqa: E402
import program_table  # noqa: E402

ALGORITHMS = DOCS / "algorithms"


def parsed(text: str):
    """The tree of a docstring; reST errors are failures."""
    return publish_doctree(
        "\n".join(plain_docstrings.plain_to_rest(text.splitlines())), settings_overrides={"halt_level": 2}
    )


def terms(tree) -> list[str]:
    return [t.astext() for t in tree.findall() if t.tagname == "term"]


def test_aligned_names_become_a_definition_list():
    tree = parsed("""What it is.
``alpha``     how unequal, ``0.1`` say;
              or more.
``a``, ``b``  two at once.   ``c``  a third on the line.
``max_width`` as long as the column.

Errors: ``BadInput``.""")
    assert terms(tree) == ["alpha", "a, b", "c", "max_width"]
    assert "or more." in next(d.astext() for d in tree.findall() if d.tagname == "definition")
    assert [s.astext() for s in tree.findall() if s.tagname == "strong"] == ["Errors:"]


@pytest.mark.parametrize(
    "text",
    ["|x| and |y|", "n_k * d_ + *2", "a `b` c", "x_ and y_", "``Update``s of ``a``", "back\\slash", "**", "2 * 3 * 4"],
)
def test_signs_mean_themselves(text):
    assert parsed(text).astext() == text.replace("``", "")


def test_emphasis_examples_and_bullets_stay():
    tree = parsed("""It is *so*. And:
- one
  more
- two
>>> 1 + 1
2

The end.""")
    tags = [node.tagname for node in tree.findall()]
    assert tags.count("emphasis") == 1
    assert tags.count("list_item") == 2
    assert tags.count("doctest_block") == 1


def test_every_public_name_has_its_place_in_the_reference():
    pages = api_pages.pages()
    packages = [n for n in foedus.__all__ if isinstance(getattr(foedus, n), ModuleType)]
    assert {*packages, "engine", "experiment", "testing", "core", "foedus", "index"} == set(pages)
    for name in set(foedus.__all__) - set(packages):
        assert re.search(rf"(auto\w+:: foedus\.{name}$|`{name} <)", pages["foedus"], re.MULTILINE), name
    assert all(name in pages["index"] for name in pages if name != "index")


def programs():
    """Names of what can be run; the values that programs are made of are told of with them."""
    exported = {n: getattr(foedus.programs, n) for n in foedus.programs.__all__}
    return [n for n, cls in exported.items() if "rounds" in getattr(cls, "__dataclass_fields__", {})]


def test_every_program_is_told_of_on_some_page():
    text = "\n".join(p.read_text() for p in [*ALGORITHMS.glob("*.md"), DOCS / "concepts.md"])
    untold = [n for n in programs() if not re.search(rf"\b{n}\b", text)]
    assert not untold, f"write docs/algorithms/*.md about {', '.join(untold)}"


def test_the_table_of_programs_links_the_page_about_each():
    table = program_table.table(ALGORITHMS)
    assert "| [`PushSum`](push-sum.md) | Stochastic gradient push" in table
    assert "| [`LocalOnly`](baselines.md) |" in table
    assert len(table.splitlines()) == 2 + len(foedus.programs.__all__)


def test_a_program_without_a_page_is_linked_to_the_reference(tmp_path):
    (tmp_path / "gossip.md").write_text("# Gossip\n")
    table = program_table.table(tmp_path)
    assert "| [`Gossip`](gossip.md) |" in table
    assert "| {py:obj}`foedus.programs.FedAvg` |" in table
