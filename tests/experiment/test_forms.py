"""What a file may say, and what it means in the Python API."""

from pathlib import Path

import pytest

import foedus as fd
from foedus import network
from foedus.data import IID, Dirichlet, Natural, Shards
from foedus.experiment import BadExperiment, parse, to_toml
from foedus.jobs import InverseTime
from foedus.optimizers import SGD, Adam

BASE = """\
[data]
source = "digits"
split = "iid"
nodes = 5
[model]
network = "logistic"
"""


def program(text):
    return parse(f"{BASE}[program.fedavg]\nrounds = 3\n{text}").program


def data(text):
    return parse(
        f'[data]\nsource = "digits"\n{text}\n[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 1'
    ).tables.data


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("cohort = { fixed = 3 }", "cohort", fd.Fixed(3)),
        ("cohort = { fixed = { k = 3 } }", "cohort", fd.Fixed(3)),
        ("cohort.fixed.k = 3", "cohort", fd.Fixed(3)),
        ("cohort = { Fraction = 1 }", "cohort", fd.Fraction(1.0)),
        ('aggregate = "median"', "aggregate", fd.Median()),
        ('aggregate = "trimmed_mean"', "aggregate", fd.TrimmedMean(f=1)),
        ('aggregate = "TrimmedMean"', "aggregate", fd.TrimmedMean(f=1)),
        ('aggregate = "trimmed-mean"', "aggregate", fd.TrimmedMean(f=1)),
        ("aggregate = { trimmed_mean = {} }", "aggregate", fd.TrimmedMean(f=1)),
        ("aggregate = { krum = 2 }", "aggregate", fd.Krum(f=2)),
        ("aggregate = { nnm = { f = 2, then = { trimmed_mean = 2 } } }", "aggregate", fd.NNM(2, fd.TrimmedMean(2))),
        ('aggregate = { bucketing = { size = 2, then = "median" } }', "aggregate", fd.Bucketing(2, fd.Median())),
        ("aggregate = { geometric_median = {} }", "aggregate", fd.GeometricMedian()),
        ("aggregate = { mean = false }", "aggregate", fd.Mean(weighted=False)),
        ("local = { epochs = 5 }", "local", fd.LocalSGD(epochs=5)),
        ("local = { local_sgd = { epochs = 5 } }", "local", fd.LocalSGD(epochs=5)),
        ('local = "local_sgd"', "local", fd.LocalSGD()),
        ('local = { batch_size = "none" }', "local", fd.LocalSGD(batch_size=None)),
        ("local = { batch-size = 7 }", "local", fd.LocalSGD(batch_size=7)),
        ("local = { lr = 1 }", "local", fd.LocalSGD(lr=1.0)),
        ("local = { lr = { inverse_time = { lr = 0.5 } } }", "local", fd.LocalSGD(lr=InverseTime(0.5))),
        ("local = { lr = { inverse_time = 0.5 } }", "local", fd.LocalSGD(lr=InverseTime(0.5))),
        ('server = "adam"', "server", Adam()),
        ("server = { SGD = { momentum = 0.9 } }", "server", SGD(momentum=0.9)),
        ("until = { quorum = 2 }", "until", fd.Quorum(2)),
        ('until = { quorum = { k = 2, failure = "skip" } }', "until", fd.Quorum(2, failure="skip")),
        ('until = "all"', "until", fd.All()),
        ("until = { deadline = 1.5 }", "until", fd.Deadline(1.5)),
        ("transforms = []", "transforms", ()),
        ('transforms = [{ clip = 1.0 }, "top_k"]', "transforms", (fd.Clip(1.0), fd.TopK())),
        ("transforms = { clip = 1.0, top_k = 0.5 }", "transforms", (fd.Clip(1.0), fd.TopK(0.5))),
        (
            "transforms = [{ error_feedback = { inner = { top_k = { fraction = 0.1 } } } }]",
            "transforms",
            (fd.ErrorFeedback(fd.TopK(0.1)),),
        ),
        ('transforms = [{ error_feedback = "top_k" }]', "transforms", (fd.ErrorFeedback(fd.TopK()),)),
    ],
)
def test_fields_of_a_program(text, field, value):
    assert program(text) == fd.FedAvg(rounds=3, **{field: value})
    assert type(getattr(program(text), field)) is type(value)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("nodes = 5\nsplit = 'iid'", IID()),
        ("nodes = 5\nsplit = { dirichlet = { alpha = 0.3 } }", Dirichlet(0.3)),
        ("nodes = 5\nsplit = { dirichlet = 0.3 }", Dirichlet(0.3)),
        ("nodes = 5\nsplit = { shards = 3 }", Shards(3)),
        ("split = 'natural'", Natural()),
        ("", None),
        ("split = 'none'", None),
    ],
)
def test_splits(text, split):
    assert data(text).split == split


def test_options_of_the_source_stand_beside_it_or_under_its_name():
    beside = data("test = 0.5")
    assert beside.source.options == {"test": 0.5, "test_seed": 0}
    assert data("test = 'none'").source.options == {"test": None, "test_seed": 0}
    assert data("").source.options == {"test": 0.2, "test_seed": 0}
    text = "[data]\nsource = { digits = { test = 0.5 } }\n[model]\nnetwork = 'logistic'\n[program.fedavg]\nrounds = 1"
    assert parse(text).tables.data == beside


@pytest.mark.parametrize("name", ["breast-cancer", "breast_cancer", "BreastCancer"])
def test_a_source_in_any_spelling(name):
    assert (
        parse(BASE.replace("digits", name) + "[program.fedavg]\nrounds = 1").tables.data.source.name == "breast-cancer"
    )


def test_the_whole_file():
    e = parse(
        f"""
        name = "all of it"
        seed = 7
        {BASE}
        loss = "cross_entropy"
        metrics = ["accuracy"]
        freeze = ["0.*"]
        [program.sync_sgd]
        rounds = 9
        lr = {{ exponential_decay = {{ lr = 0.5, factor = 0.9 }} }}
        [runtime.simulation]
        workers = 2
        network = "wan"
        [stop]
        target = {{ value = 0.95, metric = "accuracy" }}
        after_commits = 4
        [evaluate]
        every = 2
        nodes = 5
        [checkpoint]
        every = 3
        [ledger]
        per_node = true
        """
    )
    t = e.tables
    assert (e.name, e.seed, e.tables.data.nodes) == ("all of it", 7, 5)
    assert (t.model.loss, t.model.metrics, t.model.freeze) == ("cross_entropy", ("accuracy",), ("0.*",))
    assert e.program == fd.SyncSGD(rounds=9, lr=fd.jobs.ExponentialDecay(0.5, 0.9))
    assert e.runtime == fd.Simulation(workers=2, network=network.WAN)
    assert e.stop == (fd.Target(0.95), fd.AfterCommits(4))
    assert (t.evaluate.every, t.evaluate.nodes, t.checkpoint.every, t.ledger.per_node) == (2, 5, 3, True)


def test_what_need_not_be_said():
    t = parse(BASE + "[program.fedavg]\nrounds = 1", origin="some/where/four hospitals.toml").tables
    assert (t.name, t.seed, t.runtime, t.stop) == ("four hospitals", 0, fd.Simulation(), ())
    assert (t.evaluate.every, t.evaluate.nodes, t.checkpoint.every, t.ledger.per_node) == (1, 0, 1, False)


@pytest.mark.parametrize("text", ['network = "WAN"', "network = { wan = {} }"])
def test_networks_by_name(text):
    assert parse(f"{BASE}[runtime.simulation]\n{text}\n[program.fedavg]\nrounds = 1").runtime.network == network.WAN


def test_a_network_of_ones_own():
    runtime = parse(
        f"""{BASE}
        [program.fedavg]
        rounds = 1
        [runtime.simulation.network.cost_model]
        links = {{ latency = 0.5, up = 10, down = inf }}
        device = {{ samples_per_second = 100, jitter = {{ log_normal = 0.1 }} }}
        """
    ).runtime
    assert runtime.network == network.CostModel(
        network.Links(0.5, 10.0, float("inf")), network.Device(100.0, jitter=network.LogNormal(0.1))
    )
    assert type(runtime.network.links.up) is float


def test_a_program_with_nothing_to_say_is_a_text(monkeypatch):
    assert parse("program = { fedavg = 3 }\n" + BASE).program == fd.FedAvg(3)


def test_the_same_rule_twice_is_a_list():
    stop = parse(
        f"stop = [{{ target = 0.5 }}, {{ target = {{ value = 0.1, metric = 'loss' }} }}]\nprogram.fedavg = 1\n{BASE}"
    ).stop
    assert stop == (fd.Target(0.5), fd.Target(0.1, "loss"))


def test_a_byte_order_mark_and_foreign_line_ends_are_no_matter():
    text = BASE + "[program.fedavg]\nrounds = 1"
    assert parse("\ufeff" + text.replace("\n", "\r\n")) == parse(text)


def test_paths_start_from_the_files_folder(tmp_path):
    (tmp_path / "mnist").mkdir()
    text = BASE.replace('"digits"', '"idx"\npath = "mnist"') + "[program.fedavg]\nrounds = 1"
    assert parse(text, folder=tmp_path).tables.data.source.options["path"] == tmp_path / "mnist"
    moved = f"folder = {str(tmp_path)!r}\n{text}"
    assert parse(moved).tables.data.source.options["path"] == tmp_path / "mnist"
    absolute = text.replace('"mnist"', repr(str(tmp_path / "mnist")))
    assert parse(absolute, folder=Path.home()).tables.data.source.options["path"] == tmp_path / "mnist"


def test_metrics_are_names_tables_and_code_of_ones_own(tmp_path):
    (tmp_path / "my_metrics.py").write_text(
        "import foedus as fd\n"
        "def hits(outputs, targets):\n    return (outputs.argmax(1) == targets).float().mean()\n"
        "def misses(outputs, targets):\n    return 1 - hits(outputs, targets)\n"
        "missed = fd.Metric('missed', misses, higher=False, form='share')\n"
    )
    text = """
    seed = 0
    [data]
    source = "breast-cancer"
    split = "iid"
    nodes = 2
    [model]
    network = "logistic"
    metrics = ["roc_auc", { sensitivity = { threshold = 0.3 } }, "my_metrics:hits", "my_metrics:missed"]
    [program.fedavg]
    rounds = 1
    [stop]
    target = { value = 0.0, metric = "my_metrics:hits" }
    """
    e = parse(text, folder=tmp_path)
    run = e.train()
    names = ["auc", "sensitivity_at_threshold_0.3", "hits", "missed"]
    assert [m.name for m in run.metrics] == names
    assert all(run.history[-1].measured(n) is not None for n in names)
    assert not run.metrics[3].higher
    again = parse(to_toml(e), folder=tmp_path)
    assert again == e
    wrong = parse(text.replace('metric = "my_metrics:hits"', 'metric = "recall"'), folder=tmp_path)
    with pytest.raises(BadExperiment, match=r"stop: .*waits for recall, which this run does not measure"):
        wrong.check(wrong.data())
