"""Float buffers travel and are averaged; integer buffers stay; server optimisers move parameters only."""

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.data import Natural, arrays
from foedus.optimizers import SGD, Adam


class _BatchNorm:
    """Two nodes, two and six rows; the network is one batch norm and a linear layer."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(8, 3, generator=generator) * 2 + 1
        self.data = arrays(x, torch.arange(8) % 2, node=[0, 0, 1, 1, 1, 1, 1, 1]).split(Natural())
        torch.manual_seed(0)
        self.model = fd.Model(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)))

    def train(self, program) -> fd.Run:
        return fd.train(program, self.model, self.data)


LOCAL = fd.LocalSGD(epochs=1, batch_size=None, lr=0.1)


def _statistics(problem: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """What one training pass of each node makes of the running mean and variance, and their mean by rows."""
    means, variances = [], []
    for k in (0, 1):
        x, _ = problem.data.rows(k).batch()
        means.append(0.1 * x.mean(0))
        variances.append(0.9 + 0.1 * x.var(0))
    weighted = [(2 * a + 6 * b) / 8 for a, b in (means, variances)]
    return weighted[0], weighted[1]


@pytest.mark.parametrize(
    "program",
    [
        fd.FedAvg(1, local=LOCAL),
        fd.FedAvg(1, local=LOCAL, server=Adam()),
        fd.FedAvg(1, local=LOCAL, server=SGD(0.5, 0.9)),
        fd.SyncSGD(1),
        fd.FedAvg(1, local=LOCAL, transforms=(fd.Clip(1e-6),)),
        fd.FedAvg(1, local=LOCAL, transforms=(fd.ErrorFeedback(fd.TopK(0.01)),)),
    ],
    ids=["fedavg", "adam", "momentum", "sync", "clip", "top-k"],
)
def test_float_buffers_are_averaged_whatever_moves_the_parameters(program) -> None:
    problem = _BatchNorm()
    run = problem.train(program)
    module = run.model()[0]
    mean, variance = _statistics(problem)
    torch.testing.assert_close(module.running_mean, mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(module.running_var, variance, rtol=0, atol=1e-6)
    assert torch.equal(run.vector[-6:], torch.cat([module.running_mean, module.running_var]))
    assert not torch.equal(run.vector[:-6], problem.model.initial[:-6])


def test_integer_buffers_stay() -> None:
    problem = _BatchNorm()
    run = problem.train(fd.FedAvg(3, local=LOCAL))
    assert int(run.model()[0].num_batches_tracked) == 0
    assert run.vector.numel() == 3 + 3 + 6 + 2 + 6
    assert run.ledger.bytes_up == 3 * 2 * 4 * 20


def test_server_adam_keeps_moments_of_parameters_only() -> None:
    problem = _BatchNorm()
    moments = problem.train(fd.FedAvg(2, local=LOCAL, server=Adam())).checkpoint.tree["state"].server
    assert len(moments["m"]) == len(moments["v"]) == problem.model.layout.parameters


def test_a_network_without_buffers_sends_none() -> None:
    data = _BatchNorm().data
    model = fd.Model(nn.Linear(3, 2))
    run = fd.train(fd.FedAvg(2, local=LOCAL), model, data)
    assert run.ledger.bytes_up == 2 * 2 * 4 * 8
