"""What travels is read again as the same; what does not fit is refused before anything is built."""

import dataclasses
import inspect
import json
import math
import typing
from dataclasses import dataclass, field

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foedus as fd
from foedus.aggregators import Mean, TrimmedMean
from foedus.aggregators import Sum as SumOfUpdates
from foedus.core.coordination.executor import Plan
from foedus.core.coordination.population import Cohort
from foedus.core.coordination.until import Until
from foedus.core.time.cost import Availability, Network
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job
from foedus.core.types.model import Layout, Slot
from foedus.core.types.transform import Transform, prepare
from foedus.jobs import Cosine, Gradient, LocalSGD, Schedule
from foedus.network import PRESETS, WAN, CostModel, Jitter
from foedus.optimizers import ServerOptimizer
from foedus.plain.codec import DEEPEST, Codec, check_size, decode_plan, encode_plan
from foedus.plain.kinds import Kind, parameters, shape
from foedus.plain.registry import Registry
from foedus.programs.ifca import ByCluster
from foedus.runtimes.shipped import shipped, with_types
from foedus.sampling import Fixed, StopRule
from foedus.topologies import Edges, Graph, Shape, Weights
from foedus.transforms import Cast, Chain, Clip, ErrorFeedback, Gaussian, PowerSGD

CODEC = Codec(shipped())
REGISTRY = Registry(shipped().items())
KINDS = (
    Job, Transform, Aggregator, Cohort, Until, ServerOptimizer, Shape, Weights, Jitter, Availability, Network, StopRule,
    Schedule,
)  # fmt: skip


def values(hint, default=inspect.Parameter.empty):
    """Values that a field of this annotation may have, small enough to be in the range of most."""
    s = shape(hint)
    options = [] if default is inspect.Parameter.empty else [st.just(default)]
    options += [st.none()] if s.none else []
    numbers = {
        bool: st.booleans(),
        int: st.integers(1, 9),
        float: st.floats(0.01, 0.99) | st.floats(1.01, 3) | st.integers(1, 2),
    }
    options += [numbers[scalar] for scalar in s.scalars if scalar in numbers]
    options += [st.sampled_from(typing.get_args(x)) for x in s.scalars if typing.get_origin(x) is typing.Literal]
    for kind in s.kinds:
        classes = [t for t in REGISTRY.candidates(kind).values() if isinstance(t, type)]
        options += [st.deferred(lambda target=target: objects(target)) for target in classes]
    if s.items:
        inside = [values(h) for h in (s.items if s.length is not None else s.items[:1])]
        options.append(st.tuples(*inside) if s.length is not None else st.lists(inside[0], max_size=2).map(s.make))
    return st.one_of(options) if options else st.sampled_from(["0.*", "none", "2.weight"])


@st.composite
def objects(draw, cls):
    """An instance of a class. Those that the class refuses are not looked at."""
    takes = parameters(cls)
    chosen = {n: draw(values(p.hint, p.default)) for n, p in takes.items() if p.required or draw(st.booleans())}
    try:
        return cls(**chosen)
    except (fd.BadInput, ValueError, TypeError):
        return draw(st.nothing())


def classes(kind) -> list[type]:
    return [t for t in REGISTRY.candidates(Kind(kind)).values() if isinstance(t, type)]


ALL = sorted({cls for kind in KINDS for cls in classes(kind)}, key=lambda c: f"{c.__module__}.{c.__name__}")


def travels(hint, value) -> None:
    table = CODEC.write(hint, value)
    for there in (
        json.loads(json.dumps(table, allow_nan=False)),
        msgspec.msgpack.decode(msgspec.msgpack.encode(table)),
    ):
        again = CODEC.read(hint, there)
        assert again == value
        assert type(again) is type(value)
        assert repr(again) == repr(value)  # states are kept by the text of what they belong to


PARTS = {
    "Absence",
    "BatchNorms",
    "LastLayer",
    "Named",
    "Population",
    "Device",
    "Drawn",
    "Graph",
    "Links",
    "Mixing",
    "Sketch",
    "Until",
}
"""What is a part of others, and what no plan is made of."""


def test_everything_that_is_shipped_is_tested() -> None:
    assert len(ALL) > 60
    assert {c.__name__ for c in shipped().values()} - {c.__name__ for c in ALL} <= PARTS


@pytest.mark.parametrize("cls", ALL, ids=lambda c: f"{c.__module__.removeprefix('foedus.')}.{c.__name__}")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_what_is_written_is_read_as_the_same(cls, data) -> None:
    hint = next(kind for kind in KINDS if cls in classes(kind))
    travels(hint, data.draw(objects(cls)))


@pytest.mark.parametrize("network", PRESETS.values(), ids=list(PRESETS))
def test_networks_travel_with_their_infinite_links(network) -> None:
    travels(CostModel, network)
    travels(Network, dataclasses.replace(network, server_up=math.inf))


def test_numbers_that_json_cannot_write() -> None:
    assert CODEC.write(float, math.inf) == {"float": "inf"}
    assert math.isnan(CODEC.read(float, CODEC.write(float, math.nan)))
    assert CODEC.read(float, {"float": "-inf"}) == -math.inf
    with pytest.raises(fd.BadInput, match="expected inf, -inf or nan"):
        CODEC.read(float, {"float": "__import__('os')"})


PLANS = {
    "a job alone": Plan(Gradient(batch_size=3)),
    "all of it": Plan(
        LocalSGD(lr=Cosine(0.1, rounds=5), only=("0.*",)),
        (Clip(1), Gaussian(0.5), ErrorFeedback(Chain((PowerSGD(2), Cast())))),
        TrimmedMean(2),
        inspect=False,
    ),
    "sum": Plan(Gradient(), (), SumOfUpdates(weighted=False)),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_travel(name) -> None:
    plan = PLANS[name]
    table = json.loads(json.dumps(encode_plan(plan, shipped())))
    again = decode_plan(table, shipped())
    assert again == plan
    assert repr(again) == repr(plan)  # Clip(1) is not Clip(1.0): what transforms remember is kept by their text
    assert type(again.aggregator) is type(plan.aggregator)


def test_transforms_that_know_their_model_travel() -> None:
    layout = fd.Model(fd.models.mlp(8, 3)).layout
    assert isinstance(layout, Layout)
    plan = Plan(LocalSGD(), prepare((ErrorFeedback(PowerSGD(2)),), layout), Mean())
    again = decode_plan(encode_plan(plan, shipped()), shipped())
    assert again == plan
    assert again.transforms[0].inner.slots == plan.transforms[0].inner.slots
    assert all(isinstance(s, Slot) for s in again.transforms[0].inner.slots)


def test_a_programs_own_types_are_added_by_who_knows_it() -> None:
    plan = Plan(Gradient(), (), ByCluster(Mean()))
    with pytest.raises(fd.BadInput, match=r"plan\.aggregator.* ByCluster is not among the types that may travel"):
        encode_plan(plan, shipped())
    types = with_types([ByCluster])
    assert decode_plan(encode_plan(plan, types), types) == plan
    with pytest.raises(fd.BadInput, match="unknown aggregator 'by_cluster'"):
        decode_plan(encode_plan(plan, types), shipped())


# -- what is refused ---------------------------------------------------------------------------------------------------

GOOD = encode_plan(PLANS["all of it"], shipped())


def changed(**changes) -> dict:
    return {**json.loads(json.dumps(GOOD)), **changes}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            changed(job={"jobs.lokal_sgd": {}}),
            r"plan\.job.*unknown job 'jobs.lokal_sgd'; did you mean 'jobs.lo",
        ),
        (changed(job="os:system"), r"plan\.job: unknown job 'os:system'"),
        (changed(job={"os:system": {"command": "true"}}), r"unknown job 'os:system'|expected the name of a job"),
        (changed(job={"jobs.local_sgd": {"lrr": 1.0}}), r"unknown key; did you mean 'lr'"),
        (changed(job={"jobs.local_sgd": {"epochs": "3"}}), r"epochs: expected a whole number, got the text '3'"),
        (changed(job={"jobs.local_sgd": {"epochs": 3.0}}), r"epochs: expected a whole number, got the number 3.0"),
        (changed(job={"jobs.local_sgd": {"epochs": True}}), r"epochs: expected a whole number, got true"),
        (changed(job={"jobs.local_sgd": {"epochs": -1}}), r"epochs"),
        (changed(job={"transforms.clip": {"norm": 1.0}}), r"unknown job 'transforms.clip'"),
        (changed(job=None), r"plan\.job: expected a job"),
        (changed(job=3), r"plan\.job: expected a job .*, got the number 3"),
        (changed(transforms=3), r"plan\.transforms: expected a list"),
        (changed(transforms=[{"transforms.clip": {}}]), r"transforms\[0\].*norm: missing"),
        (changed(transforms=[{"transforms.chain": {"transforms": [{"transforms.klip": {}}]}}]), r"did you mean"),
        (changed(agregator=None), r"plan\.agregator: unknown key; did you mean 'aggregator'"),
        (changed(inspect="yes"), r"plan\.inspect: expected true or false"),
        ([], r"plan: expected"),
        ("local_sgd", r"plan: expected"),
        (None, r"plan: expected"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_its_place(table, said) -> None:
    with pytest.raises(fd.BadInput, match=said):
        decode_plan(table, shipped())


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(fd.BadInput) as refused:
        decode_plan(changed(inspect=1, job={"jobs.local_sgd": {"epochs": "x", "lrr": 0}}), shipped())
    assert len(str(refused.value).splitlines()) == 3


MADE: list[str] = []


@dataclass(frozen=True)
class Noisy(Clip):
    def __post_init__(self) -> None:
        MADE.append("made")


def deep(levels: int) -> dict:
    table: typing.Any = {"noisy": {"norm": 1.0}}
    for _ in range(levels):
        table = {"transforms.chain": {"transforms": [table]}}
    return changed(transforms=[table])


def test_what_is_too_large_or_too_deep_is_refused_before_anything_is_built() -> None:
    types = with_types([Noisy])
    MADE.clear()
    decode_plan(deep(3), types)
    assert MADE == ["made"]
    MADE.clear()
    for levels in (DEEPEST, 100_000):
        with pytest.raises(fd.BadInput, match="nested too deeply"):
            decode_plan(deep(levels), types)
    with pytest.raises(fd.BadInput, match="too large to travel"):
        decode_plan(changed(transforms=[{"noisy": {"norm": 1.0}}] * 600_000), types)
    with pytest.raises(fd.BadInput, match="too large to travel"):
        decode_plan(changed(job="x" * 1_000_001), types)
    with pytest.raises(fd.BadInput, match="too large to travel"):
        decode_plan(changed(job=1 << 100_000_000), types)
    assert MADE == []


def test_a_table_that_holds_itself_ends() -> None:
    table: dict = {}
    table["x"] = [table, table]
    with pytest.raises(fd.BadInput, match=r"too large|too deeply"):
        check_size(table, "plan")


@pytest.mark.parametrize(
    "value", [b"", {1: 2}, (1,), {1}, torch.zeros(1), print, object()], ids=lambda v: type(v).__name__
)
def test_only_plain_values_are_read(value) -> None:
    with pytest.raises(fd.BadInput, match=r"can travel|no text"):
        check_size({"x": [value]}, "plan")


# -- what cannot be written --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holds(LocalSGD):
    what: typing.Any = None
    texts: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (torch.zeros(2), r"plan\.job.*what.*it is a Tensor, and a plan holds none: pass it among the arguments"),
        (torch.zeros(2).numpy(), "it is a ndarray"),
        (lambda x: x, "is a function, and code does not travel"),
        (LocalSGD, r"is not among the types that may travel|LocalSGD"),
        (object(), "object is not among the types"),
        (b"bytes", "bytes is not among the types"),
    ],
    ids=["tensor", "array", "lambda", "class", "object", "bytes"],
)
def test_tensors_and_code_do_not_travel(what, said) -> None:
    with pytest.raises(fd.BadInput, match=said):
        encode_plan(Plan(Holds(what=what)), with_types([Holds]))


def test_what_may_hold_anything_holds_plain_values() -> None:
    types = with_types([Holds])
    plan = Plan(Holds(what={"a": [1, 2.5, "none", None, True]}, texts={"b": 1.0}))
    assert decode_plan(encode_plan(plan, types), types) == plan


def test_two_types_of_one_name_are_refused() -> None:
    @dataclass(frozen=True)
    class Noisy(Clip):
        pass

    with pytest.raises(fd.BadInput, match="two types are called noisy"):
        with_types([Noisy, globals()["Noisy"]])


def test_graphs_and_edges() -> None:
    travels(Shape, Edges(((0, 1), (1, 2))))
    travels(Graph, Graph(((1,), (0,)), frozenset({1})))
    travels(Cohort, Fixed(3))
    assert WAN in PRESETS.values()
