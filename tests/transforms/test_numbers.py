"""What transforms and aggregators say of bounds and noise: enough for an account, and true."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.aggregators import MajorityVote, Mean, Median, Sum
from foedus.core.types.aggregator import ALIKE, REPORTED, Denominator, fold
from foedus.core.types.release import Release, release
from foedus.core.types.transform import (
    Identity,
    Mechanism,
    Sensitivity,
    decode_all,
    encode_all,
    prepare,
    shapes_of,
    steps_of,
    wire_chain,
)
from foedus.testing import check_transform
from foedus.transforms import (
    QSGD,
    Cast,
    Chain,
    Clip,
    Difference,
    ErrorFeedback,
    Gaussian,
    PowerSGD,
    RandomK,
    Sign,
    Ternary,
    TopK,
)

ONE = Sensitivity("l2", 1.0)
ALIKE_MEAN = Mean(weighted=False)


@pytest.mark.parametrize(
    ("transforms", "bound"),
    [
        ((), None),
        ((Clip(1.0),), 1.0),
        ((Clip(2.0), Clip(3.0)), 2.0),
        ((Clip(3.0), Clip(2.0)), 2.0),
        ((Identity(), Clip(1.0), Identity()), 1.0),
        ((Clip(1.0), TopK(0.1)), 1.0),
        ((Clip(1.0), RandomK(0.25, unbiased=False)), 1.0),
        ((Clip(1.0), RandomK(0.25)), 4.0),  # scaled up by d/k where it is decoded
        ((Chain((Clip(1.0), RandomK(0.25))),), 4.0),
        ((RandomK(0.25), Clip(1.0)), 4.0),  # clipped is what travels
        ((Clip(1.0), Cast()), None),
        ((Clip(1.0), QSGD(4)), None),
        ((Clip(1.0), Ternary()), None),
        ((Clip(1.0), Sign()), None),
        ((Clip(1.0), PowerSGD(1)), None),
        ((Clip(1.0), ErrorFeedback(TopK(0.1))), None),
        ((ErrorFeedback(Clip(1.0)),), 1.0),
        ((Difference(Clip(1.0)),), None),
        ((Clip(1.0), Gaussian(1.0)), None),
        ((Clip(1.0), Gaussian(1.0), Clip(0.5)), 0.5),
    ],
    ids=str,
)
def test_the_bound_of_what_is_folded(transforms, bound) -> None:
    folded = release(transforms, ALIKE_MEAN).folded
    assert folded == (None if bound is None else Sensitivity("l2", bound))


@pytest.mark.parametrize(
    "transforms",
    [
        (Clip(1.0),),
        (Clip(1.0), TopK(0.3)),
        (Clip(1.0), RandomK(0.25)),
        (RandomK(0.25), Clip(1.0)),
        (Chain((Clip(1.0), RandomK(0.3))), TopK(0.5)),
        (ErrorFeedback(Clip(1.0)),),
        (ErrorFeedback(Chain((TopK(0.2), Clip(1.0)))),),
    ],
    ids=str,
)
def test_what_is_folded_is_no_longer_than_its_bound(transforms) -> None:
    said = release(transforms, ALIKE_MEAN).folded
    assert said is not None
    states: list = [{} for _ in transforms]
    memories: list = [{} for _ in transforms]
    longest = 0.0
    for t in range(60):
        v = torch.randn(23, generator=fd.Key(t).torch()) * 10.0 ** (t % 5 - 2)
        u = fd.Update({"delta": v, "buffers": torch.full((2,), 1e6)}, 3.0)
        chain = wire_chain(transforms, shapes_of(u.parts))
        u, states = encode_all(transforms, u, states, fd.Key(t))
        u, memories = decode_all(transforms, u, chain, memories)
        longest = max(longest, float(u["delta"].norm()))
        assert float(u["buffers"].norm()) > 1e6  # which the bound says nothing of
    assert "buffers" in said.excludes
    assert 0.5 * said.bound < longest <= said.bound * (1 + 1e-6)


def test_noise_says_what_it_is_added_to() -> None:
    assert release((Clip(2.0), Gaussian(3.0))).mechanisms == (
        Mechanism("gaussian", 3.0, "node", Sensitivity("l2", 2.0)),
    )
    assert release((Clip(2.0), Gaussian(3.0))).mechanisms[0].multiplier == 1.5
    assert release((Gaussian(3.0),)).mechanisms[0].multiplier is None
    inside = release((Chain((Clip(2.0), Gaussian(3.0))), TopK(0.1))).mechanisms
    assert inside == release((Clip(2.0), Gaussian(3.0))).mechanisms
    # A message that is scaled up when it is decoded is noisy before: the multiplier is that of what travels.
    assert release((Clip(2.0), RandomK(0.1), Gaussian(3.0))).mechanisms[0].multiplier == 1.5
    # A reference is taken off before what is inside sees it: nothing bounds the change but what is inside.
    assert release((Clip(2.0), Difference(Gaussian(3.0)))).mechanisms[0].sensitivity is None
    assert release((Difference(Chain((Clip(2.0), Gaussian(3.0)))),)).mechanisms[0].multiplier == 1.5


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_the_noise_is_what_it_says(weight) -> None:
    """The standard deviation of 2 x 20,000 numbers is known to 0.5 % (one standard error); four are allowed."""
    for std in (0.5, 4.0):
        total, _ = fold(ALIKE_MEAN, [_noised(std, weight, node) for node in range(4)])
        said = release((Clip(1.0), Gaussian(std)), Sum(weighted=False)).noise_of_sum(answers=4)
        assert said is not None
        assert said.std == 2 * std
        assert float(total["delta"].std()) * 4 == pytest.approx(said.std, rel=4 * 0.005)


def _noised(std: float, weight: float, node: int) -> fd.Update:
    u = fd.Update({"delta": torch.zeros(20_000)}, weight, node=node, summed=True)
    return encode_all((Clip(1.0), Gaussian(std)), u, [{}, {}], fd.Key(node))[0]


def test_the_sum_of_all_nodes_noise() -> None:
    dp = (Clip(2.0), Gaussian(3.0))
    assert release(dp, ALIKE_MEAN).noise_of_sum(4) == Mechanism("gaussian", 6.0, "sum", Sensitivity("l2", 2.0))
    assert release((*dp, Identity()), ALIKE_MEAN).noise_of_sum(4) is not None
    unknown = {
        "weights as nodes say": (dp, Mean()),
        "no sum": (dp, Median()),
        "a vote": (dp, MajorityVote()),
        "no noise": ((Clip(2.0),), ALIKE_MEAN),
        "some of it is dropped": ((*dp, TopK(0.1)), ALIKE_MEAN),
        "it is rounded": ((*dp, Cast()), ALIKE_MEAN),
        "some numbers get it": ((Clip(2.0), RandomK(0.1, unbiased=False), Gaussian(3.0)), ALIKE_MEAN),
        "it is fed back": ((*dp, ErrorFeedback(TopK(0.1))), ALIKE_MEAN),
    }
    for why, (transforms, aggregator) in unknown.items():
        assert release(transforms, aggregator).noise_of_sum(4) is None, why
    unbounded = release((Gaussian(3.0),), ALIKE_MEAN).noise_of_sum(4)
    assert unbounded is not None
    assert unbounded.multiplier is None


@dataclass(frozen=True)
class _OnSum(Identity):
    std: float

    def mechanisms(self, given):
        return (Mechanism("gaussian", self.std, "sum"),)


@dataclass(frozen=True)
class _Fixed(Mean):
    """Caps weights at 5 and divides by 40, whoever answers."""

    denominator = Denominator("fixed", 40.0)
    weight_range = (0.0, 5.0)


def test_noise_on_the_sum() -> None:
    """It has to hide what one node moves the sum by, whatever stands behind it in the chain."""
    (central,) = release((Clip(2.0), _OnSum(30.0)), _Fixed()).mechanisms
    assert central == Mechanism("gaussian", 30.0, "sum", Sensitivity("l2", 10.0))
    assert central.multiplier == 3.0
    assert release((_OnSum(30.0), Clip(2.0)), _Fixed()).mechanisms == (central,)
    assert release((Clip(2.0), _OnSum(30.0), RandomK(0.5)), _Fixed()).mechanisms[0].sensitivity == Sensitivity("l2", 20)
    for aggregator in (Mean(), Median(), None):
        assert release((Clip(2.0), _OnSum(30.0)), aggregator).mechanisms[0].sensitivity is None


def test_a_change_that_says_nothing_of_a_bound_voids_it() -> None:
    @dataclass(frozen=True)
    class Doubles(Identity):
        def encode(self, u, state, key):
            return u.with_parts({k: 2 * v for k, v in u.parts.items()}), state

    assert release((Clip(1.0), Doubles()), ALIKE_MEAN).folded is None
    with pytest.raises(fd.BadInput, match=r"Doubles.*longer than Clip"):
        prepare((Clip(1.0), Doubles(), Gaussian(1.0)), None)  # type: ignore[arg-type]


def test_what_aggregators_divide_by() -> None:
    def said(r: Release) -> tuple:
        return (r.denominator and r.denominator.kind, r.weight_range)

    assert said(release((), Mean())) == ("weights", REPORTED)
    assert said(release((), ALIKE_MEAN)) == ("count", ALIKE)
    assert said(release((), Sum())) == ("one", REPORTED)
    assert said(release((), Sum(weighted=False))) == ("one", ALIKE)
    assert said(release((), Median()))[0] is None
    assert said(release((), MajorityVote()))[0] is None
    for wrong in ({"kind": "fixed"}, {"kind": "count", "value": 2.0}):
        with pytest.raises(fd.BadInput, match="if it is fixed"):
            Denominator(**wrong)


@pytest.mark.parametrize("aggregator", [Mean(), ALIKE_MEAN, Sum(), Sum(weighted=False)], ids=str)
def test_aggregators_do_as_they_say(aggregator) -> None:
    """The aggregate times its denominator is the sum of values times weights in the range."""
    updates = [fd.Update({"delta": torch.tensor([float(2**k)])}, float(w)) for k, w in enumerate((1, 4, 3))]
    total, _ = fold(aggregator, updates)
    divided = {"weights": 8.0, "count": 3.0, "one": 1.0}[aggregator.denominator.kind]
    counted = [u.weight if aggregator.weight_range == REPORTED else 1.0 for u in updates]
    assert float(total["delta"]) * divided == pytest.approx(
        sum(w * float(u["delta"]) for w, u in zip(counted, updates, strict=True)), rel=1e-6
    )


def test_steps_are_those_of_chains() -> None:
    inner = Chain((Clip(1.0), Chain((TopK(0.1), Cast()))))
    assert steps_of((inner, Identity)[:1]) == [Clip(1.0), TopK(0.1), Cast()]
    assert math.isclose(Chain((RandomK(0.5), RandomK(0.25))).gain, 8.0)


@dataclass(frozen=True)
class _Claims(Identity):
    """Says that it bounds by 1, and multiplies: on the way, or where it is decoded."""

    sent: float = 1.0
    decoded: float = 1.0

    def sensitivity(self, given):
        return given

    def encode(self, u, state, key):
        return u.with_parts({k: v if k == "buffers" else v * self.sent for k, v in u.parts.items()}), state

    def decode(self, u, shapes):
        return u.with_parts({k: v if k == "buffers" else v * self.decoded for k, v in u.parts.items()})


def test_who_claims_a_bound_is_checked() -> None:
    check_transform(_Claims())
    check_transform(_Claims(0.5))
    with pytest.raises(AssertionError, match="bounded as it says"):
        check_transform(_Claims(1.01))
    with pytest.raises(AssertionError, match="no more than its gain"):
        check_transform(_Claims(1.0, 1.01))
    for honest in (Clip(0.5), TopK(0.1), RandomK(0.25), RandomK(0.25, unbiased=False), ErrorFeedback(Clip(0.5))):
        check_transform(honest)
