"""Trust by how far updates point where the coordinator's own does, on its root data set."""

from dataclasses import dataclass, replace

import cloudpickle
import pytest
import torch

import foedus as fd
from foedus.aggregators import FLTrust
from foedus.aggregators.fltrust import Rooted, products
from foedus.core.coordination.federation import Phased
from foedus.core.types.aggregator import Aggregator, join
from foedus.core.types.policy import Policy
from foedus.core.types.update import Update

ROOT = Update({"delta": torch.tensor([3.0, 4.0])}, 1.0)


def said(u: list[list[float]]):
    return join(Rooted(ROOT), [Update({"delta": torch.tensor(row)}, 1.0, node=n) for n, row in enumerate(u)])


def test_trust_is_the_cosine_and_lengths_are_the_roots() -> None:
    """Along it, at a right angle, against it, and half way: trust 1, 0, 0 and 0.6."""
    parts, _, suspicions = said([[30.0, 40.0], [-4.0, 3.0], [-3.0, -4.0], [0.1, 0.0]])
    expected = (1.0 * torch.tensor([3.0, 4.0]) + 0.6 * torch.tensor([5.0, 0.0])) / 1.6
    torch.testing.assert_close(parts["delta"], expected)
    assert [s.left_out for s in suspicions.values()] == pytest.approx([0.0, 1.0, 1.0, 0.4])
    assert sorted(suspicions) == [0, 1, 2, 3]  # the root is no node


def test_where_nobody_is_trusted_the_answer_is_zero() -> None:
    parts, _, suspicions = said([[-3.0, -4.0], [0.0, 0.0], [4.0, -3.0]])
    assert parts["delta"].tolist() == [0.0, 0.0]
    assert {s.left_out for s in suspicions.values()} == {1.0}
    nothing = join(Rooted(ROOT.with_parts({"delta": torch.zeros(2)})), [replace(ROOT, node=0)])[0]
    assert nothing["delta"].tolist() == [0.0, 0.0]


def test_what_is_almost_infinite_is_as_long_as_the_root() -> None:
    assert float(said([[3e38, 3e38]])[0]["delta"].norm()) == pytest.approx(5.0)


def test_inner_products_of_many_numbers() -> None:
    u = torch.randn(5, 300_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(products(u, u[1]), u.double() @ u[1].double())


def test_the_roots_update_stays_at_the_coordinator() -> None:
    """Equal rules share a plan, which travels once: the root's numbers are in none."""
    rule, other = Rooted(ROOT), Rooted(ROOT.with_parts({"delta": torch.randn(2)}))
    assert rule == other
    assert hash(rule) == hash(other)
    assert repr(rule) == "Rooted()"
    heavy = Rooted(Update({"delta": torch.zeros(100_000)}, 1.0))
    assert len(cloudpickle.dumps(heavy)) < 1_000


def test_it_is_an_aggregator_with_an_exchange_of_its_own() -> None:
    assert isinstance(FLTrust(), Aggregator)
    assert isinstance(FLTrust(), Phased)
    assert not isinstance(Rooted(ROOT), Phased)


# -- in runs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flips(Policy):
    """The first nodes send the opposite, and more of it, which some say comes from many rows."""

    nodes: int = 2

    def does(self, asked, view, args, job):
        u, state = job(view, args)
        if view.id < self.nodes:
            u = replace(u, parts={k: -5.0 * v for k, v in u.parts.items()})
        return u, state


MODEL = fd.Model(torch.nn.Linear(64, 10))


def digits(root: int | None = 100) -> fd.FederatedDataset:
    return fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0, root=root)


def train(program, data=None, policy=Flips(), **options) -> fd.Run:
    return fd.train(program, MODEL, digits() if data is None else data, policy=policy, **options)


def test_half_of_the_nodes_may_lie() -> None:
    """Beyond what any rule withstands that has no root: 2 of 4 send the opposite, five times as long."""
    program = fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=20, lr=0.1), aggregate=FLTrust())
    run = train(program, evaluate_every=5)
    assert run.history[-1].accuracy > 0.85
    assert train(replace(program, aggregate=fd.Median()), evaluate_every=5).history[-1].accuracy < 0.5
    assert {s.node for s in run.suspects[:2]} == {0, 1}


def test_the_same_bits_wherever_it_runs_and_after_a_stop() -> None:
    program = fd.FedAvg(2, cohort=fd.Fixed(3), local=fd.LocalSGD(batch_size=50), aggregate=FLTrust())
    whole = train(program)
    assert train(program, runtime=fd.Simulation(workers=2)).sha256 == whole.sha256
    assert train(program, runtime=fd.Processes()).sha256 == whole.sha256
    half = train(program, stop=fd.AfterCommits(1))
    assert train(program, resume=half).sha256 == whole.sha256


def test_the_coordinators_own_work_costs_no_bytes_and_is_no_nodes_answer() -> None:
    program = fd.FedAvg(2, aggregate=FLTrust())
    run, alone = train(program), train(replace(program, aggregate=fd.Median()))
    assert run.ledger.bytes_up == alone.ledger.bytes_up
    assert run.ledger.bytes_down == alone.ledger.bytes_down
    assert [r.cohort for r in run.history] == [r.cohort for r in alone.history]
    assert all(sorted(r.suspects) == list(range(4)) for r in run.history[-2:])


def test_a_root_without_a_class_is_refused_by_name() -> None:
    x, y = torch.randn(60, 3), torch.arange(60) % 3
    whole = fd.data.arrays(x.numpy(), y.numpy(), classes=3)
    data = whole.split(fd.data.IID(), nodes=3, seed=0, root=6)
    data.root_index = data.root_index[data.y[data.root_index] != 2]
    program, model = fd.FedAvg(1, aggregate=FLTrust()), fd.Model(torch.nn.Linear(3, 3))
    with pytest.raises(fd.BadInput, match=r"no row of class 2: FLTrust would take") as e:
        fd.train(program, model, data)
    assert "\n" not in str(e.value)
    named = replace(data, class_names=("a", "b", "c d"))
    with pytest.raises(fd.BadInput, match=r"no row of class 'c d'"):
        fd.train(program, model, named)


def test_regression_has_no_classes_to_miss() -> None:
    data = fd.data.load("diabetes").split(fd.data.IID(), nodes=4, seed=0, root=40)
    model = fd.Model(torch.nn.Linear(10, 1), loss="mse")
    run = fd.train(fd.FedAvg(2, local=fd.LocalSGD(lr=0.01), aggregate=FLTrust()), model, data)
    assert run.history[-1].loss > 0


def test_without_root_rows_it_says_what_to_do() -> None:
    with pytest.raises(fd.FoedusError, match="root = 100 in the file's"):
        train(fd.FedAvg(1, aggregate=FLTrust()), digits(root=None))


def test_where_updates_are_joined_without_the_root_it_says_so() -> None:
    with pytest.raises(fd.BadInput, match=r"FLTrust\(\) measures updates by the coordinator's own"):
        FLTrust()(torch.ones(3, 2))
    with pytest.raises(fd.BadInput, match=r"FLTrust\(\) joins answers in an exchange of its own"):
        train(fd.FedBuff(1, buffer=2, aggregate=FLTrust()))
