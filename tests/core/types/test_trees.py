"""The codec for checkpoints and channels: what goes in comes out, without pickle."""

import json
import math
from collections import namedtuple

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.core.types.state import State
from foedus.core.types.trees import flatten, unflatten

DTYPES = [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool, torch.bfloat16]


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    numbers = draw(st.lists(st.integers(0, 255), min_size=math.prod(shape), max_size=math.prod(shape)))
    return torch.tensor(numbers).to(draw(st.sampled_from(DTYPES))).view(shape)


def arrays():
    return st.builds(
        lambda shape, dtype: (np.arange(math.prod(shape)) % 200).astype(dtype).reshape(shape),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from(["f4", "f8", "i8", "u1", "?"]),
    )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | tensors()
    | arrays()
)
KEYS = st.text(max_size=3) | st.integers(-5, 5) | st.tuples(st.integers(0, 3), st.text(max_size=2)) | st.just("~")
NAMES = st.sampled_from(["a", "b", "w", "server"])
TREES = st.recursive(
    LEAVES,
    lambda t: (
        st.lists(t, max_size=3)
        | st.lists(t, max_size=3).map(tuple)
        | st.dictionaries(KEYS, t, max_size=3)
        | st.dictionaries(NAMES, t, max_size=3).map(lambda d: State(**d))
    ),
    max_leaves=10,
)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict | State):
        x, y = (dict(a), dict(b)) if isinstance(a, State) else (a, b)
        return list(x) == list(y) and all(same(x[k], y[k]) for k in x)
    return a == b


@given(TREES)
def test_round_trip_through_json_and_through_messages(tree):
    plain, held = flatten(tree)
    assert all(isinstance(t, torch.Tensor) for t in held)
    assert same(unflatten(json.loads(json.dumps(plain, allow_nan=False)), held), tree)
    assert same(unflatten(msgspec.msgpack.decode(msgspec.msgpack.encode(plain)), held), tree)


def test_numbers_of_numpy_become_plain_ones():
    tree = unflatten(*flatten({"f": np.float32(1.5), "i": np.int64(3), "b": np.bool_(True)}))
    assert same(tree, {"f": 1.5, "i": 3, "b": True})


def test_a_tensor_loses_its_graph_and_keeps_its_values():
    t = torch.ones(2, requires_grad=True)
    _, (held,) = flatten({"t": t * 2})
    assert not held.requires_grad
    assert held.tolist() == [2, 2]


Point = namedtuple("Point", "x")


@pytest.mark.parametrize(
    ("tree", "place", "kind"),
    [
        (State(server=State(m=[1, {"deep": object()}])), ".server.m[1]['deep']", "object"),
        ({"a": {1, 2}}, "['a']", "set"),
        ({3: (0, lambda: 0)}, "[3][1]", "function"),
        (State(p=Point(1)), ".p", "Point"),
        (object(), "the value", "object"),
        ({"names": np.array(["x", "y"])}, "['names']", ""),
    ],
)
def test_a_refusal_names_the_place_and_the_kind(tree, place, kind):
    with pytest.raises(BadInput) as e:
        flatten(tree)
    message = str(e.value)
    assert message.startswith(place)
    assert kind in message
    assert "\n" not in message


def test_an_unknown_tag_is_refused():
    with pytest.raises(BadInput, match="newer foedus"):
        unflatten({"~": "zz"}, [])
