"""Laws: what is written is read again as the same; a stranger is found on its line, wherever it stands."""

import dataclasses
import inspect
import typing

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import foedus as fd
from foedus.core.errors import BadInput, plain_name
from foedus.experiment import BadExperiment, Experiment, parse, resolved, to_toml
from foedus.experiment.known import exports, known
from foedus.experiment.tables import Data, Evaluate, Model, Network, Source, Tables
from foedus.plain.kinds import parameters, shape


def values(hint, default=inspect.Parameter.empty):
    """Values of a field: of every kind that its annotation allows, small enough to be in the range of most."""
    s = shape(hint)
    options = []
    if default is not inspect.Parameter.empty:
        options.append(st.just(default))
    if s.none:
        options.append(st.none())
    for scalar in s.scalars:
        if scalar is str or typing.get_origin(scalar) is typing.Literal:
            continue  # a choice of the class's own, of which only the default is known
        options.append({bool: st.booleans(), int: st.integers(1, 9), float: st.floats(0.01, 0.99)}[scalar])
    for kind in s.kinds:
        for target in known().candidates(kind).values():
            if isinstance(target, type):
                options.append(st.deferred(lambda target=target: objects(target)))
            elif not inspect.isfunction(target):
                options.append(st.just(target))
    if s.items:
        options.append(st.lists(values(s.items[0]), max_size=2).map(s.make))
    if not options:
        options.append(st.sampled_from(["0.*", "2.weight"]))  # a text of which no default is known, such as a pattern
    return st.one_of(options)


def calls(kind, name):
    function = kind.functions()[name]
    takes = parameters(function)
    fixed = {n: st.just(p.default) for n, p in takes.items() if not p.required and n not in kind.later}
    return st.fixed_dictionaries(fixed).map(lambda options: kind(name, function, options))


@st.composite
def objects(draw, cls):
    """An instance of a class. Those that the class refuses are not looked at."""
    takes = {n: p for n, p in parameters(cls).items() if n not in ("loss", "metrics", "warm_start", "folder")}
    given = {n: draw(values(p.hint, p.default)) for n, p in takes.items() if p.required or draw(st.booleans())}
    try:
        return cls(**given)
    except BadInput:
        return draw(st.nothing())


def experiments():
    data = st.builds(
        Data,
        source=st.sampled_from(["digits", "breast-cancer"]).flatmap(lambda n: calls(Source, n)),
        split=values(parameters(Data)["split"].hint),
        nodes=st.integers(10, 30),
        seed=st.none() | st.integers(),
    )
    model = st.builds(
        Model,
        network=st.sampled_from(["logistic", "cnn"]).flatmap(lambda n: calls(Network, n)),
        loss=st.sampled_from([None, "cross_entropy", "bce"]),
        metrics=st.sampled_from([None, (), ("accuracy",)]),
        freeze=st.lists(st.text("ab*.", min_size=1), max_size=2).map(tuple),
    )
    rest = {n: values(parameters(Tables)[n].hint) for n in ("program", "runtime", "stop", "checkpoint", "ledger")}
    return st.builds(
        Tables,
        data=data,
        model=model,
        evaluate=st.builds(Evaluate, every=st.integers(1, 5), nodes=st.integers(0, 5)),
        name=st.text(),
        seed=st.integers(),
        **rest,
    ).map(Experiment)


@settings(max_examples=60)
@given(experiments())
def test_what_is_written_is_read_again_as_the_same(e):
    text = to_toml(e)
    again = parse(text)
    assert again == e
    assert to_toml(again).partition("folder =")[0] == text.partition("folder =")[0]


def reachable(hint, found):
    """Every class that some field of a file may hold."""
    s = shape(hint)
    for kind in s.kinds:
        for target in known().candidates(kind).values():
            cls = target if isinstance(target, type) else type(target)
            if cls not in found and not inspect.isfunction(target):
                found.append(cls)
                for p in parameters(cls).values():
                    reachable(p.hint, found)
    for item in s.items:
        reachable(item, found)
    return found


CLASSES = reachable(Tables, [])


def test_no_class_is_out_of_reach():
    """What a user configures is one of these; a new one whose kind no field has would be missed here."""
    names = {c.__name__ for c in CLASSES}
    assert {"FedAvg", "SyncSGD", "LocalSGD", "TrimmedMean", "TopK", "Adam", "Fixed", "Quorum", "Cosine"} <= names
    assert {"Simulation", "CostModel", "Links", "Device", "LogNormal", "Target", "Dirichlet", "Natural"} <= names
    assert {c.__name__ for c in exports().values() if takes_part(c)} <= names


def takes_part(export):
    return isinstance(export, type) and inspect.iscoroutinefunction(vars(export).get("__call__"))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_field_can_be_written(cls):
    """What it is made from can be asked of it again."""
    assert set(parameters(cls)) <= {f.name for f in dataclasses.fields(cls)}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_no_two_of_a_kind_share_a_name(cls):
    for p in parameters(cls).values():
        s = shape(p.hint)
        names = [plain_name(n) for kind in s.kinds for n in known().candidates(kind)]
        assert len(names) == len(set(names))


def tables_in(value, path=()):
    """Every table of a file, by its path."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from tables_in(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from tables_in(inner, (*path, i))


@settings(max_examples=60)
@given(experiments(), st.data())
def test_a_stranger_is_found_on_its_line(e, data):
    tables = resolved(e)
    path = data.draw(st.sampled_from(list(tables_in(tables))))
    here = tables
    for key in path:
        here = here[key]
    before = dict(here)
    stranger = data.draw(st.sampled_from(["qqqqq", "Qqqqq-2", "q q"]))
    here.clear()
    at = data.draw(st.integers(0, len(before)))
    here.update([*list(before.items())[:at], (stranger, 1), *list(before.items())[at:]])
    text = tomli_w.dumps(tables)
    line = next(n for n, row in enumerate(text.split("\n"), 1) if stranger in row)
    with pytest.raises(BadExperiment) as caught:
        parse(text, origin="f")
    assert [p.where for p in caught.value.problems] == [f"f:{line}"]
    assert stranger in caught.value.problems[0].path


def test_sets_are_what_the_file_would_have_said():
    base = "data = { source = 'digits', split = 'iid', nodes = 9 }\nmodel.network = 'logistic'\n"
    text = base + "program.fedavg = { rounds = 3, cohort = { fixed = 4 }, transforms = ['top_k'] }"

    def fedavg(*sets):
        return parse(text, sets).program

    assert fedavg("program.fedavg.rounds=7").rounds == 7
    assert fedavg("program.FedAvg.local.lr=1").local == fd.LocalSGD(lr=1.0)
    assert fedavg("program.fedavg.local.batch_size=none").local == fd.LocalSGD(batch_size=None)
    assert fedavg("program.fedavg.cohort.fixed=2").cohort == fd.Fixed(2)
    assert fedavg("program.fedavg.cohort.fixed.k=2").cohort == fd.Fixed(2)
    assert fedavg("program.fedavg.cohort={ fraction = 0.5 }").cohort == fd.Fraction(0.5)
    assert fedavg("program.fedavg.aggregate=median").aggregate == fd.Median()
    assert fedavg("program.fedavg.aggregate.trimmed_mean.f=3").aggregate == fd.TrimmedMean(3)
    assert fedavg("program.fedavg.transforms.0.top_k.fraction=0.5").transforms == (fd.TopK(0.5),)
    assert fedavg("program.fedavg.transforms=[]").transforms == ()
    assert fedavg("program.fedavg.rounds=7", "program.fedavg.rounds=8").rounds == 8
    assert parse(base + "program = 'fedavg'", ["program.fedavg.rounds=2"]).program == fd.FedAvg(2)
    assert parse(base + "program.fedavg = 4", ["program.fedavg.cohort.fixed=2"]).program == fd.FedAvg(4, fd.Fixed(2))
    assert parse(base, ["program={ fedavg = 4 }", "seed=5", "name=a b"]).name == "a b"
    assert parse("", [*base.replace(" = {", "={").splitlines(), "program.fedavg.rounds=1"]).program == fd.FedAvg(1)


@given(st.sampled_from(["seed", "data.seed"]), st.integers(-(2**70), 2**70))
def test_a_set_is_a_line_of_the_file(key, value):
    base = "data = { source = 'digits', split = 'iid', nodes = 9 }\nmodel.network = 'logistic'\nprogram.fedavg = 1\n"
    data = f"data = {{ source = 'digits', split = 'iid', nodes = 9, seed = {value} }}\n"
    written = f"seed = {value}\n{base}" if key == "seed" else data + base.partition("\n")[2]
    assert parse(base, [f"{key}={value}"]) == parse(written)


# -- what cannot be written ------------------------------------------------------------------------------------------


def unwritable(**program):
    e = parse("data = { source = 'digits', split = 'iid', nodes = 9 }\nmodel.network = 'logistic'\nprogram.fedavg = 1")
    tables = dataclasses.replace(e.tables, program=fd.FedAvg(1, **program))
    with pytest.raises(BadInput) as caught:
        to_toml(Experiment(tables))
    return str(caught.value)


def test_what_a_file_cannot_say():
    said = unwritable(local=fd.LocalSGD(lr=lambda t: 0.1))
    assert said.startswith("program.fedavg.local.lr cannot be written: ")
    assert "has no name to import it by: define it at the top of a module" in said

    @dataclasses.dataclass(frozen=True)
    class Inner(fd.Mean):
        pass

    assert unwritable(aggregate=Inner()).startswith("program.fedavg.aggregate cannot be written: ")
    assert "its type does not allow" in unwritable(cohort=fd.Fixed(1), server=None)
