"""QSGD, TernGrad, sign and casts: closed forms, by enumeration of all outcomes and by sampling."""

import math
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.core.types.transform import Transform, shapes_of
from foedus.data import arrays
from foedus.transforms import QSGD, Cast, ErrorFeedback, Sign, Ternary
from foedus.transforms.packing import pack_bits
from foedus.transforms.rounding import round_at_random, round_by

# Reference, section 5: norm 13.
V = torch.tensor([3.0, -4.0, 0.0, 12.0])

VECTORS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30)


@dataclass(frozen=True)
class _Chosen(fd.Key):
    """A key whose uniform numbers are all this one, so that outcomes can be enumerated."""

    u: float = 0.0

    def child(self, *names):
        return self

    def numpy(self):
        return self

    def random(self, n, dtype):
        return np.full(n, self.u, dtype=dtype)


def _through(transform: Transform, v: torch.Tensor, key: fd.Key = fd.Key(0), **fields) -> torch.Tensor:
    parts = {"delta": v}
    sent, _ = transform.encode(fd.Update(parts, fields.pop("weight", 1.0), **fields), {}, key)
    return transform.decode(sent, shapes_of(parts))["delta"]


def _moments(transform: Transform, v: torch.Tensor, outcomes: int) -> tuple[list[float], float]:
    """Mean and variance over equally likely outcomes, where every probability is a multiple of 1 / outcomes."""
    came = torch.stack([_through(transform, v, _Chosen(0, u=(i + 0.5) / outcomes)) for i in range(outcomes)]).double()
    return came.mean(0).tolist(), float((came - v.double()).square().mean(0).sum())


# -- QSGD ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "variance"), [(1, 78.0), (2, 26.0), (13, 0.0), (26, 0.0)])
def test_qsgd_by_enumeration(levels: int, variance: float) -> None:
    mean, came = _moments(QSGD(levels), V, 13)
    assert mean == pytest.approx(V.tolist(), abs=1e-5)
    assert came == pytest.approx(variance, abs=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("bucket", [None, 2, 3])
def test_qsgd_by_sampling(levels: int, bucket: int | None) -> None:
    """The closed form: in every bucket (norm / levels)^2 times the sum of p (1 - p)."""
    draws, expected = 1500, 0.0
    width = bucket or len(V)
    for at in range(0, len(V), width):
        v = V[at : at + width].double()
        p = (v.abs() / v.norm() * levels) % 1 if v.any() else v
        expected += float((v.norm() / levels) ** 2 * (p * (1 - p)).sum())
    came = torch.stack([_through(QSGD(levels, bucket), V, fd.Key(i)) for i in range(draws)]).double()
    deviations = (came - V).square().sum(1)
    assert (came.mean(0) - V).abs().max() <= 5 * came.std(0).max() / math.sqrt(draws) + 1e-5
    assert abs(float(deviations.mean()) - expected) <= 5 * float(deviations.std()) / math.sqrt(draws) + 1e-5


@settings(deadline=None)
@given(VECTORS, st.integers(1, 40), st.sampled_from([None, 1, 4, 7]), st.integers(0, 2**31))
def test_qsgd_lands_on_one_of_the_two_levels_around(v: list[float], levels: int, bucket: int | None, seed: int) -> None:
    u = torch.tensor(v)
    came = _through(QSGD(levels, bucket), u, fd.Key(seed)).double()
    width = bucket or len(v)
    for at in range(0, len(v), width):
        norm = u[at : at + width].double().norm().float().double()
        steps = came[at : at + width] / max(float(norm), 1e-300) * levels
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        assert ((came[at : at + width] - u[at : at + width]).abs() <= norm / levels * (1 + 1e-5)).all()
    assert (came * u >= 0).all()


def test_qsgd_is_as_far_off_as_the_paper_allows() -> None:
    """Lemma 3.1: the variance is at most min(d / s^2, sqrt(d) / s) times the squared norm; at s = 1 nearly reached."""
    d = 10_000
    v = torch.randn(d, generator=torch.Generator().manual_seed(0))
    for levels, bucket in ((1, None), (4, None), (100, None), (4, 512)):
        off = float((_through(QSGD(levels, bucket), v) - v).square().sum() / v.square().sum())
        width = bucket or d
        bound = min(width / levels**2, math.sqrt(width) / levels)
        assert bound / 8 < off < bound * 1.02


def test_rounding_at_random() -> None:
    x = torch.tensor([0.0, 0.25, 1.0, 2.999, 3.0])
    assert round_by(x, torch.full((5,), 1 - 2.0**-24)).tolist() == [0, 0, 1, 2, 3]
    assert round_by(x, torch.zeros(5)).tolist() == [0, 1, 1, 3, 3]
    many = round_at_random(torch.full((100_000,), 0.3), fd.Key(0))
    assert abs(float(many.mean()) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 100_000)


@pytest.mark.parametrize(("fields", "says"), [({"levels": 0}, "1..32767"), ({"levels": 2**15}, "1..32767"),
                                              ({"bucket": 0}, "at least one")])  # fmt: skip
def test_qsgd_refuses(fields: dict[str, int], says: str) -> None:
    with pytest.raises(fd.BadInput, match=says):
        QSGD(**fields)


def test_zeros_are_coded_as_zeros() -> None:
    """Zero over zero is nothing that a byte can hold: what it becomes would depend on the machine."""
    zeros = fd.Update({"delta": torch.zeros(5)}, 1.0)
    assert QSGD(2).encode(zeros, {}, fd.Key(0))[0]["delta"].tolist() == pack_bits(torch.full((5,), 2), 3).tolist()
    assert Ternary().encode(zeros, {}, fd.Key(0))[0]["delta"].tolist() == [1 + 3 + 9 + 27 + 81]


# -- TernGrad ------------------------------------------------------------------------------------------------------


def test_ternary_by_enumeration() -> None:
    mean, variance = _moments(Ternary(), V, 12)
    assert mean == pytest.approx(V.tolist(), abs=1e-5)
    assert variance == pytest.approx(sum(abs(x) * (12 - abs(x)) for x in V.tolist()), abs=1e-4)


@settings(deadline=None)
@given(VECTORS, st.integers(0, 2**31))
def test_ternary_sends_three_values(v: list[float], seed: int) -> None:
    u = torch.tensor(v)
    came, largest = _through(Ternary(), u, fd.Key(seed)), float(u.abs().max())
    assert set(came.abs().tolist()) <= {0.0, largest}
    assert (came * u >= 0).all()
    assert (came[u.abs() == largest].abs() == largest).all()


# -- sign ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(VECTORS)
def test_sign_keeps_its_share(v: list[float]) -> None:
    """||v - C(v)||^2 = ||v||^2 - ||v||_1^2 / d, and no component along the signs is lost."""
    u = torch.tensor(v)
    came = _through(Sign(), u)
    one, two = float(u.double().abs().sum()), float(u.double().square().sum())
    assert came.tolist() == pytest.approx([math.copysign(one / len(v), 1 if x >= 0 else -1) for x in v])
    lost = float((u.double() - came.double()).square().sum())
    assert lost == pytest.approx(two - one**2 / len(v), rel=1e-4, abs=1e-5 * two + 1e-30)


def _narrow(epsilon: float) -> tuple[fd.Model, fd.data.FederatedDataset]:
    """f(x) = (epsilon |x1 + x2| + |x1 - x2|) / 2 from (1.5, 0.5): two rows of one node, the output's size as loss."""
    module = torch.nn.Linear(2, 1, bias=False)
    module.weight.data = torch.tensor([[1.5, 0.5]])
    x = torch.tensor([[epsilon, epsilon], [1.0, -1.0]])
    model = fd.Model(module, lambda output, _: output.abs().flatten())
    return model, arrays(x, torch.zeros(2, 1), node=[0, 0]).split(fd.data.Natural())


def test_signs_alone_do_not_converge_and_with_error_feedback_they_do() -> None:
    """Karimireddy et al. 2019, counterexample 2: every sign is +-(1, -1), so x1 + x2 stays where it was."""

    def run(*transforms: Transform) -> fd.Run:
        model, data = _narrow(epsilon=0.5)
        return fd.train(fd.SyncSGD(600, lr=0.031, transforms=transforms), model, data, evaluate_every=600)

    alone, fed_back, plain = run(Sign()), run(ErrorFeedback(Sign())), run()
    assert float(alone.vector.sum()) == pytest.approx(2.0, abs=1e-3)
    assert alone.history[-1].loss > 0.49
    assert fed_back.history[-1].loss < 0.05
    assert plain.history[-1].loss < 0.05


def test_signs_of_a_skewed_gradient_climb() -> None:
    """Counterexample 1: f(x) = x / 4 on [-1, 1], whose gradient is 4 with probability 1/4 and else -1."""

    def walk(transform: Transform) -> float:
        x, state = torch.zeros(1), {}
        random = np.random.default_rng(0)
        for t in range(3000):
            g = torch.tensor([4.0 if random.random() < 0.25 else -1.0])
            # EF-signSGD feeds the error of the scaled step back; with the scale gone, only the sign is applied.
            sent, state = transform.encode(fd.Update({"delta": g}, 1.0), state, fd.Key(t))
            step = transform.decode(sent, {"delta": ((1,), torch.float32)})["delta"]
            if not isinstance(transform, ErrorFeedback):
                step = step.sign()
            x = (x - 0.01 * step).clamp(-1, 1)
        return float(x)

    assert walk(Sign()) > 0.8
    assert walk(ErrorFeedback(Sign())) < -0.8


# -- casts ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_casts_round_to_nearest_and_saturate(v: list[float]) -> None:
    for name, dtype, digits in (("float16", torch.float16, 11), ("bfloat16", torch.bfloat16, 8)):
        largest, smallest = torch.finfo(dtype).max, torch.finfo(dtype).smallest_normal
        came = _through(Cast(name), torch.tensor(v))
        assert came.isfinite().all()
        for x, y in zip(v, came.tolist(), strict=True):
            target = min(max(x, -largest), largest)
            assert abs(y - target) <= 2.0**-digits * max(abs(target), smallest)


def test_a_sum_over_many_rows_saturates_no_sooner_than_its_mean() -> None:
    v = torch.tensor([60_000.0 * 1024, -3.0 * 1024])
    assert _through(Cast(), v, weight=1024.0, summed=True).tolist() == v.tolist()
    assert _through(Cast(), v).tolist() == [65_504.0, -3072.0]
    assert _through(Cast(), v, weight=0.0, summed=True).tolist() == [65_504.0, -3072.0]


def test_what_a_cast_cut_off_is_sent_later() -> None:
    transform, state, total = ErrorFeedback(Cast()), {}, 0.0
    for t in range(4):
        u = fd.Update({"delta": torch.tensor([200_000.0 if t == 0 else 0.0])}, 1.0)
        sent, state = transform.encode(u, state, fd.Key(t))
        total += float(transform.decode(sent, shapes_of(u.parts))["delta"])
    assert total == 200_000.0


def test_a_cast_refuses_other_types() -> None:
    with pytest.raises(fd.BadInput, match="'float16' or 'bfloat16'"):
        Cast("float8")
