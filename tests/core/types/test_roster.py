"""What a coordinator may know of the nodes is all that a session reads, and it may grow between two rounds."""

import dataclasses

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.data import IID, AtNodes, Joining, arrays
from foedus.network import DayNight

N, FEATURES = 60, 4
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, FEATURES, generator=GENERATOR)
Y = (X[:, 0] > 0).long()
DATA = arrays(X, Y, test=0.2).split(IID(), nodes=10)
UNTESTED = arrays(X, Y).split(IID(), nodes=10)


def model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(FEATURES, 2))


def train(data, program=None, runtime=None, **options):
    return fd.train(program or fd.FedAvg(rounds=6), model(), data, runtime=runtime, seed=2, **options)


@dataclasses.dataclass(frozen=True)
class OnlyRoster:
    """A data set of which the coordinator is given the roster alone: its other half is for sites."""

    data: FederatedDataset

    @property
    def roster(self):
        return _Told(self.data)

    def __getattr__(self, name):
        if name in ("name", "partition", "nodes", "meet", "site", "here", "shell", "tensors", "use"):
            return getattr(self.data, name)
        raise AttributeError(f"the coordinator asked the data for {name}")


class _Told:
    """The members of ``core.types.roster.Roster`` and no other."""

    KNOWN = (
        "name", "partition", "classes", "class_names", "node_names", "feature_names", "preparation", "nodes", "sizes",
        "rows_owned", "test_rows", "tested_on", "nodes_tested_on", "held_rows", "fingerprint", "identity", "may_grow",
        "size", "label_counts", "example",
    )  # fmt: skip

    def __init__(self, data):
        self._data = data

    def at(self, commit):
        return self

    def __getattr__(self, name):
        if name not in self.KNOWN:
            raise AttributeError(f"the coordinator asked its roster for {name}")
        return getattr(self._data, name)


@pytest.mark.parametrize("program", [fd.FedAvg(rounds=3), fd.programs.Gossip(rounds=3), fd.programs.FedAsync(rounds=3)])
def test_a_run_reads_nothing_of_the_data_but_its_roster(program, tmp_path):
    run = train(OnlyRoster(DATA), program, out=tmp_path / "run", evaluate_nodes=1)
    assert run.sha256 == train(DATA, program).sha256
    fd.report.page([run], tmp_path / "page.html")
    assert fd.Run.load(tmp_path / "run").sizes == DATA.sizes


@pytest.mark.parametrize("network", [fd.network.LAN, None])
def test_operations_are_counted_only_where_a_network_has_devices(network, monkeypatch):
    asked = []
    monkeypatch.setattr(FederatedDataset, "example", lambda self, rows=1: asked.append(rows) or (X[:rows], Y[:rows]))
    if network is None:
        network = fd.network.CostModel(links=fd.network.LAN.links, device=fd.network.Device(flops_per_second=1e9))
    run = train(DATA, fd.FedAvg(rounds=1), fd.Simulation(network=network))
    assert run.ledger.virtual_s > 0
    assert 2 in asked  # the model is checked


# -- nodes that join ---------------------------------------------------------------------------------------------------

JOINS = {2: 3, 4: 2}


@pytest.mark.parametrize("data", [DATA, UNTESTED], ids=["test set", "tested at the nodes"])
def test_those_that_join_take_part_from_the_next_round_on(data):
    run = train(Joining(data, JOINS), evaluate_nodes=1)
    assert [r.cohort for r in run.history] == [5, 5, 8, 8, 10, 10]
    assert run.nodes == 10
    assert run.sizes == data.sizes
    assert len(run.node_metrics["loss"]) == 10
    assert run.evaluated_on.rows == data.tested_on
    assert all(r.accuracy is not None for r in run.history)


def test_until_somebody_joins_it_is_the_run_of_those_that_are_there():
    ends = UNTESTED.offsets[:6]
    first = dataclasses.replace(UNTESTED, index=UNTESTED.index[: int(ends[-1])], offsets=ends)
    few, joined = train(first, fd.FedAvg(rounds=2)), train(Joining(UNTESTED, JOINS), fd.FedAvg(rounds=2))
    assert joined.sha256 == few.sha256
    assert joined.nodes == 5
    # Of the rows that nobody knows of yet, none was evaluated either.
    for a, b in zip(joined.history, few.history, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-6)
        assert a.epochs == b.epochs


class _Networks:
    always = fd.network.LAN
    days = dataclasses.replace(fd.network.LAN, availability=DayNight(0.05, 0.6))


@pytest.mark.parametrize("network", [_Networks.always, _Networks.days], ids=["always on", "days and nights"])
@pytest.mark.parametrize(
    "program",
    [
        fd.FedAvg(rounds=6, cohort=fd.sampling.Fixed(3)),
        fd.programs.Scaffold(rounds=6),
        fd.programs.FedBuff(rounds=6, buffer=3),
        fd.FedAvg(rounds=6, cohort=fd.sampling.Available(fd.sampling.Fixed(3)), until=fd.All(failure="retry")),
    ],
    ids=lambda p: type(p).__name__,
)
def test_a_run_with_joins_has_the_same_bits_after_stop_and_resume(program, network, tmp_path):
    data, runtime = Joining(DATA, JOINS), fd.Simulation(network=network)
    whole = train(data, program, runtime)
    assert whole.nodes == 10
    for commits in (1, 2, 4, 5):  # before, at and after a commit with which somebody joins
        part = train(data, program, runtime, stop=fd.sampling.AfterCommits(commits))
        rest = train(data, program, runtime, resume=part)
        assert rest.sha256 == whole.sha256
        assert rest.ledger.total.as_dict() == pytest.approx(whole.ledger.total.as_dict())
        assert [r.virtual_s for r in rest.history] == [r.virtual_s for r in whole.history]


@pytest.mark.parametrize(
    "name",
    ["LocalOnly", "StaleSynchronous", "EASGD", "ParameterServer", "FedAsync", "FedDyn", "SyncSGD", "Hierarchical"],
)
def test_no_program_keeps_the_number_of_nodes(name):
    options = {"edges": 2} if name == "Hierarchical" else {}
    data, program = Joining(UNTESTED, JOINS), getattr(fd.programs, name)(rounds=6, **options)
    whole = train(data, program, evaluate_nodes=1)
    assert whole.history[-1].cohort == 10
    for commits in (2, 3):
        part = train(data, program, stop=fd.sampling.AfterCommits(commits), evaluate_nodes=1)
        assert train(data, program, resume=part, evaluate_nodes=1).sha256 == whole.sha256


def test_any_number_of_workers_has_the_same_bits():
    elsewhere = Joining(AtNodes(lambda node: arrays(X[node::10], Y[node::10]), 10), JOINS)
    one = train(elsewhere)
    assert [r.cohort for r in one.history] == [5, 5, 8, 8, 10, 10]
    assert train(elsewhere, runtime=fd.Simulation(workers=2)).sha256 == one.sha256


def test_in_processes_nodes_join_too():
    data = arrays(X, Y).split(IID(), nodes=3)
    program = fd.FedAvg(rounds=3)
    run = train(Joining(data, {1: 1}), program)
    assert [r.cohort for r in run.history] == [2, 3, 3]
    assert train(Joining(data, {1: 1}), program, fd.Processes(exchange="tree")).sha256 == run.sha256


def test_a_checkpoint_of_other_joins_is_of_another_run():
    part = train(Joining(DATA, JOINS), stop=fd.sampling.AfterCommits(3))
    with pytest.raises(BadInput, match="of another run: its joins"):
        train(Joining(DATA, {3: 5}), resume=part)


def test_what_cannot_be_is_said():
    with pytest.raises(BadInput, match="both from 1 up"):
        Joining(DATA, {0: 1})
    with pytest.raises(BadInput, match="at least one has to be there"):
        Joining(DATA, {1: 10})
    with pytest.raises(BadInput, match="graph of a decentralised program is of all nodes"):
        train(Joining(DATA, JOINS), fd.programs.Gossip(rounds=2))
    with pytest.raises(BadInput, match="needs all rows in one place"):
        train(Joining(DATA, JOINS), fd.programs.Centralized(rounds=1))
    with pytest.raises(BadInput, match="8 nodes was asked for, but there are only 5"):
        train(Joining(DATA, JOINS), fd.FedAvg(rounds=6, cohort=fd.sampling.Fixed(8)))
