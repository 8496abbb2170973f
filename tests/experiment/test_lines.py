"""Lines of everything in a TOML text."""

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from foedus.experiment.lines import lines


def paths(value, at=()):
    """Every path of a parsed text and what stands there."""
    yield at, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


# Texts that look like TOML, so that a scanner that loses its place finds something else.
texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["a = 1", "[b]", "# c", 'say "x"', "it's", "]}", '"""', "'''", "\\", "two\nlines", '""\n"', "{a=1}"]
    ),
)
keys = st.one_of(st.sampled_from(["a", "b-1", "c_d", "1"]), texts)


@st.composite
def documents(draw):
    """A document in which every number occurs once, so that it can be searched for."""
    numbers = iter(range(70_000_001, 80_000_000))
    value = st.recursive(
        st.one_of(st.builds(lambda: next(numbers)), texts, st.booleans()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
        max_leaves=12,
    )
    text = tomli_w.dumps(draw(st.dictionaries(keys, value, max_size=5)), multiline_strings=draw(st.booleans()))
    out = []
    for line in text.split("\n"):
        if draw(st.integers(0, 9)) == 0:
            out.append("# x = [ { 'y' ")
        out.append(line)
    return draw(st.sampled_from(["\n", "\r\n"])).join(out)


@given(documents())
def test_every_number_is_on_its_line(text):
    found = lines(text)
    where = {
        number: n
        for n, line in enumerate(text.split("\n"), 1)
        for number in (line[i : i + 8] for i in range(len(line)))
        if number.isdecimal()
    }
    parsed = tomllib.loads(text)
    for path, value in paths(parsed):
        if path:
            assert path in found, path
        if type(value) is int:
            assert found[path] == where[str(value)]
    assert set(found) == {p for p, _ in paths(parsed) if p}


TEXT = '''\
# a comment with a = 1
top = 1
"quoted key" = 2 # and [ a { comment
dotted . "k.ey" . last = [ 1,
  # between
  [ 2,
    3 ], { x = 4, y.z =
  5 },
]
[table]
text = """
[no.table]
no = "key" """
other = \'\'\'it's
'' "\'\'\'
when = 1979-05-27 07:32:00
[[many]]
a = 1
[many.inside]
b = 2
[[many]]
[many.inside]
b = """"two" quotes"""""
c = ""
[table.deep.deeper]
[table.deep]
d = """\\"""\\
  """
e = 3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    {
        ("top",): 2,
        ("quoted key",): 3,
        ("dotted",): 4,
        ("dotted", "k.ey", "last"): 4,
        ("dotted", "k.ey", "last", 0): 4,
        ("dotted", "k.ey", "last", 1): 6,
        ("dotted", "k.ey", "last", 1, 1): 7,
        ("dotted", "k.ey", "last", 2, "x"): 7,
        ("dotted", "k.ey", "last", 2, "y", "z"): 7,
        ("table",): 10,
        ("table", "text"): 11,
        ("table", "other"): 14,
        ("table", "when"): 16,
        ("many",): 17,
        ("many", 0, "a"): 18,
        ("many", 0, "inside", "b"): 20,
        ("many", 1): 21,
        ("many", 1, "inside", "b"): 23,
        ("many", 1, "inside", "c"): 24,
        ("table", "deep", "deeper"): 25,
        ("table", "deep"): 26,
        ("table", "deep", "e"): 29,
    }.items(),
)
def test_by_hand(path, line):
    assert lines(TEXT)[path] == line
