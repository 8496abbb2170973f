"""The user's own classes and functions by their import path."""

import sys
from pathlib import Path

import pytest

import foedus as fd
from foedus.experiment import BadExperiment, parse, read, to_toml

MODULE = '''
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
import foedus as fd
from foedus.core.coordination.peer import Peer


@dataclass(frozen=True)
class Half(fd.Mean):
    """Half of the mean."""
    by: float = 2.0
    weighted: bool = True

    def __post_init__(self):
        if self.by == 0:
            raise fd.BadInput("by must not be 0")
        1 / (self.by - 1)

    def read(self, acc, state):
        total, state = super().read(acc, state)
        return {k: v / self.by for k, v in total.items()}, state


@dataclass(frozen=True)
class Twice(fd.LocalSGD):
    epochs: int = 2


class Net(nn.Module):
    def __init__(self, inputs: int, classes: int, hidden: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x):
        return self.layers(x)


def make(classes, **rest):
    return nn.Linear(64, classes)


ready = nn.Linear(64, 10)
half = Half(by=4.0)


def loss(output, target):
    return nn.functional.cross_entropy(output, target, reduction="none")


def rate(t):
    return 0.1 / (t + 1)


def rows(test: float = 0.5, path: Path | None = None):
    return fd.data.load("digits", test=test)


def divided():
    return rows().split(fd.data.IID(), nodes=3)


def nothing():
    return 3


def broken(**options):
    return 1 / 0


async def once(fed: fd.Federation):
    s = await fed.begin(lambda w: fd.State(w=w))
    for t in fed.rounds(2):
        await fed.commit(s)
    return s.w


def not_async(fed):
    return None


@dataclass(frozen=True)
class NoRule:
    def empty(self): ...


@dataclass(frozen=True)
class Wrong:
    robust = False
    def empty(self): ...
    def add(self, acc): ...
    def merge(self, a, b): ...
    def init(self, shapes): ...
    def read(self, acc, state): ...
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module in it, forgotten afterwards."""
    (tmp_path / "mine_of_foedus.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [n for n in sys.modules if n.endswith("_of_foedus")]:
        del sys.modules[name]


def text(program="rounds = 2", network='"logistic"', source='"digits"', more=""):
    return (
        f'[data]\nsource = {source}\nsplit = "iid"\nnodes = 3\n[model]\nnetwork = {network}\n{more}\n'
        f"[program.fedavg]\n{program}\n"
    ).replace("mine:", "mine_of_foedus:")


def experiment(folder, **parts):
    return parse(text(**parts), origin="f.toml", folder=folder)


def test_an_aggregator_a_job_and_a_schedule(folder):
    e = experiment(
        folder,
        program='rounds = 2\naggregate = { "mine:Half" = { by = 3 } }\nlocal = { "mine:Twice" = { lr = "mine:rate" } }',
    )
    mine = sys.modules["mine_of_foedus"]
    assert e.program.aggregate == mine.Half(by=3.0)
    assert e.program.local == mine.Twice(lr=mine.rate)
    assert parse(to_toml(e)) == e
    assert e.train().status == "finished"
    assert experiment(folder, program='rounds = 1\naggregate = "mine:half"').program.aggregate is mine.half
    assert experiment(folder, program='rounds = 1\naggregate = { "mine:Half" = false }').program.aggregate == mine.Half(
        weighted=False
    )


@pytest.mark.parametrize("network", ['"mine:Net"', '{ "mine:Net" = { hidden = 8 } }', '"mine:make"', '"mine:ready"'])
def test_networks_and_a_loss(folder, network):
    e = experiment(folder, network=network, more='loss = "mine:loss"')
    data = e.data()
    assert e.model(data).loss is sys.modules["mine_of_foedus"].loss
    assert parse(to_toml(e)) == e
    assert e.train(data=data).history[-1].loss > 0


def test_a_program_that_is_a_function(folder):
    e = parse(
        text().replace("[program.fedavg]\nrounds = 2", "").replace("[data]", 'program = "mine_of_foedus:once"\n[data]'),
        folder=folder,
    )
    assert len(e.train().history) == 2
    assert parse(to_toml(e)) == e


def test_sources(folder):
    e = experiment(folder, source='"mine:rows"\ntest = 0.25')
    assert len(e.data().test_x) == 449
    assert parse(to_toml(e)) == e
    whole = text(source='"mine:divided"').replace('split = "iid"\nnodes = 3\n', "")
    assert parse(whole, folder=folder).data().nodes == 3


def test_workers_find_it_too(folder):
    (folder / "f.toml").write_text(
        text(program='rounds = 1\naggregate = "mine:Half"', more="") + "[runtime.simulation]\nworkers = 2\n"
    )
    e = read(folder / "f.toml")
    assert e.train().sha256 == parse(to_toml(e), ["runtime.simulation.workers=1"]).train().sha256


BAD = {
    "no module": ('"gone:X"', "f.toml:6: model.network: there is no module gone: looked in "),
    "no package": (
        '"mine_of_foedus.gone:X"',
        "f.toml:6: model.network: there is no module mine_of_foedus.gone: looked in ",
    ),
    "no name": ('"mine:Nett"', "f.toml:6: model.network: mine_of_foedus has no Nett; did you mean 'Net'? It has: "),
    "not of the kind": ('"mine:Path.home.x"', "f.toml:6: model.network: mine_of_foedus has no x; "),
    "no field of that name": (
        '{ "mine:Net" = { hiden = 3 } }',
        "f.toml:6: model.network.\"mine_of_foedus:Net\".hiden: unknown key; did you mean 'hidden'? ",
    ),
    "a field of the wrong type": (
        '{ "mine:Net" = { hidden = "x" } }',
        "f.toml:6: model.network.\"mine_of_foedus:Net\".hidden: expected a whole number, got the text 'x'",
    ),
    "fields of something ready": (
        '{ "mine:ready" = { hidden = 3 } }',
        'f.toml:6: model.network."mine_of_foedus:ready": mine_of_foedus:ready is ready as it is and takes no fields',
    ),
    "no path": ('"mine:"', "f.toml:6: model.network: 'mine_of_foedus:' is no import path"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_names(folder, name):
    network, said = BAD[name]
    with pytest.raises(BadExperiment) as caught:
        experiment(folder, network=network)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ('aggregate = "mine:NoRule"', "mine_of_foedus:NoRule is not an aggregator: it has no "),
        ('aggregate = "mine:Wrong"', "mine_of_foedus:Wrong is not an aggregator: its add does not take 2 arguments"),
        ('aggregate = "mine:rate"', "mine_of_foedus:rate is not an aggregator: it is a function"),
        ('aggregate = { "mine:Half" = { by = 0 } }', "by must not be 0"),
        ('aggregate = { "mine:Half" = { by = 1 } }', "Half refused its values: ZeroDivisionError: "),
        ('local = "mine:Half"', "mine_of_foedus:Half is not a LocalSGD: it is no subclass of LocalSGD"),
        ('local = { lr = "mine:make" }', ""),
    ],
)
def test_what_does_not_fit(folder, program, said):
    if not said:
        assert (
            experiment(folder, program=f"rounds = 1\n{program}").program.local.lr is sys.modules["mine_of_foedus"].make
        )
        return
    with pytest.raises(BadExperiment) as caught:
        experiment(folder, program=f"rounds = 1\n{program}")
    (problem,) = caught.value.problems
    assert problem.where == "f.toml:10"
    assert problem.message.startswith(said)


def test_a_program_that_is_not_async(folder):
    with pytest.raises(BadExperiment, match="mine_of_foedus:not_async is not a program: it must be async"):
        parse('program = "mine_of_foedus:not_async"', folder=folder)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("1 / 0", "importing bad_of_foedus raised ZeroDivisionError: division by zero (bad_of_foedus.py, line 2)"),
        (
            "import gone_too",
            "importing bad_of_foedus raised ModuleNotFoundError: No module named 'gone_too' (bad_of_foedus.py, line 2)",
        ),
        ("x = = 1", "importing bad_of_foedus raised SyntaxError: invalid syntax (bad_of_foedus.py, line 2)"),
        ("raise SystemExit(3)", "importing bad_of_foedus raised SystemExit: 3 (bad_of_foedus.py, line 2)"),
    ],
)
def test_a_module_that_cannot_be_imported(folder, module, said):
    (folder / "bad_of_foedus.py").write_text(f"# a module\n{module}\n")
    with pytest.raises(BadExperiment) as caught:
        experiment(folder, network='"bad_of_foedus:X"')
    assert caught.value.problems[0].message == said


def test_two_folders_with_a_module_of_one_name(folder, tmp_path_factory):
    experiment(folder, network='"mine:Net"')
    other = tmp_path_factory.mktemp("other")
    (other / "mine_of_foedus.py").write_text("Net = None")
    with pytest.raises(BadExperiment, match=r"another module mine_of_foedus is loaded already, from .*another name"):
        experiment(other, network='"mine:Net"')


def test_what_goes_wrong_only_with_the_data_has_its_place_too(folder):
    for source, said in (
        (
            '"mine:nothing"',
            "f.toml:2: data.source: mine_of_foedus:nothing must return a foedus Dataset, it returned a int",
        ),
        ('"mine:broken"', "f.toml:2: data.source: ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(BadExperiment) as caught:
            experiment(folder, source=source).data()
        assert str(caught.value) == said
    e = experiment(folder, network='"mine:nothing"')
    with pytest.raises(BadExperiment, match=r"^f\.toml:6: model\.network: "):
        e.model(e.data())


def test_the_folder_takes_no_modules_place(folder, monkeypatch):
    (folder / "colorsys.py").write_text("raise SystemExit('imported by accident')")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert str(folder) not in sys.path
    experiment(folder, network='"mine:Net"')
    assert Path(sys.modules["mine_of_foedus"].__file__).parent == folder
    import colorsys

    assert Path(colorsys.__file__).parent != folder
    with pytest.raises(BadExperiment, match=r"another module colorsys is loaded already, from .*another name"):
        experiment(folder, network='"colorsys:Net"')


NOT_CALLED = {
    "Python's own": ('source = "tempfile:mkdtemp"', "2: data.source: tempfile:mkdtemp is Python's own"),
    "with a field": ('source = { "tempfile:mkdtemp" = { dir = "D" } }', "tempfile:mkdtemp is Python's own"),
    "by way of a module": (
        'source = "mine_of_foedus:tempfile.mkdtemp"',
        "mine_of_foedus:tempfile.mkdtemp is Python's own",
    ),
    "of another kind": (
        'source = "mine_of_foedus:touch"',
        "mine_of_foedus:touch is not a data source: it makes a str, not",
    ),
    "a class of another kind": ('source = "mine_of_foedus:Touch"', "it makes a Touch, not a foedus Dataset"),
    "rows of Python's own": ('source = "torch"\ndataset = "tempfile:mkdtemp"', "tempfile:mkdtemp is Python's own"),
    "rows of another kind": ('source = "torch"\ndataset = "mine_of_foedus:Touch"', "it needs __len__ and __getitem__"),
    "rows with arguments": (
        'source = "torch"\ndataset = "mine_of_foedus:later"',
        "mine_of_foedus:later takes arguments",
    ),
    "a module": ('source = "torch"\ndataset = "mine_of_foedus:tempfile"', "mine_of_foedus:tempfile is a module"),
}
TOUCH = """
import tempfile

def touch() -> str:
    return tempfile.mkdtemp()

class Touch:
    def __init__(self):
        tempfile.mkdtemp()

def later(n):
    return touch()
"""


@pytest.mark.parametrize("name", NOT_CALLED)
def test_what_is_of_another_kind_is_not_called(folder, tmp_path_factory, monkeypatch, name):
    """Harmless: what would be called makes an empty folder."""
    source, said = NOT_CALLED[name]
    place = tmp_path_factory.mktemp("calls")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with open(folder / "mine_of_foedus.py", "a") as f:
        f.write(TOUCH)
    text = f'[data]\n{source}\nsplit = "iid"\nnodes = 3\n[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 1\n'
    with pytest.raises(BadExperiment) as caught:
        parse(text, origin="f.toml", folder=folder).data()
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(place.iterdir())


def test_a_network_of_another_kind_is_not_called(folder):
    with open(folder / "mine_of_foedus.py", "a") as f:
        f.write(TOUCH)
    for name in ("touch", "Touch"):
        with pytest.raises(BadExperiment, match="is not a neural network: it makes a "):
            experiment(folder, network=f'"mine:{name}"')


def test_a_class_of_a_module_is_written_by_its_name(folder):
    e = experiment(folder, program='rounds = 1\naggregate = "mine:Half"')
    assert '[program.fedavg.aggregate."mine_of_foedus:Half"]' in to_toml(e)
    assert isinstance(e.program, fd.FedAvg)


TORCH = """
import torch
from torch.utils.data import Dataset

class Train(Dataset):
    def __init__(self):
        self.x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
        self.targets = (self.x[:, 0] > 0).long()
    def __len__(self):
        return 40
    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(5), int(self.targets[i])

train = Train()

def broken():
    raise OSError("no such disk")
"""


@pytest.mark.parametrize("name", ["Train", "train"])
def test_a_torch_dataset_by_its_import_path(tmp_path, name):
    (tmp_path / f"torch_rows_{name}.py").write_text(TORCH)
    file = tmp_path / "a.toml"
    file.write_text(
        f'[data]\nsource = "torch"\ndataset = "torch_rows_{name}:{name}"\nsplit = "iid"\nnodes = 4\n'
        '[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 2\n[runtime.simulation]\nworkers = 2\n'
    )
    e = read(file)
    assert e.train().status == "finished"
    assert parse(to_toml(e)) == e
    file.write_text(file.read_text().replace(f":{name}", ":broken"))
    with pytest.raises(BadExperiment, match=r"a.toml:2: data.source: OSError: no such disk"):
        read(file).data()
