"""The page about experiment files shows files that can be read, and names all that there is."""

import re
import tomllib
from pathlib import Path

import pytest

from foedus.experiment import expand_text, parse
from foedus.experiment.reference import describe, inline, renew

PAGE = Path(__file__).parents[2] / "docs" / "file-format.md"
TEXT = PAGE.read_text()
OTHER = PAGE.with_name("dishonest-nodes.md").read_text()
BLOCKS = [b for text in (TEXT, OTHER) for b in re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
REST = {
    "data": 'data = { source = "digits", split = "iid", nodes = 4 }\n',
    "model": 'model.network = "logistic"\n',
    "program": "program.fedavg = 3\n",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_files_of_the_pages(block):
    given = tomllib.loads(block)
    if "sweep" in given:
        assert len(expand_text("".join(v for k, v in REST.items() if k not in given) + block)) == 12
    else:
        parse("".join(v for k, v in REST.items() if k not in given) + block)


def test_the_reference_is_up_to_date():
    if renew(TEXT) != TEXT:
        pytest.fail("docs/file-format.md is stale: python -m foedus.experiment docs/file-format.md", pytrace=False)


def test_the_page_names_every_field():
    named = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    for section in describe():
        for entry in section.entries:
            assert section.table or f"**`{entry.name}`**" in TEXT
            assert {f.name for f in entry.fields} <= named


def test_defaults_are_toml_that_means_them():
    """What the reference gives as a default, written into a file, changes nothing."""
    base = "".join(REST.values())
    expected = parse(base)
    (fedavg,) = (e for s in describe() if s.title == "Program" for e in s.entries if e.name == "fedavg")
    for field in fedavg.fields:
        if field.default is not None:
            assert parse(base, [f"program.fedavg.{field.name}={field.default.strip('`')}"]) == expected
    (simulation,) = (e for s in describe() if s.title == "Runtime" for e in s.entries if e.name == "simulation")
    assert {f.name: f.default for f in simulation.fields}["network"] == '`"lan"`'


@pytest.mark.parametrize("value", ['a "b" ö\n\t', True, 1.5, [1, ["x"]], {"a": {"b c": 1}, "d": []}, {}, float("inf")])
def test_values_on_one_line(value):
    text = inline(value)
    assert "\n" not in text
    assert tomllib.loads(f"x = {text}")["x"] == value
