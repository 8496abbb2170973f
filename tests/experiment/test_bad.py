"""What is wrong with a file: all of it, each with its place."""

import os
from pathlib import Path

import pytest

from foedus.core.errors import BadInput
from foedus.experiment import BadExperiment, document, parse, read

GOOD = """\
seed = 0

[data]
source = "digits"
split = { dirichlet = { alpha = 0.3 } }
nodes = 20

[model]
network = "logistic"
loss = "cross_entropy"

[program.fedavg]
rounds = 50
cohort = { fixed = 10 }
local = { epochs = 5, batch_size = 10, lr = 0.05 }
aggregate = { trimmed_mean = { f = 2 } }
transforms = [
  { clip = 1.0 },
  { error_feedback = { inner = { top_k = { fraction = 0.01 } } } },
]

[runtime.simulation]
workers = 2
network = "wan"

[stop]
target = { value = 0.95, metric = "accuracy" }
"""


def problems(text, sets=()):
    with pytest.raises(BadExperiment) as caught:
        parse(text, sets, origin="f.toml")
    assert isinstance(caught.value, BadInput)
    lines = str(caught.value).splitlines()
    assert lines == [str(p) for p in caught.value.problems]
    return lines


def test_the_good_file_is_good():
    parse(GOOD)


# What is changed in the good file, and the lines that are said of it: how each starts, and what else it says.
CHANGES = {
    "an unknown key": (
        {"local =": "lokal ="},
        [("f.toml:15: program.fedavg.lokal: unknown key; did you mean 'local'? FedAvg takes: rounds, cohort", "until")],
    ),
    "an unknown key at the top": (
        {"seed = 0": "sead = 0"},
        [("f.toml:1: sead: unknown key; did you mean 'seed'?", "")],
    ),
    "an unknown key deep inside": (
        {"fraction =": "share ="},
        [
            (
                "f.toml:19: program.fedavg.transforms[1].error_feedback.inner.top_k.share: unknown key",
                "TopK takes: fraction",
            )
        ],
    ),
    "an unknown key of a table": (
        {'loss = "cross': 'los = "cross'},
        [("f.toml:10: model.los: unknown key; did you mean 'loss'? [model] takes: network, loss", "")],
    ),
    "an option that the source has not": (
        {"nodes = 20": "nodes = 20\ntests = 0.1"},
        [("f.toml:7: data.tests: unknown key; did you mean 'test'? digits takes: test", "[data] takes: source, split")],
    ),
    "a key of the data misspelt": (
        {"nodes": "noodes"},
        [("f.toml:6: data.noodes: unknown key; did you mean 'nodes'?", "")],
    ),
    "an unknown name": (
        {"trimmed_mean": "trimed_mean"},
        [
            (
                "f.toml:16: program.fedavg.aggregate.trimed_mean: unknown aggregator 'trimed_mean'; did you mean ",
                "median",
            )
        ],
    ),
    "an unknown name as a text": (
        {'"wan"': '"wam"'},
        [
            (
                "f.toml:24: runtime.simulation.network: unknown network 'wam'; did you mean 'wan'? There are",
                "cost_model",
            )
        ],
    ),
    "an unknown program": (
        {"fedavg": "fedavgg"},
        [("f.toml:12: program.fedavgg: unknown program 'fedavgg'; did you mean 'fedavg'?", "sync_sgd")],
    ),
    "an unknown source": (
        {'"digits"': '"digit"'},
        [("f.toml:4: data.source: unknown data source 'digit'; did you mean 'digits'?", "breast-cancer")],
    ),
    "an unknown loss": ({"cross_entropy": "hinge"}, [("f.toml:10: model.loss: unknown loss 'hinge'", "cross_entropy")]),
    "an unknown metric": (
        {'"cross_entropy"': '"mse"\nmetrics = ["acuracy"]'},
        [("f.toml:11: model.metrics: unknown metric 'acuracy'", "did you mean 'accuracy'?")],
    ),
    "an unknown stop rule": ({"target =": "goal ="}, [("f.toml:27: stop.goal: unknown stop rule 'goal'", "target")]),
    "a rule for a round misspelt": (
        {"rounds = 50": "rounds = 50\nuntil = { quorom = 8 }"},
        [
            (
                "f.toml:14: program.fedavg.until.quorom: unknown key; did you mean 'quorum'? Until takes: failure",
                "deadline",
            )
        ],
    ),
    "a rule for a round misspelt, as a text": (
        {"rounds = 50": "rounds = 50\nuntil = 'al'"},
        [("f.toml:14: program.fedavg.until: unknown Until 'al'; did you mean 'all'?", "")],
    ),
    "a text where a number belongs": (
        {"rounds = 50": 'rounds = "ten"'},
        [("f.toml:13: program.fedavg.rounds: expected a whole number, got the text 'ten'", "")],
    ),
    "a fraction where a whole number belongs": (
        {"rounds = 50": "rounds = 5.5"},
        [("f.toml:13: program.fedavg.rounds: expected a whole number, got the number 5.5", "")],
    ),
    "true where a number belongs": (
        {"0.95": "true"},
        [("f.toml:27: stop.target.value: expected a number, got true", "")],
    ),
    "true where a whole number belongs": (
        {"seed = 0": "seed = true"},
        [("f.toml:1: seed: expected a whole number, got true", "")],
    ),
    "a number where a text belongs": (
        {"seed = 0": "name = 3"},
        [("f.toml:1: name: expected a text, got the number 3", "")],
    ),
    "a date": (
        {"lr = 0.05": "lr = 2020-01-01"},
        [("f.toml:15: program.fedavg.local.lr: expected a number or a schedule (cosine,", "got the date 2020-01-01")],
    ),
    "a list where a text belongs": (
        {"seed = 0": "name = []"},
        [("f.toml:1: name: expected a text, got an empty list", "")],
    ),
    "a text where a table belongs": (
        {"[stop]": "[ledger]\nper_node = true\n[evaluate]\nevery = 1\n[stop]", "target =": "checkpoint = 1\n#"},
        [("f.toml:31: stop.checkpoint: unknown stop rule", "")],
    ),
    "a text for a list": (
        {"loss =": "freeze = '0.*'\nloss ="},
        [("f.toml:10: model.freeze: expected a list, each a text, got the text '0.*'", "")],
    ),
    "a wrong element of a list": (
        {"{ clip = 1.0 }": "7"},
        [("f.toml:18: program.fedavg.transforms[0]: expected a transform (", "got the number 7")],
    ),
    "too large a number": (
        {"lr = 0.05": f"lr = 1{'0' * 400}"},
        [("f.toml:15: program.fedavg.local.lr: expected a number or a schedule", "got the number 1000")],
    ),
    "fields without a class": (
        {"[program.fedavg]": "[program]"},
        [
            (
                "f.toml:12: program: expected the name of a program, with its fields in a table of its own",
                "centralized",
            )
        ],
    ),
    "a class with a stranger beside it": (
        {"{ fixed = 10 }": "{ fixed = 10, k = 3 }"},
        [
            (
                "f.toml:14: program.fedavg.cohort.k: unknown cohort 'k' beside another; there are: available, by_size",
                "",
            )
        ],
    ),
    "an empty table": (
        {"{ fixed = 10 }": "{}"},
        [("f.toml:14: program.fedavg.cohort: expected the name of a cohort: available, by_size, fixed, ", "")],
    ),
    "an empty text": (
        {'"wan"': '""'},
        [("f.toml:24: runtime.simulation.network: expected a network (", "got an empty text")],
    ),
    "a value for a class without fields": (
        {"{ trimmed_mean = { f = 2 } }": "{ median = 2 }"},
        [("f.toml:16: program.fedavg.aggregate.median: Median takes no fields, got the number 2", "")],
    ),
    "a field of a class without fields": (
        {"{ trimmed_mean = { f = 2 } }": "{ median = { f = 2 } }"},
        [("f.toml:16: program.fedavg.aggregate.median.f: unknown key; Median takes: nothing", "")],
    ),
    "a field of a preset": (
        {'"wan"': "{ wan = { up = 3 } }"},
        [("f.toml:24: runtime.simulation.network.wan: wan is ready as it is and takes no fields", "")],
    ),
    "two programs": (
        {"[stop]": "[program.sync_sgd]\nrounds = 3\n[stop]"},
        [("f.toml:12: program: two programs where one is expected: fedavg, sync_sgd", "")],
    ),
    "a key twice in two spellings": (
        {"batch_size = 10": "batch_size = 10, batch-size = 3"},
        [("f.toml:15: program.fedavg.local.batch-size: given twice, as 'batch_size' and as 'batch-size'", "")],
    ),
    "a field is missing": (
        {"rounds = 50\n": ""},
        [("f.toml:12: program.fedavg.rounds: missing: FedAvg needs a whole number", "")],
    ),
    "a field of a class in a list is missing": (
        {"{ clip = 1.0 }": "'clip'"},
        [("f.toml:18: program.fedavg.transforms[0].norm: missing: Clip needs a number", "")],
    ),
    "no network": (
        {'network = "logistic"\n': ""},
        [("f.toml:8: model.network: missing: [model] needs a neural network (", "")],
    ),
    "an option of the source is missing": (
        {'"digits"': '"idx"'},
        [("f.toml:3: data.path: missing: idx needs a path", "")],
    ),
    "the path is not there": (
        {'"digits"': '"idx"\npath = "no/such/folder"'},
        [("f.toml:5: data.path: there is no ", "no/such/folder")],
    ),
    "no file to start from": (
        {"loss =": "warm_start = 'gone.safetensors'\nloss ="},
        [("f.toml:10: model.warm_start: warm_start: there is no ", "gone.safetensors")],
    ),
    "no such folder": ({"seed = 0": "folder = 'nowhere'"}, [("f.toml:1: folder: there is no folder ", "nowhere")]),
    "nobody knows how many nodes": (
        {"nodes = 20\n": ""},
        [("f.toml:3: data.nodes: nodes is missing: Dirichlet(alpha=0.3", "")],
    ),
    "a class that refuses its value": (
        {"f = 2": "f = -1"},
        [
            (
                "f.toml:16: program.fedavg.aggregate.trimmed_mean.f: f, how many dishonest nodes are withstood, must",
                "got -1",
            )
        ],
    ),
    "a class that refuses one of its values": (
        {"epochs = 5, batch_size = 10": "epochs = 5, batch_size = 0"},
        [("f.toml:15: program.fedavg.local.batch_size: batch_size must be at least 1", "got 0")],
    ),
    "a class that refuses its only value": (
        {"fixed = 10": "fixed = 0"},
        [("f.toml:14: program.fedavg.cohort.fixed.k: a cohort needs at least one node", "")],
    ),
    "a class that refuses them together": (
        {'"wan"': "{ cost_model = { links = { latency = 1, up = 1, down = 1 }, device = {} } }"},
        [("f.toml:24: runtime.simulation.network.cost_model.device: a Device needs exactly one", "")],
    ),
    "a cohort larger than the federation": (
        {"nodes = 20": "nodes = 9"},
        [("f.toml:14: program.fedavg.cohort: a cohort of 10 nodes was asked for, but there are only 9", "")],
    ),
    "no import path": (
        {'"logistic"': '"my net:Net"'},
        [("f.toml:9: model.network: 'my net:Net' is no import path", "")],
    ),
    "everything at once": (
        {
            "seed = 0": "seed = 'x'",
            '"digits"': '"digit"',
            "cross_entropy": "hinge",
            "rounds = 50": "rounds = 'ten'",
            "top_k": "top_q",
            '"wan"': '"wam"',
            "value = 0.95, ": "",
            "[stop]": "[evaluate]\nevery = 0\n[stop]",
        },
        [
            ("f.toml:1: seed: ", "'x'"),
            ("f.toml:4: data.source: ", "'digit'"),
            ("f.toml:10: model.loss: ", "'hinge'"),
            ("f.toml:13: program.fedavg.rounds: ", "'ten'"),
            ("f.toml:19: program.fedavg.transforms[1].error_feedback.inner.top_q: ", "'top_q'"),
            ("f.toml:24: runtime.simulation.network: ", "'wam'"),
            ("f.toml:27: evaluate.every: ", "got 0"),
            ("f.toml:29: stop.target.value: missing: Target needs a number", ""),
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_bad_files(name):
    changes, expected = CHANGES[name]
    text = GOOD
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    said = problems(text)
    assert len(said) == len(expected), said
    for line, (start, has) in zip(said, expected, strict=True):
        assert line.startswith(start)
        assert has in line


def test_everything_that_must_be_there():
    said = problems("seed = 1")
    assert [s.partition(": missing")[0] for s in said] == ["f.toml: data", "f.toml: model", "f.toml: program"]
    assert "an experiment needs a program (" in said[2]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "f.toml: it is empty: an experiment needs [data], [model] and a program"),
        ("# nothing\n", "f.toml: it is empty"),
        ("a = 1\nb = \n", "f.toml:2:5: this is not TOML: Invalid value"),
        ("a = 1\na = 2", "f.toml:2"),
        ("a = 'x", "f.toml:1: this is not TOML: "),
        ("a = " + "[" * 5000 + "]" * 5000, "f.toml: this is nested too deeply"),
        ("data = 3\nmodel = 'x'\nprogram = 1", "f.toml:1: data: expected a table, got the number 3"),
        ("stop = 'x'", "f.toml: data: missing"),
    ],
)
def test_texts_that_are_no_experiment(text, start):
    assert problems(text)[0].startswith(start)


# -- files -----------------------------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(BadExperiment) as caught:
        read(path)
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    file = tmp_path / "f.toml"
    assert refused(file) == f"{file}: there is no such file"
    assert refused(tmp_path) == f"{tmp_path}: this is a folder: an experiment is a TOML file"
    file.write_bytes(b"a = 1\n\x00\x01")
    assert refused(file) == f"{file}: this is a binary file: an experiment is a TOML file"
    file.write_bytes("a = 1\nb = 'ö'".encode("latin-1"))
    assert refused(file) == f"{file}:2: this is not UTF-8 text: save it as UTF-8"
    file.write_text("")
    assert refused(file).startswith(f"{file}: it is empty")
    assert refused(file / "x").startswith(f"{file / 'x'}: it cannot be read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    file = tmp_path / "f.toml"
    file.write_text(GOOD)
    file.chmod(0)
    assert refused(file) == f"{file}: you have no permission to read it"


# -- --set -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "start"),
    [
        (
            "program.fedavg.lokal.lr=1",
            "--set program.fedavg.lokal.lr: program.fedavg.lokal: unknown key; did you mean 'local'?",
        ),
        ("program.fedavg.local.l=1", "--set program.fedavg.local.l: unknown key; did you mean 'lr'?"),
        ("nope=1", "--set nope: unknown key"),
        ("seed.x=1", "--set seed.x: seed: expected a whole number, got a table"),
        ("data.nodes=ten", "--set data.nodes: expected a whole number or \"none\", got the text 'ten'"),
        ("program.fedavg.aggregate.trimmed_mean.f=-1", "--set program.fedavg.aggregate.trimmed_mean.f: f, how many"),
        ("data.split.shards=2", "f.toml:5: data.split: two partitions where one is expected: dirichlet, shards"),
        (
            "program.fedavg.transforms.5.clip=1",
            "--set program.fedavg.transforms.5.clip=1: program.fedavg.transforms is a list of 2",
        ),
        ("nothing", "--set nothing: expected KEY=VALUE"),
        ("=3", "--set =3: '' is no key"),
        ("a b=3", "--set a b=3: 'a b' is no key"),
        ("program.mine:Alg.x=3", "--set program.mine:Alg.x=3: 'program.mine:Alg.x' is no key"),
    ],
)
def test_bad_sets(given, start):
    said = problems(GOOD, [given])
    assert len(said) == 1
    assert said[0].startswith(start)


def test_of_two_sets_the_last_counts():
    (said,) = problems(GOOD, ["program.fedavg.local={}", "program.fedavg.local.l=1"])
    assert said.startswith("--set program.fedavg.local.l: unknown key")


def test_all_sets_are_looked_at():
    assert len(problems(GOOD, ["x", "y", "seed=1"])) == 2
    assert len(problems(GOOD, ["data.nodes=x", "seed=y"])) == 2


def test_only_files_are_experiments_and_not_large_ones(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.toml")
    for path, kind in ((tmp_path / "pipe.toml", "a pipe"), (Path("/dev/zero"), "a device")):
        assert refused(path) == f"{path}: this is {kind}: an experiment is a TOML file"
    monkeypatch.setattr(document, "LARGEST", 100)
    (tmp_path / "large.toml").write_text("# " + "x" * 100)
    assert "this has more than 100 bytes" in refused(tmp_path / "large.toml")
