"""Sweeps: which cases there are, what they are called, and what is wrong with them."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foedus as fd
from foedus.data import IID, Dirichlet
from foedus.experiment import BadExperiment, expand, expand_text, parse

BASE = """\
name = "base"
data = { source = "digits", split = "iid", nodes = 5 }
model.network = "logistic"
[program.fedavg]
rounds = 3
"""


parse(BASE)  # the first imports whatever a file can name, which is not to be in the time of an example


def cases(sweep, base=BASE, sets=()):
    return expand_text(f"{base}[sweep]\n{sweep}", sets, origin="f.toml")


def problems(sweep, base=BASE):
    with pytest.raises(BadExperiment) as caught:
        cases(sweep, base)
    return [str(p) for p in caught.value.problems]


def test_a_file_without_a_sweep_is_one_case():
    (case,) = expand_text(BASE)
    assert (case.label, case.group, case.settings) == ("base", "base", {})
    assert case.experiment == parse(BASE)


def test_the_file_as_it_stands_is_what_the_sweep_varies():
    assert parse(BASE + "[sweep]\nseed = [1, 2]") == parse(BASE)


def test_labels_groups_and_settings():
    found = cases('seed = [0, 1]\n"program.fedavg.local.lr" = [0.01, 0.1]')
    assert [c.label for c in found] == ["seed=0, lr=0.01", "seed=0, lr=0.1", "seed=1, lr=0.01", "seed=1, lr=0.1"]
    assert [c.group for c in found] == ["lr=0.01", "lr=0.1"] * 2
    assert found[1].settings == {"seed": 0, "program.fedavg.local.lr": 0.1}
    assert [(c.experiment.seed, c.experiment.program.local.lr) for c in found] == [
        (0, 0.01),
        (0, 0.1),
        (1, 0.01),
        (1, 0.1),
    ]
    assert {c.experiment.name for c in found} == {"base"}


def test_only_the_seed():
    assert [(c.label, c.group) for c in cases("seed = [3, 4]")] == [("seed=3", "base"), ("seed=4", "base")]


@pytest.mark.parametrize(
    "keys",
    ['"program.fedavg.local.lr" = [1]', "program.fedavg.local.lr = [1]", "[sweep.program.fedavg.local]\nlr = [1]"],
)
def test_a_path_in_any_spelling(keys):
    (case,) = cases(keys)
    assert case.experiment.program.local.lr == 1.0
    assert case.label == "lr=1"
    assert case.settings == {"program.fedavg.local.lr": 1}


def test_two_fields_of_one_name_are_told_apart():
    found = cases('"program.fedavg.local.lr" = [0.5]\n"program.fedavg.server.sgd.lr" = [1.0]')
    assert found[0].label == "local.lr=0.5, sgd.lr=1.0"


def test_alternatives_may_be_whole_tables():
    found = cases(
        'data.split = ["iid", { dirichlet = 0.3 }]\nprogram = [{ fedavg = 2 }, { sync_sgd = { rounds = 4 } }]'
    )
    assert [c.label for c in found] == [
        "split=iid, FedAvg",
        "split=iid, SyncSGD",
        "split=dirichlet, FedAvg",
        "split=dirichlet, SyncSGD",
    ]
    assert found[2].experiment.program == fd.FedAvg(2)
    assert found[3].experiment.program == fd.SyncSGD(4)
    assert [c.experiment.tables.data.split for c in found] == [IID(), IID(), Dirichlet(0.3), Dirichlet(0.3)]


def test_tables_of_one_class_are_told_apart_by_their_fields():
    found = cases("program = [{ fedavg = { rounds = 2, cohort = { fixed = 3 } } }, { fedavg = 5 }]")
    assert [c.label for c in found] == ["FedAvg(rounds=2, cohort=fixed(3))", "FedAvg(5)"]
    found = cases('"program.fedavg.transforms" = [[], ["top_k"], [{ clip = 1.0 }]]')
    assert [c.label for c in found] == ["transforms=[]", "transforms=[top_k]", "transforms=[clip(1.0)]"]


@pytest.mark.parametrize(
    "order",
    list(itertools.permutations(["program = [{ fedavg = 2 }, { fedavg = 7 }]", '"program.fedavg.local.lr" = [0.5]'])),
)
def test_whole_tables_come_before_their_fields(order):
    for case in cases("\n".join(order)):
        assert case.experiment.program.local == fd.LocalSGD(lr=0.5)
    assert {c.experiment.program.rounds for c in cases("\n".join(order))} == {2, 7}


def test_cases_do_not_share_their_tables():
    sweep = "program = [{ fedavg = { rounds = 2, local = { lr = 1.0 } } }]\n'program.fedavg.local.lr' = [0.5, 0.25]"
    for case, lr in zip(cases(sweep), (0.5, 0.25), strict=True):
        assert case.experiment.program.local.lr == lr
        assert case.settings["program"] == {"fedavg": {"rounds": 2, "local": {"lr": 1.0}}}


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True), max_size=3))
def test_the_grid_is_the_product(axes):
    fields = ["seed", "program.fedavg.rounds", "program.fedavg.local.epochs"][: len(axes)]
    found = cases("\n".join(f'"{f}" = {values}' for f, values in zip(fields, axes, strict=True)))
    assert [tuple(c.settings.values()) for c in found] == list(itertools.product(*axes))
    assert len({c.label for c in found}) == len(found)
    several = len(axes) > 0 and len(axes[0]) > 1
    for c in found:
        drawn = [f"data.test_seed={c.settings['seed']}"] if several else []
        assert c.experiment == parse(BASE, [f"{k}={v}" for k, v in c.settings.items()] + drawn)
        assert c.experiment.seed == c.settings.get("seed", 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [0, 1]),
        (["data.test_seed=3"], [3, 3]),
        (["data.source={digits={test=0.5}}"], [0, 1]),
        (["data.source={digits={test=0.5,test_seed=2}}"], [2, 2]),
        (["data.test='none'"], [0, 0]),
    ],
)
def test_every_seed_of_a_sweep_draws_test_rows_of_its_own_unless_told(given, expected):
    found = cases("seed = [0, 1]", sets=given)
    assert [c.experiment.tables.data.source.options["test_seed"] for c in found] == expected
    tested = [c.experiment.data().test_y for c in found]
    assert tested[0] is None or (tested[0].tolist() == tested[1].tolist()) == (expected[0] == expected[1])
    one = cases("seed = [1]")[0].experiment
    assert one.tables.data.source.options["test_seed"] == 0  # a single seed is no repetition


def test_sets_change_what_is_swept():
    assert [c.label for c in cases("seed = [0, 1]", sets=["sweep.seed=[5]", "program.fedavg.rounds=9"])] == ["seed=5"]
    assert [c.experiment.seed for c in expand_text(BASE, ["sweep.seed=[5, 6]"])] == [5, 6]


def test_a_file(tmp_path):
    (tmp_path / "f.toml").write_text(BASE + "sweep = 1".replace("sweep = 1", "[sweep]\nseed = [1, 2]"))
    assert [c.label for c in expand(tmp_path / "f.toml")] == ["seed=1", "seed=2"]
    assert [c.label for c in expand(tmp_path / "f.toml", ["sweep.seed=[7]"])] == ["seed=7"]


# -- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("seed = 3", "f.toml:7: sweep.seed: expected a list of values to try, got the number 3"),
        ("seed = []", "f.toml:7: sweep.seed: expected a list of values to try, got an empty list"),
        ("seed = [1, 2, 1]", "f.toml:7: sweep.seed: 1 is given twice"),
        (
            "program.fedavg.rounds = [1]\n'program.fedavg.rounds' = [2]",
            'f.toml:8: sweep."program.fedavg.rounds": this field is',
        ),
        ("seed = [1,\n 'two']", "f.toml:8: seed: expected a whole number, got the text 'two'"),
        ("'program.fedavg.lokal.lr' = [1]", "f.toml:7: program.fedavg.lokal: unknown key; did you mean 'local'?"),
        ("'program.fedavg.rounds.0' = [1]", "f.toml:7: program.fedavg.rounds: expected a whole number, got a table"),
    ],
)
def test_bad_sweeps(sweep, said):
    (problem,) = problems(sweep)
    assert problem.startswith(said)


def test_the_sweep_is_a_table():
    with pytest.raises(BadExperiment, match=r"^f\.toml:1: sweep: expected a table of lists, got the number 3$"):
        expand_text("sweep = 3\n" + BASE, origin="f.toml")


def test_problems_of_all_cases_are_told_once():
    sweep = "seed = [0, 1, 2]\n'program.fedavg.cohort.fixed' = [\n 2,\n 9,\n 0,\n]\ndata.nodes = [5, 6]"
    said = problems(sweep, BASE.replace("rounds = 3", "rounds = 3\nserver = 'adm'"))
    assert [s.partition(": unknown")[0].partition(": a cohort")[0] for s in said] == [
        "f.toml:6: program.fedavg.server",
        "f.toml:12: program.fedavg.cohort.fixed.k",
    ]
    # Only where all else is right do cohort and nodes meet.
    said = problems(sweep)
    assert [s.partition(": a cohort")[0] for s in said] == [
        "f.toml:10: program.fedavg.cohort",
        "f.toml:10: program.fedavg.cohort",
        "f.toml:11: program.fedavg.cohort.fixed.k",
    ]
    assert "only 5" in said[0] + said[1]
    assert "only 6" in said[0] + said[1]


def test_an_absurd_grid_is_refused_before_it_is_made():
    values = list(range(1, 1001))
    (said,) = problems(f"seed = {values}\ndata.nodes = {values}\n'program.fedavg.rounds' = {values}")
    assert said.startswith(
        "f.toml:6: sweep: a grid of 1,000,000,000 cases (1,000 of seed x 1,000 of data.nodes x 1,000"
    )
    assert said.endswith("at most 10,000 are run")
