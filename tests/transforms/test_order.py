"""Orders in which one transform undoes what another promises are refused, and only those."""

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Transform, check_order
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

CLIP, NOISE = Clip(1.0), Gaussian(0.1)

REFUSED = {
    # A bound that no longer holds where the noise relies on it.
    "feedback between": ((CLIP, ErrorFeedback(Cast()), NOISE), "longer than Clip"),
    "difference between": ((CLIP, Difference(Cast()), NOISE), "longer than Clip"),
    "rounding between": ((CLIP, Cast(), NOISE), "longer than Clip"),
    "far between": ((CLIP, RandomK(0.5), Cast(), NOISE), "longer than Clip"),
    "in a chain": ((Chain((CLIP, Cast())), NOISE), "longer than Clip"),
    "in two chains": ((Chain((CLIP,)), Chain((Cast(), NOISE))), "longer than Clip"),
    # Noise that does not reach what tells of the data.
    "places without noise": ((CLIP, TopK(0.1), NOISE), "noise does not reach"),
    "bits without noise": ((CLIP, QSGD(4), NOISE), "noise does not reach"),
    "signs without noise": ((Sign(), NOISE), "noise does not reach"),
    "trits without noise": ((Ternary(), NOISE), "noise does not reach"),
    "factors without noise": ((PowerSGD(2), NOISE), "noise does not reach"),
    "feedback of places": ((ErrorFeedback(TopK(0.1)), CLIP, NOISE), "noise does not reach"),
    # The norm of a code.
    "clipped bits": ((QSGD(4), CLIP), "not that of the update"),
    "clipped factors": ((PowerSGD(2), CLIP), "not that of the update"),
    # Memory of coordinates that are others every time.
    "feedback after places": ((TopK(0.1), ErrorFeedback(QSGD(4))), "another coordinate"),
    "difference after random places": ((RandomK(0.1), Difference(QSGD(4))), "another coordinate"),
    "matrices after places": ((TopK(0.1), PowerSGD(2)), "another coordinate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_orders_that_are_surely_wrong(name: str) -> None:
    transforms, why = REFUSED[name]
    with pytest.raises(fd.BadInput, match=why) as refused:
        check_order(transforms)
    said = str(refused.value)
    steps = [step for t in transforms for step in t.steps]
    assert sum(repr(t) in said.split(": ")[0] for t in steps) >= 2  # both are named
    works = eval(said.rpartition("works: ")[2], vars(fd.transforms))  # and the order that works does
    assert sorted(map(repr, works)) == sorted(map(repr, steps))
    check_order(works)


@pytest.mark.parametrize(
    "transforms",
    [
        (),
        (CLIP, NOISE),
        (CLIP, NOISE, ErrorFeedback(TopK(0.1))),
        (CLIP, NOISE, Difference(QSGD(4))),
        (CLIP, NOISE, TopK(0.1), QSGD(4)),
        (CLIP, NOISE, Cast(), CLIP, NOISE),
        (CLIP, RandomK(0.1), NOISE),  # what travels is no longer than the update, at places that say nothing
        (RandomK(0.1), CLIP, NOISE),
        (ErrorFeedback(Cast()), CLIP, NOISE),
        (CLIP, ErrorFeedback(TopK(0.1))),
        (ErrorFeedback(CLIP), NOISE),
        (TopK(0.1), CLIP),
        (CLIP, Chain((NOISE, TopK(0.1)))),
        (Cast(), ErrorFeedback(TopK(0.1))),
        (PowerSGD(2), QSGD(4, bucket=64), Cast()),
    ],
    ids=str,
)
def test_orders_that_may_be_meant(transforms: tuple[Transform, ...]) -> None:
    check_order(transforms)


def test_error_feedback_takes_noise_back() -> None:
    for inner in (NOISE, Chain((CLIP, NOISE)), Chain((CLIP, NOISE, TopK(0.1)))):
        with pytest.raises(fd.BadInput, match="take the noise back"):
            ErrorFeedback(inner)


def test_why_feedback_may_not_stand_between() -> None:
    """Through a clip of 1, one round's residual is added to the next, and ten times the bound leaves the node."""
    clip, feedback = CLIP, ErrorFeedback(RandomK(0.05, unbiased=False))
    state: dict[str, torch.Tensor] = {}
    longest = 0.0
    for t in range(200):
        u, _ = clip.encode(fd.Update({"delta": torch.full((20,), 10.0)}, 1.0), {}, fd.Key(t))
        u, state = feedback.encode(u, state, fd.Key(t))
        longest = max(longest, float(u["delta"].norm()))
    assert longest > 10


@dataclass(frozen=True)
class _Streams:
    transforms: tuple[Transform, ...]

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        async with fed.stream(fd.Gradient(), transforms=self.transforms, commits=2) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for _ in updates:
                await fed.commit(s)
        return s.w


@dataclass(frozen=True)
class _Maps(_Streams):
    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        await fed.map(fd.Gradient(), {"w": s.w}, range(fed.nodes), transforms=self.transforms)
        await fed.commit(s)
        return s.w


PROGRAMS = {
    "map_reduce": lambda t: fd.FedAvg(1, transforms=t),
    "map": _Maps,
    "stream": _Streams,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_checked(program: str, tmp_path) -> None:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=3, seed=0)
    model = fd.Model(fd.models.logistic(64, 10))
    out = tmp_path / "run"
    with pytest.raises(fd.BadInput, match="cannot come before"):
        fd.train(PROGRAMS[program]((CLIP, ErrorFeedback(TopK(0.1)), NOISE)), model, data, out=out)
    assert not out.exists()
    fd.train(PROGRAMS[program]((CLIP, NOISE, ErrorFeedback(TopK(0.1)))), model, data)
    fd.train(PROGRAMS[program]((Difference(PowerSGD(1)),)), model, data)


@pytest.mark.parametrize("wrong", [TopK, "top_k", 0.1, object()], ids=["class", "text", "number", "object"])
def test_what_is_no_transform_is_said_so(wrong) -> None:
    with pytest.raises(fd.BadInput, match="is no transform"):
        check_order((wrong,))
    with pytest.raises(fd.BadInput, match="is no transform"):
        Chain((wrong,))
