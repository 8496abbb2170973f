"""Several runs in one process, in threads or one inside another, with the same model: each ends with its own bits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import foedus as fd

PROGRAM = fd.FedAvg(rounds=3, local=fd.LocalSGD(epochs=2, batch_size=4, lr=0.1))


@pytest.fixture(scope="module")
def model():
    """Dropout draws from torch's default generator, and batch norm keeps numbers in the module."""
    torch.manual_seed(0)
    layers = [nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1)]
    return fd.Model(nn.Sequential(*layers), "mse")


@pytest.fixture(scope="module")
def data():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(120, 2, generator=g)
    return fd.data.arrays(x, x.sum(1)).split(fd.data.IID(), nodes=4)


def train(model, data, seed, **options):
    return fd.train(PROGRAM, model, data, seed=seed, **options)


@pytest.fixture(scope="module")
def alone(model, data):
    return [train(model, data, seed) for seed in range(3)]


def test_runs_in_threads_end_with_the_bits_that_they_have_alone(model, data, alone):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    begin = threading.Barrier(3)

    def go(seed):
        begin.wait()
        run = train(model, data, seed)
        return run, [run.model(which) for which in ("last", "best") for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(go, range(3)))
    for (run, modules), expected in zip(ended, alone, strict=True):
        assert run.sha256 == expected.sha256
        assert [r.loss for r in run.history] == [r.loss for r in expected.history]
        want = expected.model().state_dict()
        assert all(torch.equal(v, want[k]) for k, v in modules[0].state_dict().items())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_progress_callback_may_train(model, data, alone):
    inner = []

    def again(record):
        inner.append(train(model, data, 1).sha256)

    assert train(model, data, 0, progress=again).sha256 == alone[0].sha256
    assert inner == [alone[1].sha256] * 3


def test_a_callback_that_uses_the_model_does_not_disturb_the_run(model, data, alone):
    def meddle(record):
        model.load(torch.zeros(model.layout.size))
        model.module.train()
        model.module(torch.randn(5, 2))

    assert train(model, data, 0, progress=meddle).sha256 == alone[0].sha256
    assert train(model, data, 0).sha256 == alone[0].sha256


def test_a_module_that_was_changed_since_it_was_wrapped_is_refused(data):
    changed = fd.Model(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "mse")
    changed.module[0].requires_grad_(False)
    with pytest.raises(
        fd.BadInput, match=r"changed after it was wrapped.*0\.weight.*now they are 1\.weight.*Wrap it anew"
    ):
        train(changed, data, 0)


@pytest.mark.parametrize("estimator", [fd.FederatedClassifier, fd.FederatedRegressor], ids=lambda e: e.__name__)
def test_estimators_may_be_given_one_network_in_several_threads(estimator):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(60, 2, generator=g).numpy()
    y = (x[:, 0] > 0).astype(int) if estimator is fd.FederatedClassifier else x[:, 0]
    network = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2 if y.dtype == int else 1))

    def fit(seed):
        return estimator(network=network, rounds=3, nodes=3, random_state=seed).fit(x, y).run_.sha256

    alone = [fit(seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fit, range(2))) == alone
