"""A single value where several may stand: one of them, or one line that says what may."""

from dataclasses import replace

import pytest

import foedus as fd
from foedus.core.types.several import several
from foedus.experiment import parse, to_toml

DATA = fd.data.load("iris").split(fd.data.IID(), nodes=2)
SOME = fd.TopK(0.5)


def model():
    return fd.Model(fd.models.logistic(4, 3))


def test_a_text_and_a_class_are_single_values():
    assert several("abc") == ("abc",)
    assert several(int) == (int,)
    assert several(None) == (None,)
    assert several({1}) == (1,)
    assert several(n for n in (1, 2)) == (1, 2)


PROGRAMS = [
    fd.FedAvg(1, transforms=SOME), fd.SyncSGD(1, transforms=SOME), fd.FedAsync(1, transforms=SOME),
    fd.FedBuff(1, buffer=2, transforms=SOME), fd.EASGD(1, transforms=SOME), fd.ParameterServer(1, transforms=SOME),
    fd.StaleSynchronous(1, transforms=SOME), fd.Scaffold(1, transforms=SOME), fd.FedNova(1, transforms=SOME),
    fd.FedDyn(1, transforms=SOME), fd.IFCA(1, transforms=SOME),
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: type(p).__name__)
def test_one_transform_is_a_tuple_of_one(program):
    one = fd.train(program, model(), DATA)
    assert one.sha256 == fd.train(replace(program, transforms=(SOME,)), model(), DATA).sha256


@pytest.mark.parametrize(
    ("given", "said"),
    [(fd.TopK, "is no transform: use an object"), ("top_k", "'top_k' is no transform"), (None, "None is no transform"),
     (3, "3 is no transform"), ([SOME, 3], "3 is no transform")],
)  # fmt: skip
def test_what_is_no_transform(given, said):
    with pytest.raises(fd.BadInput, match=said):
        fd.train(fd.FedAvg(1, transforms=given), model(), DATA)
    with pytest.raises(fd.BadInput, match=said):
        fd.Chain(given)


def test_a_chain_of_one():
    assert fd.Chain(SOME) == fd.Chain((SOME,))


RULE = fd.AfterCommits(1)


@pytest.mark.parametrize("given", [RULE, (RULE,), [RULE], {RULE}, iter([RULE])], ids=lambda given: type(given).__name__)
def test_stop_rules(given):
    assert len(fd.train(fd.FedAvg(2), model(), DATA, stop=given).history) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [(3, "stop takes rules, got 3: such as Target"), (fd.AfterCommits, r"write AfterCommits\(\.\.\.\) with its values"),
     ("patience", "stop takes rules, got 'patience'"), (None, "got None"), ((RULE, 3), "got 3")],
)  # fmt: skip
def test_what_is_no_stop_rule(given, said):
    with pytest.raises(fd.BadInput, match=said):
        fd.train(fd.FedAvg(2), model(), DATA, stop=given)


def test_trackers_metrics_absences_and_slowdowns():
    with pytest.raises(fd.BadInput, match="track takes trackers, got 'tensorboard'"):
        fd.train(fd.FedAvg(1), model(), DATA, track="tensorboard")
    assert fd.Model(fd.models.logistic(4, 3), metrics="accuracy").metrics == ("accuracy",)
    with pytest.raises(fd.BadInput, match="unknown metric 'acc'"):
        fd.Model(fd.models.logistic(4, 3), metrics="acc")
    assert fd.Processes(slowdown=2.0) == fd.Processes(slowdown=(2.0,))
    four = fd.data.load("iris").split(fd.data.IID(), nodes=4)
    ring, gone = fd.topologies.Ring(), fd.topologies.Absence(1, 1, 2)
    runs = [fd.train(fd.Gossip(3, topology=ring, absences=a), model(), four) for a in (gone, (gone,))]
    assert runs[0].sha256 == runs[1].sha256
    with pytest.raises(fd.BadInput, match="absences takes absences such as"):
        fd.train(fd.Gossip(1, topology=ring, absences=3), model(), four)


def test_in_a_file_it_is_said_what_may_stand_there():
    text = 'data = { source = "iris", split = "iid", nodes = 2 }\nmodel.network = "logistic"\n'
    for given in ('transforms = "sign"', "transforms = 3"):
        with pytest.raises(fd.BadInput, match="expected a list or table, each a transform"):
            parse(f"{text}[program.fedavg]\nrounds = 1\n{given}\n")
    one = parse(f"{text}[program.fedavg]\nrounds = 1\ntransforms = {{ top_k = 0.5 }}\n")
    assert one.program.transforms == (fd.TopK(0.5),)


def test_an_experiment_with_a_single_transform_can_be_written(tmp_path):
    text = 'data = { source = "iris", split = "iid", nodes = 2 }\nmodel.network = "logistic"\n'
    e = parse(f"{text}program.fedavg = {{ rounds = 1 }}\n")
    e = replace(e, tables=replace(e.tables, program=replace(e.program, transforms=SOME)))
    assert parse(to_toml(e)).program.transforms == (SOME,)
