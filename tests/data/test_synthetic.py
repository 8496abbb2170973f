"""Synthetic(alpha, beta): the recipe's own statistics."""

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data import Natural, load
from foedus.data.synthetic import classifier_of, synthetic

KEY = Key(0).child("synthetic")


def test_shapes_and_nodes():
    data = load("synthetic", nodes=12)
    assert (data.x.shape[1], data.classes, data.name) == (60, 10, "synthetic(1, 1)")
    fed = data.split(Natural(), holdout=0.2)
    assert fed.nodes == 12
    assert fed.tested_on == "held out"
    assert all(h == round(0.2 * (n + h)) for n, h in zip(fed.sizes, fed.holdout_sizes, strict=True))


def test_sizes_are_50_and_a_lognormal():
    sizes = np.array(synthetic(nodes=400, iid=True).split(Natural()).sizes)
    assert sizes.min() >= 50
    logs = np.log(sizes[sizes > 60] - 50 + 0.5)  # int() blurs the small ones
    above = (sizes > 50 + np.exp(4)).mean()
    assert above == pytest.approx(0.5, abs=5 * 0.5 / 20)
    assert (sizes > 50 + np.exp(6)).mean() == pytest.approx(0.159, abs=5 * 0.366 / 20)  # one deviation up
    assert logs.max() > 8


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0])
def test_classifiers_spread_with_alpha(alpha):
    drawn = [classifier_of(KEY, k, alpha, iid=False) for k in range(400)]
    means = np.array([w.mean() for w, _ in drawn])
    # The mean of 600 numbers from N(u_k, 1), u_k from N(0, alpha): variance alpha + 1/600.
    assert means.var() == pytest.approx(alpha + 1 / 600, rel=5 * (2 / 400) ** 0.5)
    assert np.mean([w.std() for w, _ in drawn]) == pytest.approx(1, abs=0.01)
    # Both W_k and b_k have the same u_k.
    assert np.var([w.mean() - b.mean() for w, b in drawn]) == pytest.approx(1 / 600 + 1 / 10, rel=0.36)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_inputs_spread_with_beta(beta):
    fed = synthetic(0.0, beta, nodes=300).split(Natural())
    means = torch.stack([fed.rows(k).batch()[0].double().mean(0) for k in range(300)])  # v_k, nearly
    # v_k = B_k + 1 * noise: the mean of a node's 60 features has variance beta + 1/60 (and a little of its rows).
    assert float(means.mean(1).var()) == pytest.approx(beta + 1 / 60, rel=5 * (2 / 300) ** 0.5)
    assert float(means.var(1).mean()) == pytest.approx(1, abs=0.05)


def test_features_vary_less_and_less():
    fed = synthetic(nodes=40).split(Natural())
    k = max(range(40), key=lambda k: fed.sizes[k])
    x = fed.rows(k).batch()[0].double()
    expected = torch.arange(1, 61).double() ** -1.2
    assert ((x.var(0) / expected - 1).abs() < 5 * (2 / len(x)) ** 0.5).all()


def test_labels_are_those_of_the_nodes_own_classifier():
    fed = synthetic(0.5, 0.5, nodes=4, seed=3).split(Natural())
    for k in range(4):
        x, y = fed.rows(k).batch()
        w, b = classifier_of(Key(3).child("synthetic"), k, 0.5, iid=False)
        assert (np.argmax(x.double().numpy() @ w.T + b, 1) == y.numpy()).mean() > 0.999  # but for float32
    other, _ = classifier_of(Key(3).child("synthetic"), 1, 0.5, iid=False)
    x, y = fed.rows(0).batch()
    assert (np.argmax(x.double().numpy() @ other.T, 1) == y.numpy()).mean() < 0.7


def test_iid_has_one_classifier_and_no_shift():
    fed = synthetic(iid=True, nodes=50).split(Natural())
    w, b = classifier_of(KEY, 0, 1.0, iid=True)
    for k in range(50):
        x, y = fed.rows(k).batch()
        assert (np.argmax(x.double().numpy() @ w.T + b, 1) == y.numpy()).mean() > 0.99
        assert float(x.double().mean()) == pytest.approx(0, abs=5 * (60 * len(x)) ** -0.5)
    assert torch.equal(synthetic(3.0, 2.0, iid=True, nodes=5).x, synthetic(iid=True, nodes=5).x)


def test_the_seed_decides_and_more_nodes_change_no_other():
    one, two, other = (synthetic(nodes=3, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.y, two.y)
    assert not torch.equal(one.x[:50], other.x[:50])
    assert torch.equal(synthetic(nodes=4).x[: len(one)], one.x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, r"synthetic: alpha must be a variance, a number from 0 up; got -1\.0"),
        ({"beta": float("nan")}, "synthetic: beta must be a variance"),
        ({"nodes": 0}, "synthetic: nodes must be a positive integer, got 0"),
        ({"seed": 0.5}, r"synthetic: the seed must be an integer, got 0\.5"),
        ({"iid": 1}, "synthetic: iid must be True or False, got 1"),
        ({"test": 3.0}, "test must be"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(BadInput, match=message):
        load("synthetic", **options)
