"""From a file to a run."""

import inspect
import pickle

import pytest
import torch
from torch import nn

import foedus as fd
from foedus import models, programs
from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.data import IID, Dataset, arrays, load
from foedus.experiment import BadExperiment, Experiment, known, parse, to_toml
from foedus.experiment.tables import Data, Model, Network, Source, Tables

TEXT = """\
seed = 3
[data]
source = "digits"
split = { dirichlet = 0.5 }
nodes = 4
[model]
network = "logistic"
[program.fedavg]
rounds = 3
local = { lr = 0.05 }
[runtime.simulation]
network = "wan"
[stop]
after_commits = 2
[evaluate]
every = 2
[ledger]
per_node = true
"""


def test_the_file_and_the_api_give_the_same_bits():
    run = parse(TEXT).train()
    by_hand = fd.train(
        fd.FedAvg(rounds=3, local=fd.LocalSGD(lr=0.05)),
        fd.Model(models.logistic(64, 10, seed=3)),
        fd.data.load("digits").split(fd.data.Dirichlet(0.5), nodes=4, seed=3),
        runtime=fd.Simulation(network=fd.network.WAN),
        seed=3,
        stop=fd.AfterCommits(2),
        evaluate_every=2,
        per_node=True,
    )
    assert run.sha256 == by_hand.sha256
    assert run.history[-1].virtual_s == by_hand.history[-1].virtual_s
    assert (len(run.history), run.status) == (2, "stopped")
    assert run.history[0].accuracy is None


def test_another_seed_is_another_division_and_other_first_weights():
    one, two = (parse(TEXT, [f"seed={s}"]) for s in (3, 4))
    assert one.data().sizes != two.data().sizes
    assert not torch.equal(one.model(one.data()).initial, two.model(two.data()).initial)
    held = [parse(TEXT, [f"seed={s}", "data.seed=0", "model.network.logistic.seed=0"]) for s in (3, 4)]
    assert held[0].data().sizes == held[1].data().sizes
    assert torch.equal(*(e.model(e.data()).initial for e in held))


def test_out_resume_and_progress(tmp_path):
    e = parse(TEXT, ["stop={}"])
    records = []
    stopped = parse(TEXT).train(out=tmp_path / "run", progress=records.append)
    assert [r.round for r in records] == [1, 2]
    resumed = e.train(out=tmp_path / "run", resume=True)
    assert resumed.sha256 == e.train().sha256 != stopped.sha256


def test_reading_loads_no_data(monkeypatch):
    e = parse(TEXT)
    assert not hasattr(e, "x")
    assert e.tables.data.source.function is fd.data.sources.digits
    assert e == pickle.loads(pickle.dumps(e))


# -- the model's sizes -------------------------------------------------------------------------------------------------


def experiment(function, loss=None, **options):
    network = Network("mine:network", function, options)
    return Experiment(
        Tables(
            Data(Source("digits", fd.data.sources.digits), IID(), 3), Model(network, loss=loss), fd.FedAvg(1), seed=5
        )
    )


def dataset(shape=(6,), classes=3, y=None):
    x = torch.randn(30, *shape, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(30) % classes if y is None else y
    return arrays(x, targets).split(IID(), nodes=3)


def given(**filled):
    """A network that notes what it was given."""
    given.last = filled
    return nn.Linear(1, 1)


def of_rows(inputs: int, classes: int, seed: int = 0):
    return given(inputs=inputs, classes=classes, seed=seed)


def of_images(inputs: int | tuple[int, ...], outputs: int = 7):
    return given(inputs=inputs, outputs=outputs)


def test_sizes_come_from_the_data():
    experiment(of_rows).model(dataset())
    assert given.last == {"inputs": 6, "classes": 3, "seed": 5}
    experiment(of_rows, loss="bce").model(dataset(classes=2))
    assert given.last == {"inputs": 6, "classes": 1, "seed": 5}
    experiment(of_images).model(dataset((1, 4, 4)))
    assert given.last == {"inputs": (1, 4, 4), "outputs": 3}
    experiment(of_images).model(dataset(y=torch.randn(30, 2)))
    assert given.last == {"inputs": 6, "outputs": 2}
    experiment(of_images, loss="bce").model(dataset(y=torch.randn(30, 2).sign().relu()))
    assert given.last == {"inputs": 6, "outputs": 2}
    experiment(of_images).model(dataset(y=torch.randn(30)))
    assert given.last == {"inputs": 6, "outputs": 1}


def test_what_is_given_counts():
    experiment(of_rows, inputs=2, seed=9).model(dataset())
    assert given.last == {"inputs": 2, "classes": 3, "seed": 9}


def test_flat_rows_for_images_are_refused():
    with pytest.raises(
        BadInput, match=r"takes flat rows, and a row of the data has shape \(1, 4, 4\): give inputs = 16"
    ):
        experiment(of_rows).model(dataset((1, 4, 4)))


def either(widths: list[int] | None = None, inputs: int | None = None, classes: int = 10):
    if (widths is None) == (inputs is None):
        raise BadInput("either widths or inputs")
    return given(widths=widths, inputs=inputs, classes=classes)


def test_what_may_be_none_is_filled_in_only_where_that_is_no_contradiction():
    experiment(either).model(dataset())
    assert given.last == {"widths": None, "inputs": 6, "classes": 3}
    experiment(either, widths=[1, 2]).model(dataset())
    assert given.last == {"widths": [1, 2], "inputs": None, "classes": 3}
    with pytest.raises(BadInput, match="either widths or inputs"):
        experiment(either, widths=None, inputs=None).model(dataset())


def test_a_ready_module_stays_as_it_is():
    ready = nn.Linear(6, 3)
    assert experiment(ready)._module(dataset(), "mse") is not ready  # which freezing would change
    model = experiment(ready).model(dataset())
    assert torch.equal(model.initial[:18], ready.weight.flatten())
    model.flat.zero_()
    assert ready.weight.abs().sum() > 0


def test_sizes_that_are_said_already_are_not_filled_in():
    e = parse(TEXT, ["model.network={ mlp = { widths = [64, 8, 10] } }"])
    assert e.model(e.data()).layout.size == 64 * 8 + 8 + 8 * 10 + 10
    with pytest.raises(BadExperiment, match=r"model\.network: mlp"):
        parse(TEXT, ["model.network={ mlp = { widths = [0, 3] } }"]).model(e.data())


@pytest.mark.parametrize(("y", "loss"), [(None, "cross_entropy"), (torch.randn(30), "mse")])
def test_the_loss_fits_the_data(y, loss):
    assert experiment(of_images).model(dataset(y=y)).loss == loss


# -- what is wrong only with the data ----------------------------------------------------------------------------------


def late(*sets, text=TEXT):
    e = parse(text, sets, origin="f.toml")
    with pytest.raises(BadExperiment) as caught:
        e.model(e.data())
    return str(caught.value)


def test_problems_that_need_the_data_have_a_place():
    assert late("data.nodes=100000").startswith("f.toml:4: data.split: Dirichlet cannot give 100000 nodes")
    without = TEXT.replace("split = { dirichlet = 0.5 }\n", "")
    assert (
        late(text=without)
        == "f.toml:2: data.split: missing: digits does not say whose each row is, so say how to divide it"
    )
    assert late("data.split=natural").startswith("--set data.split: Natural divides by the node column")
    assert late("data.test=1.5").startswith("f.toml:3: data.source: test must be (x, y), a fraction between 0 and 1")
    with pytest.raises(BadInput, match=r"does not say whose"):
        Experiment(
            Tables(Data(Source("digits", fd.data.sources.digits)), Model(Network("n", given)), fd.FedAvg(1))
        ).data()


def test_a_node_column_is_the_default_division():
    def load():
        return arrays(torch.eye(6), torch.arange(6) % 2, node=["a", "b", "c"] * 2)

    e = Experiment(Tables(Data(Source("mine:load", load)), Model(Network("n", given)), fd.FedAvg(1)))
    assert e.data().sizes == [2, 2, 2]


# -- what other packages bring -----------------------------------------------------------------------------------------


@pytest.fixture
def afresh():
    known.forget()
    yield
    known.forget()


def test_a_new_program_is_usable_as_soon_as_it_is_exported(monkeypatch, afresh):
    class Renamed(fd.FedAvg):
        """Another one."""

    with monkeypatch.context() as m:
        m.setattr(programs, "__all__", [*programs.__all__, "Renamed"])
        m.setattr(programs, "Renamed", Renamed, raising=False)
        e = parse(TEXT.replace("program.fedavg", "program.renamed"))
        assert type(e.program) is Renamed
        assert parse(to_toml(e)) == e
    known.forget()
    with pytest.raises(BadExperiment, match="unknown program 'renamed'"):
        parse(TEXT.replace("program.fedavg", "program.renamed"))


def test_an_export_that_needs_what_is_not_installed_is_left_out(monkeypatch, afresh):
    monkeypatch.setattr(programs, "__all__", [*programs.__all__, "NeedsMore"])

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(programs, "__getattr__", missing, raising=False)
    assert parse(TEXT).program.rounds == 3


@pytest.mark.skipif(not hasattr(models, "freeze"), reason="foedus.models has no freeze yet")
def test_frozen_parts_do_not_travel():
    e = parse(TEXT, ["model.network={ mlp = { widths = [64, 8, 10] } }", 'model.freeze=["0.*"]'])
    assert e.model(e.data()).layout.size == 8 * 10 + 10
    assert late('model.freeze=["nothing.*"]').startswith("--set model.freeze: ")


@pytest.mark.skipif(not hasattr(models, "warm_start"), reason="foedus.models has no warm_start yet")
def test_a_warm_start(tmp_path):
    from safetensors.torch import save_file

    weights = models.logistic(64, 10, seed=99)
    save_file(weights.state_dict(), tmp_path / "w.safetensors")
    e = parse(TEXT.replace('"logistic"', '"logistic"\nwarm_start = "w.safetensors"'), folder=tmp_path)
    assert torch.equal(e.model(e.data()).initial, fd.Model(weights).initial)


@pytest.mark.skipif("holdout" not in inspect.signature(Dataset.split).parameters, reason="split has no holdout yet")
def test_a_holdout_of_every_node():
    e = parse(TEXT, ["data.holdout=0.25"])
    assert isinstance(e.data(), FederatedDataset)
    assert sum(e.data().sizes) == pytest.approx(0.75 * 1438, abs=4)


SYNTHETIC = """
data = { source = "synthetic", nodes = 4 }
model = { network = { mlp = { widths = [4] } } }
program = { fedavg = { rounds = 1 } }
"""


def test_nodes_are_the_source_s_where_nothing_divides_its_rows_anew():
    data = parse(SYNTHETIC).data()
    assert data.sizes == load("synthetic", nodes=4).split(fd.data.Natural()).sizes
    assert parse(SYNTHETIC, ["data.nodes=2"]).data().nodes == 2
    assert parse(to_toml(parse(SYNTHETIC))) == parse(SYNTHETIC)
    divided = parse(SYNTHETIC, ["data.split=iid"]).data()
    assert (divided.nodes, sum(divided.sizes)) == (4, len(load("synthetic")))  # rows of its 30 nodes, dealt to four
    with pytest.raises(BadExperiment, match=r"data\.nodes: .*got 0"):
        parse(SYNTHETIC, ["data.nodes=0"]).data()


def test_nodes_are_a_source_s_own_where_it_divides_the_rows_itself(tmp_path):
    (tmp_path / "own.py").write_text(
        "from foedus.data import IID, load\n"
        "def rows(nodes: int):\n    return load('digits').split(IID(), nodes=nodes)\n"
    )
    e = parse(SYNTHETIC.replace('"synthetic"', '"own:rows"'), folder=tmp_path)
    assert e.data().nodes == 4
