"""FeatureSkew: from a random sample to disjoint bands."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import IID, Dataset, FeatureSkew, Natural, arrays, feature_noise


def cloud(rows=600, scale=(1.0, 1.0, 1.0)):
    """Rows along the direction (1, 1, -1) of standardised space, with a little noise, and their places on it."""
    rng = np.random.default_rng(0)
    place = rng.permutation(rows) / rows
    x = place[:, None] * [1.0, 1.0, -1.0] + rng.normal(size=(rows, 3)) * 1e-4
    return arrays((x * scale).astype("f"), rng.normal(size=rows)), place


def ranges(fed, place):
    return [(place[i].min(), place[i].max()) for i in (fed.rows(k).index.numpy() for k in range(fed.nodes))]


@pytest.mark.parametrize("scale", [(1, 1, 1), (1000, 0.001, 1)])
def test_full_strength_gives_disjoint_bands_in_whatever_units(scale):
    data, place = cloud(scale=scale)
    fed = data.split(FeatureSkew(1.0), 6)
    assert fed.sizes == [100] * 6
    bands = sorted(ranges(fed, place))
    for (_, high), (low, _) in pairwise(bands):
        assert high < low + 0.01  # the noise may swap neighbours


def test_a_feature_in_large_units_is_one_among_others():
    data, place = cloud()
    noise = torch.randn(600, 1, generator=torch.Generator().manual_seed(0)) * 1e4
    fed = arrays(torch.cat([data.x, noise], 1), data.y).split(FeatureSkew(1.0), 6)
    assert between(fed, place) > 0.9


def test_which_node_has_which_band_is_drawn():
    data, place = cloud()
    orders = {tuple(np.argsort(ranges(data.split(FeatureSkew(1.0), 6, seed=s), place), axis=0)[:, 0]) for s in range(5)}
    assert len(orders) == 5


def between(fed, place):
    """The share of the places' variance that is between nodes."""
    means = [place[fed.rows(k).index.numpy()].mean() for k in range(fed.nodes)]
    return np.var(means) / place.var()


def test_strength_is_the_part_of_rows_that_go_by_it():
    data, place = cloud()
    shares = [between(data.split(FeatureSkew(s), 6), place) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert shares == sorted(shares)
    # A node's mean lies s of the way from the whole's to its band's: the variance goes with s squared. The bands of
    # six hold 1 - 1/36 of all; a random sample of 100 has 1/100 (about) by luck.
    assert shares == pytest.approx([(1 - 1 / 36) * s * s for s in (0.0, 0.25, 0.5, 0.75, 1.0)], abs=0.03)


def test_strength_0_is_a_random_sample_of_the_size_of_iid():
    data, place = cloud(603)
    fed = data.split(FeatureSkew(0.0), 6)
    assert sorted(fed.sizes) == sorted(data.split(IID(), 6).sizes)
    means = [place[fed.rows(k).index.numpy()].mean() for k in range(6)]
    assert np.abs(np.array(means) - 0.5).max() < 5 * np.sqrt(1 / 12 / 100)
    assert between(fed, place) > 0  # drawn, not dealt


def test_more_features_than_rows_find_the_same_direction():
    data, place = cloud(60)
    wide = arrays(data.x.repeat(1, 50), data.y)
    bands = sorted(ranges(wide.split(FeatureSkew(1.0), 4), place))
    assert all(high < low for (_, high), (low, _) in pairwise(bands))


def test_features_that_never_vary_are_left_out():
    data, _ = cloud(60)
    padded = arrays(torch.cat([data.x, torch.full((60, 2), 3.0)], 1), data.y)
    assert torch.equal(padded.split(FeatureSkew(), 4).index, data.split(FeatureSkew(), 4).index)
    flat = arrays(torch.ones(60, 2), torch.zeros(60))
    fed = flat.split(FeatureSkew(1.0), 4)  # nothing to go by at all
    assert fed.sizes == [15] * 4
    assert fed.rows(0).index.tolist() != list(range(15))


def test_images_read_when_asked_for_are_divided_as_those_in_memory():
    class Asked:
        def __init__(self, x):
            self.x = x

        def __len__(self):
            return len(self.x)

        def gather(self, index):
            return self.x[index]

    x = (torch.rand(2500, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    y = torch.zeros(2500)
    held, asked = (Dataset(v, y).split(FeatureSkew(), 5) for v in (x, Asked(x)))
    assert torch.equal(held.index, asked.index)


def test_tokens_have_no_direction():
    data = Dataset(torch.arange(12).view(6, 2), torch.zeros(6))
    with pytest.raises(BadInput, match=r"those of 'arrays' are tokens: use IID\(\)"):
        data.split(FeatureSkew(), 2)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), True, "1"])
def test_bad_strength(strength):
    with pytest.raises(BadInput, match=f"FeatureSkew: strength must be a number from 0 to 1, got {strength!r}"):
        FeatureSkew(strength)


# -- the variant that changes rows -------------------------------------------------------------------------------


def test_noise_grows_from_node_to_node():
    data = arrays(torch.zeros(4000, 5), torch.zeros(4000), test=(torch.zeros(3, 5), torch.zeros(3)))
    noisy = feature_noise(data, level=0.8, nodes=4)
    fed = noisy.split(Natural())
    assert fed.sizes == [1000] * 4
    variances = [float(fed.rows(k).batch()[0].var()) for k in range(4)]
    assert variances == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=5 * (2 / 5000) ** 0.5)
    assert torch.equal(noisy.test_x, data.test_x)
    assert torch.equal(feature_noise(data, 0.8, 4).x, noisy.x)
    assert not torch.equal(feature_noise(data, 0.8, 4, seed=1).x, noisy.x)


def test_no_noise_is_iid():
    data, _ = cloud()
    clean = feature_noise(data, 0.0, 5, seed=3)
    assert torch.equal(clean.x, data.x)
    assert torch.equal(clean.split(Natural()).index, data.split(IID(), 5, seed=3).index)


@pytest.mark.parametrize(
    ("level", "dtype", "message"),
    [
        (-1, torch.float32, "level must be a variance, a number from 0 up; got -1"),
        (True, torch.float32, "got True"),
        (0.1, torch.uint8, r"adds to float32 numbers in memory, and x of 'arrays' is torch\.uint8"),
    ],
)
def test_bad_noise(level, dtype, message):
    with pytest.raises(BadInput, match=message):
        feature_noise(Dataset(torch.zeros(4, 2, dtype=dtype), torch.zeros(4)), level, 2)
