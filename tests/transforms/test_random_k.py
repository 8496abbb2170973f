"""Random-k: its places come from the seed alone, its moments are those of the closed form."""

import itertools
import math
from collections import Counter

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.core.types.transform import shapes_of
from foedus.transforms import ErrorFeedback, RandomK


def _through(transform: RandomK, v: torch.Tensor, key: fd.Key) -> torch.Tensor:
    sent, _ = transform.encode(fd.Update({"delta": v}, 1.0), {}, key)
    return transform.decode(sent, shapes_of({"delta": v}))["delta"]


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30), st.floats(0.01, 1.0), st.integers(0, 2**31))
def test_k_numbers_arrive_in_their_places(v: list[float], fraction: float, seed: int) -> None:
    u = torch.tensor(v)
    transform = RandomK(fraction, unbiased=False)
    came = _through(transform, u, fd.Key(seed))
    kept = came != 0
    assert int(kept.sum()) <= transform.kept(len(v))
    assert torch.equal(came[kept], u[kept])
    scaled = _through(RandomK(fraction), u, fd.Key(seed))
    torch.testing.assert_close(scaled, came * (len(v) / transform.kept(len(v))))


def test_every_set_of_places_is_equally_likely() -> None:
    """Two of five: ten sets, each a tenth of the draws; with them every moment is known, see the next test."""
    draws = 4000
    v = torch.arange(1.0, 6.0)
    seen = Counter(tuple(_through(RandomK(0.4), v, fd.Key(i)).nonzero().flatten().tolist()) for i in range(draws))
    assert set(seen) == set(itertools.combinations(range(5), 2))
    for count in seen.values():
        assert abs(count - draws / 10) < 5 * math.sqrt(draws * 0.1 * 0.9)


def test_moments_by_enumeration_of_the_places(monkeypatch) -> None:
    """Over all sets of places: unbiased with variance (d/k - 1) ||v||^2; not scaled, exactly 1 - k/d is lost."""
    v = torch.tensor([3.0, -4.0, 0.0, 12.0, 1.0])
    came, cut = [], []
    for places in itertools.combinations(range(5), 2):
        monkeypatch.setattr(RandomK, "_places", lambda self, seed, d, p=places: torch.tensor(p))
        came.append(_through(RandomK(0.4), v, fd.Key(0)))
        cut.append(_through(RandomK(0.4, unbiased=False), v, fd.Key(0)))
    square = float(v.square().sum())
    assert torch.stack(came).mean(0).tolist() == pytest.approx(v.tolist(), abs=1e-6)
    assert float((torch.stack(came) - v).square().sum(1).mean()) == pytest.approx((5 / 2 - 1) * square)
    assert float((torch.stack(cut) - v).square().sum(1).mean()) == pytest.approx((1 - 2 / 5) * square)


def test_only_values_and_a_seed_travel() -> None:
    v = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    sent, _ = RandomK(0.05).encode(fd.Update({"delta": v}, 1.0), {}, fd.Key(3))
    assert {k: (tuple(t.shape), t.dtype) for k, t in sent.parts.items()} == {
        "delta": ((50,), torch.float32),
        "delta@seed": ((1,), torch.int64),
    }
    # Anybody who has these two knows the places; what was sent to be scaled is scaled on arrival.
    assert set(sent["delta"].tolist()) <= set(v.tolist())
    assert float(sent["delta"].norm()) <= float(v.norm())


def test_two_rounds_have_other_places() -> None:
    v = torch.ones(100)
    first, second = (_through(RandomK(0.1), v, fd.Key(0).child(t)) for t in range(2))
    assert not torch.equal(first, second)


def test_error_feedback_does_not_scale_it_up() -> None:
    v = torch.randn(100, generator=torch.Generator().manual_seed(0))
    for t in range(3):
        scaled, plain = (
            ErrorFeedback(RandomK(0.1, unbiased=unbiased)).encode(fd.Update({"delta": v}, 1.0), {}, fd.Key(t))[1]
            for unbiased in (True, False)
        )
        torch.testing.assert_close(scaled["residual:delta"], plain["residual:delta"], rtol=1e-5, atol=1e-6)
    # Why: scaled up, the residual grows without end.
    residual = torch.ones(10)
    for t in range(30):
        residual = residual + 1 - _through(RandomK(0.1), residual + 1, fd.Key(t))
    assert float(residual.norm()) > 1e6


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, math.nan])
def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(fd.BadInput, match="fraction"):
        RandomK(fraction)
