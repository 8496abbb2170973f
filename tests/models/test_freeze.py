"""Networks of which only a part is trained: only that part travels, and the rest stands still."""

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.types.data import FederatedDataset
from foedus.models import freeze, mlp, warm_start


def backbone(seed=0):
    """A convolution and its batch norm, and a head: 6 x 1 x 3 x 3 + 6 + 12 parameters and 12 statistics, then 5 x 6."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stem = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        return nn.Sequential(stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def images(nodes=4, rows=48):
    g = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (rows, 1, 5, 5), dtype=torch.uint8, generator=g)
    y = torch.arange(rows) % 4
    return FederatedDataset(x, y, torch.arange(rows), torch.arange(nodes + 1) * (rows // nodes), classes=4)


def trains(module):
    return [name for name, p in module.named_parameters() if p.requires_grad]


def test_what_matches_is_frozen_in_the_module_that_was_given():
    module = mlp(4, 3, 3, 2)
    assert freeze(module, "0.*", "*.bias") is module
    assert trains(module) == ["2.weight", "4.weight"]
    assert trains(freeze(mlp(4, 3, 2), "?.weight")) == ["0.bias", "2.bias"]


def test_a_shared_parameter_goes_by_each_of_its_names():
    module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    module["b"].weight = module["a"].weight
    assert trains(freeze(module, "b.weight")) == ["a.bias", "b.bias"]


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        (
            ["0.wieght"],
            r"no parameter matches '0\.wieght' \(did you mean '0\.weight'\?\); there are: 0\.weight, 0\.bias, 2",
        ),
        (["0.weight", "2"], r"no parameter matches '2' \(did you mean '2\.\*'\?\)"),
        ([], "needs names of parameters"),
        ([3], r"needs names of parameters.*\[3\]"),
    ],
)
def test_what_matches_nothing_is_said_and_nothing_is_frozen(patterns, says):
    module = mlp(4, 3, 2)
    with pytest.raises(fd.BadInput, match=says) as e:
        freeze(module, *patterns)
    assert "\n" not in str(e.value)
    assert len(trains(module)) == 4
    with pytest.raises(fd.BadInput, match="got a Model: freeze before"):
        freeze(fd.Model(module), "0.*")


LOCAL = fd.LocalSGD(epochs=2, batch_size=5, lr=0.5)


@pytest.mark.parametrize("program", [fd.FedAvg(3, local=LOCAL), fd.SyncSGD(3, lr=0.5)], ids=["fedavg", "sync"])
def test_only_what_trains_travels_and_the_rest_does_not_change(program):
    module = freeze(backbone(), "0.*")
    run = fd.train(program, fd.Model(module), images())
    assert run.vector.shape == (4 * 6 + 4,)
    assert run.ledger.bytes_up == run.ledger.bytes_down == 3 * 4 * 4 * (4 * 6 + 4)
    after = run.model().state_dict()
    before = module.state_dict()
    assert [n for n in before if not torch.equal(before[n], after[n])] == ["3.weight", "3.bias"]


def test_a_batch_norm_with_one_trained_parameter_learns_its_statistics():
    module = freeze(backbone(), "0.0.*", "0.1.bias")
    run = fd.train(fd.FedAvg(3, local=LOCAL), fd.Model(module), images())
    assert run.ledger.bytes_up == 3 * 4 * 4 * (6 + 4 * 6 + 4 + 12)
    after = run.model().state_dict()
    assert not torch.equal(after["0.1.running_mean"], module.state_dict()["0.1.running_mean"])


def test_a_frozen_part_is_the_same_function_in_training():
    # Dropout included: what goes into the head is what it is in evaluation.
    x = images().x[:8] / 255
    model = fd.Model(freeze(backbone(), "0.*"))
    model.training()
    assert model.module[0](x).equal(backbone().eval()[0](x))
    assert model.module.training
    assert not model.module[0][3].training


def test_workers_and_resumption_do_not_change_a_bit():
    from foedus.testing import check_program

    check_program(fd.FedAvg(2, fd.Fixed(3), LOCAL), fd.Model(freeze(backbone(), "0.*")), images(), synchronous=True)


def test_lazy_layers_without_a_shape_are_refused_in_one_line():
    network = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 2))
    for use in (lambda: freeze(network, "0.*"), lambda: warm_start(network, {"0.weight": torch.zeros(2, 2)})):
        with pytest.raises(fd.BadInput, match=r"^0\.weight has no shape yet.*call module\(x\)"):
            use()
