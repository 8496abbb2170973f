"""``[adversary]``: who is dishonest, and what these nodes do, as a file says it."""

import pytest

from foedus import Fixed, Fraction
from foedus.attacks import ALIE, Backdoor, Patch, SignFlip
from foedus.core.errors import BadInput
from foedus.experiment import parse, to_toml
from foedus.experiment.problems import BadExperiment

FILE = """
data = { source = "digits", split = "iid", nodes = 5 }
model.network = "logistic"
program.fedavg = { rounds = 1 }
"""
NAMED = """
data = { source = "csv", path = "wards.csv", target = "sick", node = "ward" }
model.network = "logistic"
program.fedavg = { rounds = 1 }
"""


@pytest.fixture
def wards(tmp_path):
    """Four nodes with names, of ten rows each."""
    rows = [f"{ward},{i},{i * i % 7},{i % 2}" for ward in ("berlin", "paris", "rome", "3") for i in range(10)]
    (tmp_path / "wards.csv").write_text("ward,a,b,sick\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        ("0.4", Fraction(0.4)),
        ("2", Fixed(2)),
        ("{ fixed = 2 }", Fixed(2)),
        ("{ fraction = 0.4 }", Fraction(0.4)),
        ("[4, 1]", (4, 1)),
    ],
)
def test_who(said, nodes):
    e = parse(f"{FILE}adversary.nodes = {said}")
    assert e.adversary(e.data()).nodes == nodes
    assert parse(to_toml(e)) == e


def test_names(wards):
    e = parse(f'{NAMED}adversary.nodes = ["rome", 0]', folder=wards)
    data = e.data()
    assert e.adversary(data).nodes == (data.node_names.index("rome"), 0)
    run = e.train(data=data)
    assert run.dishonest == tuple(sorted((0, data.node_names.index("rome"))))


@pytest.mark.parametrize(
    ("said", "attack"),
    [
        ('attack = "SignFlip"', SignFlip()),
        ('attack = "alie"', ALIE()),
        ("attack.backdoor = { target = 3, trigger = { patch = 3 } }", Backdoor(3, Patch(3))),
        ("", SignFlip()),
    ],
)
def test_what_they_do(said, attack):
    e = parse(f"{FILE}[adversary]\n{said}\nstart = 2\n")
    assert e.tables.adversary.attack == attack
    assert e.adversary(e.data()).start == 2
    assert parse(to_toml(e)) == e


def test_nobody_is_dishonest_unless_a_file_says_so():
    e = parse(FILE)
    assert e.adversary(e.data()) is None
    assert parse(to_toml(e)) == e
    assert e.train().dishonest == ()


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("nodes = 6", "experiment.toml:7: adversary.nodes: a cohort of 6 nodes was asked for, but there are only 5"),
        ("nodes = [1, 7]", "experiment.toml:7: adversary.nodes: the adversary's nodes=(1, 7) are not all there: 7 is"),
        ("nodes = [1, 1]", "experiment.toml:7: adversary.nodes: a node is dishonest once"),
        ("nodes = 1.5", "experiment.toml:7: adversary.nodes: nodes is a share of all nodes (0.2), how many (4), or"),
        (
            "nodes = 0",
            "experiment.toml:7: adversary.nodes: nodes is a share of all nodes (0.2), how many (4), or which",
        ),
        ('nodes = ["rome"]', "experiment.toml:7: adversary.nodes: there is no node 'rome'; nodes have ids here, 0..4"),
        ("start = -1", "experiment.toml:7: adversary.start: start counts the jobs of a node, from 0; got -1"),
        ('attack = "sgn_flip"', "experiment.toml:7: adversary.attack: unknown attack 'sgn_flip'; did you mean 'sign_"),
        (
            "attack.backdoor.trigger.patch = 9",
            "experiment.toml:7: adversary.attack: the trigger lies outside the image",
        ),
        ("attack.backdoor.target = 10", "experiment.toml:7: adversary.attack: target"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(said, wrong):
    def check():
        found = parse(f"{FILE}\n[adversary]\n{said}")
        found.check(found.data())

    with pytest.raises(BadExperiment) as e:
        check()
    (problem,) = e.value.problems
    assert str(problem).startswith(wrong)


def test_a_name_that_no_node_has(wards):
    e = parse(f'{NAMED}adversary.nodes = ["pariss"]', folder=wards)
    with pytest.raises(BadExperiment, match="there is no node 'pariss'; did you mean 'paris'"):
        e.train()


def test_a_run_is_not_gone_on_with_under_another_adversary(tmp_path):
    e = parse(f"{FILE}adversary.nodes = 1")
    e.train(out=tmp_path / "run", config=to_toml(e))
    from foedus.experiment.unchanged import check_unchanged

    other = parse(f'{FILE}adversary = {{ nodes = 1, attack = "alie" }}')
    with pytest.raises(BadInput, match=r"was begun with other settings: adversary\.attack"):
        check_unchanged(tmp_path / "run", to_toml(other))


def test_a_set_reaches_into_it():
    e = parse(FILE, ["adversary.attack.backdoor.share=0.3", "adversary.nodes=2"])
    assert e.tables.adversary.attack == Backdoor(share=0.3)
    assert e.adversary(e.data()).nodes == Fixed(2)
