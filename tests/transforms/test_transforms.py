"""Clip, top-k and error feedback: their laws, bounds and edge cases."""

import math
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.core.types.transform import Identity, nbytes, shapes_of, wire_chain
from foedus.testing import check_transform

KEY = fd.Key(0)


def _vectors(least: int = 1) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-1e3, 1e3, width=32), min_size=least, max_size=30)


def _through(transform, parts: dict[str, torch.Tensor], **fields) -> fd.Update:
    u = fd.Update(parts, fields.pop("weight", 1.0), {}, 0, **fields)
    sent, _ = transform.encode(u, {}, KEY)
    return transform.decode(sent, shapes_of(parts))


@pytest.mark.parametrize("transform", [fd.Clip(0.1), fd.Clip(1e6), fd.TopK(0.1), fd.TopK(1.0), Identity()], ids=str)
def test_transforms_keep_their_laws(transform) -> None:
    if type(transform) is Identity:  # the neutral element has no fields, and so no repr that travels
        transform = dataclass(frozen=True)(type("Neutral", (Identity,), {}))()
    check_transform(transform)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 1.0])
def test_error_feedback_keeps_its_laws(fraction: float) -> None:
    check_transform(fd.ErrorFeedback(fd.TopK(fraction)), conserves=True)


# -- clip --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(_vectors(), st.floats(1e-3, 1e4))
def test_clip_bounds_the_norm_and_keeps_the_direction(v: list[float], bound: float) -> None:
    u = torch.tensor(v)
    came = _through(fd.Clip(bound), {"delta": u})["delta"]
    norm = float(u.double().norm())
    if norm <= bound:
        assert torch.equal(came, u)
    else:
        assert float(came.double().norm()) <= bound * (1 + 1e-6)
        torch.testing.assert_close(came.double(), u.double() * (bound / norm), rtol=1e-6, atol=1e-30)


def _norm64(v: torch.Tensor) -> float:
    return math.sqrt(math.fsum(float(x) ** 2 for x in v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_clip_is_a_bound_however_numbers_round(dtype: torch.dtype) -> None:
    """Equal numbers all round the same way: where that is up, plain scaling ends above the bound."""
    above = 0
    for d in range(1, 200, 5):
        for bound in (1.0, 0.1, 3e-3):
            u = torch.full((d,), 5.0 / d).to(dtype)
            plain = u * (bound / _norm64(u))
            above += _norm64(u) > bound and _norm64(plain) > bound
            came = _through(fd.Clip(bound), {"delta": u})["delta"]
            assert _norm64(came) <= bound
            if _norm64(u) > bound:
                assert _norm64(came) > 0.9 * bound
    assert above > 20


@settings(deadline=None)
@given(_vectors(), st.floats(1e-3, 1e4))
def test_no_clipped_vector_is_longer_than_the_bound(v: list[float], bound: float) -> None:
    assert _norm64(_through(fd.Clip(bound), {"delta": torch.tensor(v)})["delta"]) <= bound * (1 + 1e-15)


def test_clip_at_the_bound_and_at_zero() -> None:
    at = torch.tensor([3.0, 4.0])
    assert torch.equal(_through(fd.Clip(5.0), {"delta": at})["delta"], at)
    assert torch.equal(_through(fd.Clip(2.5), {"delta": at})["delta"], at / 2)
    assert torch.equal(_through(fd.Clip(1.0), {"delta": torch.zeros(3)})["delta"], torch.zeros(3))


def test_clip_takes_all_parts_together_and_no_buffers() -> None:
    parts = {"delta": torch.tensor([3.0]), "control": torch.tensor([[4.0]]), "buffers": torch.tensor([1e9])}
    came = _through(fd.Clip(1.0), parts)
    assert came["delta"].tolist() == pytest.approx([0.6])
    assert came["control"].tolist() == [pytest.approx([0.8])]
    assert came["buffers"].tolist() == [1e9]


def test_clip_bounds_the_value_of_a_sum() -> None:
    """A gradient summed over ten rows: what counts is the mean that the node alone would have answered."""
    parts = {"gradient": torch.tensor([30.0, 40.0])}
    for bound, expected in ((5.0, [30.0, 40.0]), (1.0, [6.0, 8.0])):
        came = _through(fd.Clip(bound), parts, weight=10.0, summed=True)
        assert came.summed
        assert came["gradient"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan, math.inf])
def test_clip_refuses_a_bound_that_is_none(norm: float) -> None:
    with pytest.raises(fd.BadInput, match="positive"):
        fd.Clip(norm)


# -- top-k -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(_vectors(), st.floats(0.01, 1.0))
def test_top_k_loses_at_most_its_share(v: list[float], fraction: float) -> None:
    u = torch.tensor(v)
    d, k = len(v), fd.TopK(fraction).kept(len(v))
    came = _through(fd.TopK(fraction), {"delta": u})["delta"]
    lost = float((u - came).double().square().sum())
    assert lost <= (1 - k / d) * float(u.double().square().sum()) * (1 + 1e-12)
    kept = came.nonzero().flatten()
    assert len(kept) <= k
    assert torch.equal(came[kept], u[kept])
    if len(kept) < d:
        rest = torch.ones(d, dtype=torch.bool)
        rest[kept] = False
        assert not len(kept) or u[rest].abs().max() <= came[kept].abs().min()


def test_top_k_on_the_wire() -> None:
    shapes = {"delta": ((100,), torch.float32), "buffers": ((7,), torch.float32)}
    wire = wire_chain((fd.TopK(0.1),), shapes)[-1]
    assert nbytes(wire) == 10 * (4 + 4) + 7 * 4
    assert [fd.TopK(p).kept(100) for p in (0.001, 0.01, 0.011, 1.0)] == [1, 1, 2, 100]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, math.nan])
def test_top_k_refuses_a_share_that_is_none(fraction: float) -> None:
    with pytest.raises(fd.BadInput, match="fraction"):
        fd.TopK(fraction)


# -- error feedback ----------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 25), st.floats(0.02, 1.0), st.integers(0, 2**31))
def test_what_was_sent_and_what_is_owed_is_what_was_wanted(steps: int, d: int, fraction: float, seed: int) -> None:
    """On integers float32 adds exactly, and so the law is exact."""
    transform = fd.ErrorFeedback(fd.TopK(fraction))
    random = np.random.default_rng(seed)
    state: dict[str, torch.Tensor] = {}
    wanted, sent = torch.zeros(d), torch.zeros(d)
    for t in range(steps):
        u = torch.from_numpy(random.integers(-1000, 1000, d).astype(np.float32))
        encoded, state = transform.encode(fd.Update({"delta": u}, 1.0), state, KEY.child(t))
        wanted += u
        sent += transform.decode(encoded, shapes_of({"delta": u}))["delta"]
        assert torch.equal(sent + state["residual:delta"], wanted)


def test_error_feedback_sends_everything_in_the_end() -> None:
    transform = fd.ErrorFeedback(fd.TopK(0.25))
    state: dict[str, torch.Tensor] = {}
    total = torch.zeros(4)
    for t in range(5):
        u = torch.tensor([8.0, 4.0, 2.0, 1.0]) if t == 0 else torch.zeros(4)
        encoded, state = transform.encode(fd.Update({"delta": u}, 1.0), state, KEY)
        total += transform.decode(encoded, shapes_of({"delta": u}))["delta"]
    assert total.tolist() == [8.0, 4.0, 2.0, 1.0]


@dataclass(frozen=True)
class _Halves(Identity):
    """Has a coordinator's half and a node state of its own: halves the aggregate, counts at the node."""

    def encode(self, u, state, key):
        return u, {"n": state.get("n", torch.zeros(())) + 1}

    def contraction(self, shapes):
        return fd.Contraction(1.0)

    def init(self, shapes):
        return {"rounds": 0}

    def finish(self, total, state, key):
        return {k: v / 2 for k, v in total.items()}, {"rounds": state["rounds"] + 1}


def test_error_feedback_hands_on_the_state_of_what_it_wraps() -> None:
    transform = fd.ErrorFeedback(_Halves())
    _, state = transform.encode(fd.Update({"delta": torch.ones(2)}, 1.0), {}, KEY)
    _, state = transform.encode(fd.Update({"delta": torch.ones(2)}, 1.0), state, KEY)
    assert float(state["inner:n"]) == 2


def test_error_feedback_hands_on_the_coordinators_half() -> None:
    transform = fd.ErrorFeedback(_Halves())
    memory = transform.init({"delta": ((2,), torch.float32)})
    total, memory = transform.finish({"delta": torch.ones(2)}, memory, KEY)
    assert total["delta"].tolist() == [0.5, 0.5]


def test_residuals_are_of_the_nodes_whose_answer_was_accepted() -> None:
    """Dropped answers leave the residual as it was: it is durable at the commit, and only for those that counted."""
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    program = fd.FedAvg(2, fd.Fixed(2), fd.LocalSGD(batch_size=None), transforms=(fd.ErrorFeedback(fd.TopK(0.01)),))
    run = fd.train(program, fd.Model(fd.models.logistic(64, 10)), data)
    states = run.checkpoint.tree["node_states"]
    counts = dict(zip(*run.checkpoint.tree["counts"], strict=True))
    assert set(states) == set(counts)
    name = f"0:LocalSGD:{program.transforms[0]!r}"
    assert all(set(s) == {name} and set(s[name]) == {"residual:delta"} for s in states.values())
