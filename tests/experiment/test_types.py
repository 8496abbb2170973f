"""Values and the annotations of their fields: what is made of them, what is said of those that do not fit."""

import enum
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus import sampling
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.experiment.builder import FileBuilder
from foedus.experiment.known import forget, known
from foedus.experiment.write import plain
from foedus.jobs import LocalSGD
from foedus.network import Exponential, Jitter, Links
from foedus.plain.build import BAD
from foedus.plain.kinds import Kind, misfit, parameters, shape
from foedus.sampling import Cohort, Fixed

HERE = Path("/here")
Rate = Callable[[int], float]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def build(hint, value):
    builder = FileBuilder(HERE)
    built = builder.build(hint, value, ("x",))
    assert (built is BAD) == bool(builder.problems)
    return [m for _, m in builder.problems] if built is BAD else built


GOOD = [
    (int, 3, 3),
    (int, 2**100, 2**100),
    (float, 3, 3.0),
    (float, 2.5, 2.5),
    (bool, True, True),
    (str, "none", "none"),
    (int | None, "none", None),
    (str | None, "none", None),
    (int | None, 3, 3),
    (int | float, 3, 3),
    (int | float, 3.0, 3.0),
    (float | bool, True, True),
    (int | str, "3", "3"),
    (Literal["a", "b"], "a", "a"),
    (Literal[1, 2] | None, 2, 2),
    (Colour, "red", Colour.RED),
    (Annotated[int, "a note"], 3, 3),
    (Annotated[int, msgspec.Meta(ge=1)], 3, 3),
    (Path, "a/b", HERE / "a/b"),
    (str | os.PathLike[str], "a", HERE / "a"),
    (Path | None, "/abs", Path("/abs")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (list[float], [1, 2.5], [1.0, 2.5]),
    (Sequence[str], ["a"], ("a",)),
    (tuple[int, str], [1, "a"], (1, "a")),
    (frozenset[int], [2, 2], frozenset({2})),
    (list[list[int]], [[1], []], [[1], []]),
    (dict[str, float], {"a": 1}, {"a": 1.0}),
    (Mapping[str, tuple[int, ...]], {"a": [1]}, {"a": (1,)}),
    (dict[str, Cohort], {"a": {"fixed": 2}}, {"a": Fixed(2)}),
    (tuple[Cohort, ...], [{"fixed": 2}], (Fixed(2),)),
    (tuple[Cohort, ...] | None, "none", None),
    (LocalSGD | None, {"epochs": 2}, LocalSGD(epochs=2)),
    (LocalSGD | None, "none", None),
    (tuple[LocalSGD, ...], [{"epochs": 2}, "local_sgd"], (LocalSGD(epochs=2), LocalSGD())),
    (Cohort | int, 3, 3),
    (Cohort | int, {"fixed": 3}, Fixed(3)),
    (Any, {"a": [1]}, {"a": [1]}),
    (object, "x", "x"),
    ("a name that nobody knows", 3, 3),
]


@pytest.mark.parametrize(("hint", "value", "built"), GOOD)
def test_values_that_fit(hint, value, built):
    made = build(hint, value)
    assert made == built
    assert type(made) is type(built)


@pytest.mark.parametrize(("hint", "value", "built"), [g for g in GOOD if g[0] not in (Any, object)])
def test_what_was_built_is_written_as_it_may_be_read(hint, value, built):
    assert build(hint, plain(hint, built, ("x",))) == built


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        (int, "ten", "expected a whole number, got the text 'ten'"),
        (int, 3.0, "expected a whole number, got the number 3.0"),
        (int, True, "expected a whole number, got true"),
        (float, False, "expected a number, got false"),
        (float, "none", "expected a number, got the text 'none'"),
        (bool, 1, "expected true or false, got the number 1"),
        (str, 1, "expected a text, got the number 1"),
        (int | None, "x", "expected a whole number or \"none\", got the text 'x'"),
        (int | None, "None", "expected a whole number or \"none\", got the text 'None'"),
        (Literal["a", "b"], "c", "expected 'a' or 'b', got the text 'c'"),
        (Colour, "green", "expected 'red' or 'blue', got the text 'green'"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "Expected int >= 1"),
        (Path, "", "expected a path, got an empty text"),
        (Path, 3, "expected a path, got the number 3"),
        (tuple[int, ...], 3, "expected a list, each a whole number, got the number 3"),
        (tuple[int, ...], ["a"], "expected a whole number, got the text 'a'"),
        (tuple[int, str], [1], "expected a list of 2, got one of 1"),
        (dict[str, int], [1], "expected a table, got a list"),
        (dict[str, int], {"a": "b"}, "expected a whole number, got the text 'b'"),
        (LocalSGD, 3, "expected a table of LocalSGD's fields, got the number 3"),
        (LocalSGD, "x", "expected a table of LocalSGD's fields, got the text 'x'"),
        (Fraction, "1/2", "unknown fraction '1/2'; foedus has none: name your own, 'module:Name'"),
    ],
)
def test_values_that_do_not_fit(hint, value, said):
    assert build(hint, value) == [said]


@given(
    st.sampled_from([int, float, bool, str, int | None, tuple[int, ...], dict[str, int], Path, Cohort, LocalSGD, Rate]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.dates(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
)
def test_whatever_is_given_it_fits_or_is_told(hint, value):
    build(hint, value)


def test_the_text_none_cannot_be_written_where_it_means_none():
    with pytest.raises(BadInput, match='x is the text "none", which in a file means None'):
        plain(str | None, "none", ("x",))


# -- kinds -----------------------------------------------------------------------------------------------------------


def test_protocols_are_told_apart_by_what_their_methods_take():
    assert misfit(Fixed, Cohort) is None
    assert misfit(Exponential, Jitter) is None
    assert misfit(Exponential, Cohort) == "its draw does not take 2 arguments"
    assert misfit(Fixed, Jitter) == "its draw does not take 1 argument"
    assert misfit(Links, Jitter) == "its draw returns a Link"
    assert misfit(Fixed, Aggregator) == "it has no robust"


class Runs(Protocol):
    size: int

    async def __call__(self, x: int) -> int: ...


def test_what_is_not_frozen_is_not_configured(monkeypatch):
    @dataclass
    class Loose:
        def draw(self, nodes, key): ...

    assert misfit(Loose, Cohort) is None
    forget()
    monkeypatch.setattr(sampling, "__all__", [*sampling.__all__, "Loose"])
    monkeypatch.setattr(sampling, "Loose", Loose, raising=False)
    try:
        assert "fixed" in known().candidates(Kind(Cohort))
        assert "loose" not in known().candidates(Kind(Cohort))
    finally:
        monkeypatch.undo()
        forget()


def test_members_and_async():
    @dataclass
    class Good:
        size: int

        async def __call__(self, x):
            return x

    class NoSize:
        async def __call__(self, x):
            return x

    class NotAsync:
        size = 3

        def __call__(self, x):
            return x

    class InInit:
        def __init__(self):
            self.size = 3

        async def __call__(self, x):
            return x

    @dataclass
    class NoMethod:
        size: int
        __call__ = 3

    assert misfit(Good, Runs) is None
    assert misfit(InInit, Runs) == "it has no size"
    assert Kind(Runs).misfit(InInit) is None
    assert misfit(NoMethod, Runs) == "its __call__ is no method"
    assert misfit(NoSize, Runs) == "it has no size"
    assert misfit(NotAsync, Runs) == "its __call__ must be async"
    assert misfit(int, Runs) == "it has no size"
    assert misfit(int, Rate) == "it cannot be called"
    assert Kind(Rate).misfit(lambda t: 1.0) is None
    assert Kind(Rate).misfit(lambda: 1.0) == "it does not take 1 argument"
    assert Kind(Rate).misfit(Good) == "it must not be async"


def test_parameters():
    def f(a, /, b: int, *args: int, c: float = 2.0, **rest: str): ...

    takes = parameters(f)
    assert list(takes) == ["b", "c", "**"]
    assert (takes["b"].required, takes["c"].default, takes["**"].hint) == (True, 2.0, str)
    assert shape(takes["b"].hint).scalars == (int,)

    class Unknown:
        def __init__(self, x: "Nowhere"): ...  # noqa: F821

    assert build(parameters(Unknown)["x"].hint, [1]) == [1]
