"""IFCA finds planted clusters, and sends what it says."""

import pytest
import torch

import foedus as fd
from foedus.programs import IFCA
from foedus.programs.ifca import ByCluster
from foedus.testing import check_aggregator

LOCAL = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)


def _planted(kinds: int, nodes: int, seed: int = 0) -> tuple[fd.Model, fd.data.FederatedDataset, list[torch.Tensor]]:
    """Linear regressions without noise; node k is of kind k % kinds."""
    generator = torch.Generator().manual_seed(seed)
    truth = [3.0 * torch.nn.functional.one_hot(torch.tensor(k), 4).float() for k in range(kinds)]
    x = torch.randn(nodes * 20, 4, generator=generator)
    node = [k for k in range(nodes) for _ in range(20)]
    y = torch.stack([x[i] @ truth[n % kinds] for i, n in enumerate(node)])[:, None]
    module = torch.nn.Linear(4, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    return fd.Model(module, "mse"), fd.data.arrays(x, y, node=node).split(fd.data.Natural()), truth


@pytest.mark.parametrize("kinds", [2, 3])
def test_planted_clusters_are_recovered(kinds: int) -> None:
    model, data, truth = _planted(kinds, nodes=12)
    run = fd.train(IFCA(40, fd.Fixed(8), LOCAL, clusters=kinds, spread=1.0), model, data, evaluate_nodes=40, seed=1)
    models = run.checkpoint.tree["state"].models
    nearest = [int(torch.stack([(m - w).norm() for m in models]).argmin()) for w in truth]
    assert sorted(nearest) == list(range(kinds))
    for w, k in zip(truth, nearest, strict=True):
        torch.testing.assert_close(models[k], w, rtol=0, atol=0.01)
    assert max(run.node_metrics["rmse"]) < 0.05
    plain = fd.train(fd.FedAvg(40, fd.Fixed(8), LOCAL), model, data, evaluate_nodes=40)
    assert min(plain.node_metrics["rmse"]) > 1.0


def test_the_history_tells_of_the_models_that_nodes_choose() -> None:
    model, data, _ = _planted(2, nodes=4)
    run = fd.train(IFCA(3, local=LOCAL, clusters=2, spread=1.0), model, data)
    assert all(r.rmse is not None and r.loss is not None for r in run.history)
    # Every node has as many rows, so that the mean over rows is the mean over nodes.
    assert run.history[-1].loss == pytest.approx(run.history[-1].metrics["node_mean_loss"])
    assert run.vector.tolist() in run.checkpoint.tree["state"].models.tolist()


def test_it_sends_all_models_down_and_one_up() -> None:
    model, data, _ = _planted(2, nodes=4)
    run = fd.train(IFCA(3, local=LOCAL, clusters=5), model, data)
    assert run.ledger.bytes_down == 3 * 4 * 5 * 16
    assert run.ledger.bytes_up == 3 * 4 * 16
    job = IFCA(1, local=LOCAL, clusters=5).job(0)
    assert job.work(20) == fd.Work(trained=100, evaluated=100)


def test_models_start_apart_and_from_the_seed() -> None:
    model, data, _ = _planted(2, nodes=4)
    still = fd.LocalSGD(lr=0.0)
    a, b, c = (
        fd.train(IFCA(1, local=still, clusters=3, spread=0.5), model, data, seed=s).checkpoint.tree["state"].models
        for s in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(a[0], model.initial)
    assert len({tuple(m.tolist()) for m in a}) == 3


def test_nobody_who_chooses_a_model_leaves_it_as_it_was() -> None:
    model, data, _ = _planted(1, nodes=4)
    first = fd.train(IFCA(1, local=fd.LocalSGD(lr=0.0), clusters=2, spread=5.0), model, data)
    run = fd.train(IFCA(4, local=LOCAL, clusters=2, spread=5.0), model, data)
    before, after = (r.checkpoint.tree["state"].models for r in (first, run))
    assert [torch.equal(x, y) for x, y in zip(before, after, strict=True)].count(True) == 1


class _Choosing(ByCluster):
    """Updates without a choice all choose model 0."""

    def add(self, acc, u):
        return super().add(acc, fd.Update(u.parts, u.weight, {"cluster": 0.0}, u.node, summed=u.summed))

    def read(self, acc, state):
        parts, state = super().read(acc, state)
        return {k.removeprefix("0."): v for k, v in parts.items() if not k.endswith("weight")}, state

    def __call__(self, u_KD, weights_K=None):
        return self.inner(u_KD, weights_K)


@pytest.mark.parametrize("inner", [fd.Mean(), fd.Median()])
def test_its_fold_keeps_the_laws_of_aggregators(inner) -> None:
    check_aggregator(_Choosing(inner), exact=isinstance(inner, fd.Median))
