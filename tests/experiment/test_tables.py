"""Tables in a file: the options of ``[data]`` mean what they mean in Python."""

import numpy as np
import pytest

from foedus.data import load
from foedus.experiment import BadExperiment, parse, to_toml

FILE = """\
[data]
source = "csv"
path = "t.csv"
target = "y"
{}

[model]
network = "logistic"

[program.fedavg]
rounds = 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{'uv'[i % 2]},p{i // 4},{i % 5},{i % 3}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("h,who,a,y\n" + rows)
    (tmp_path / "test.csv").write_text("h,who,a,y\nw,q,1,2\nw,q,2,0\n")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('node = "h"\ndrop = ["who"]\ntest = false', {"node": "h", "drop": ["who"], "test": None}),
        ('node = "h"\ngroup = ["h", "who"]\ntest_seed = 3', {"node": "h", "group": ["h", "who"], "test_seed": 3}),
        ('node = "h"\ngroup = "who"\ntest = "test.csv"', {"node": "h", "group": "who", "test": "test.csv"}),
        (
            'node = "h"\npositive = ">0"\nspelling = { who = { p1 = "p2" } }',
            {"node": "h", "positive": ">0", "spelling": {"who": {"p1": "p2"}}},
        ),
        (
            'node = "h"\npositive = [1, "2"]\nmissing_values = { a = [0], "*" = ["p1"] }',
            {"node": "h", "positive": [1, "2"], "missing_values": {"a": [0], "*": ["p1"]}},
        ),
    ],
)
def test_a_file_says_what_python_says(text, options):
    experiment = parse(FILE.format(text))
    if options.get("group") == "who":  # each patient is at both
        with pytest.raises(BadExperiment, match=r"data\.split: the rows of who 'p0' are at u and at v"):
            experiment.data()
        return
    data = experiment.data()
    expected = load("csv", path="t.csv", target="y", **options).split()
    assert np.array_equal(data.x, expected.x)
    assert (data.test_rows, data.class_names) == (expected.test_rows, expected.class_names)
    assert parse(to_toml(experiment)).data().fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'node = "h"\nsplit = "iid"\nnodes = 2',
            '6: data.split: split would deal the rows out anew, and node = "h" says whose each row is. Remove split '
            '(and nodes) to keep these nodes; or remove node, and write drop = ["h"] so that it is not learned from, ',
        ),
        ('node = "h"\ntest = true', '6: data.test: expected a number or a path or "none", got true'),
        ('node = "h"\ntest = "tast.csv"', "6: data.test: there is no "),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(text, message):
    with pytest.raises(BadExperiment) as e:
        parse(FILE.format(text))
    assert message in str(e.value)


def test_a_source_without_columns_speaks_of_none():
    np.savez("t.npz", x=np.eye(4), y=[0, 1, 0, 1], node=[0, 0, 1, 1])
    text = FILE.format('node = "node"\nsplit = "iid"\nnodes = 2').replace('"csv"', '"npz"').replace("t.csv", "t.npz")
    with pytest.raises(BadExperiment, match="or remove node to deal the rows out"):
        parse(text.replace('target = "y"\n', ""))


def test_false_is_none_only_where_it_is_nothing_else():
    assert parse(FILE.format('node = "h"\nholdout = false')).tables.data.holdout is None
    options = parse(FILE.format('node = "h"\nscale = false\npositive = false')).tables.data.source.options
    assert (options["scale"], options["positive"]) == (False, False)
    with pytest.raises(BadExperiment, match=r"data\.target: expected a text, got false"):
        parse(FILE.format('node = "h"').replace('target = "y"', "target = false"))
