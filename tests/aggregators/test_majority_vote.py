"""The majority of the signs: counted exactly, one vote a node, and it learns."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.aggregators import MajorityVote
from foedus.core.types.aggregator import fold
from foedus.testing import check_aggregator
from foedus.transforms import Sign

VOTE = MajorityVote()


def test_it_keeps_its_laws() -> None:
    check_aggregator(VOTE, idempotent=False)
    check_aggregator(VOTE, idempotent=False, updates=40, seed=1)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**31))
def test_votes_are_counted(k: int, d: int, seed: int) -> None:
    u = np.random.default_rng(seed).integers(-2, 3, (k, d)).astype(np.float32)
    expected = np.sign(np.sign(u).sum(0))
    assert VOTE(torch.from_numpy(u)).tolist() == expected.tolist()
    assert VOTE(torch.from_numpy(u), list(range(1, k + 1))).tolist() == expected.tolist()  # a weight buys no vote


def test_fewer_than_half_cannot_turn_the_others() -> None:
    honest = torch.tensor([[0.1, -0.2]]).repeat(4, 1)
    liars = torch.tensor([[-1e30, 1e30]]).repeat(3, 1)
    assert VOTE(torch.cat([honest, liars])).tolist() == [1.0, -1.0]
    assert VOTE(torch.cat([honest, liars, liars[:1]])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_what_is_not_finite_has_no_vote(poison: float) -> None:
    assert VOTE(torch.tensor([[1.0, 1.0], [-1.0, poison], [-1.0, poison]])).tolist() == [1.0, 1.0]


def test_buffers_are_averaged() -> None:
    us = [fd.Update({"delta": torch.tensor([v]), "buffers": torch.tensor([v])}, 1.0) for v in (1.0, 2.0, -6.0)]
    total, _ = fold(VOTE, us)
    assert total["delta"].tolist() == [1.0]
    assert total["buffers"].tolist() == [-1.0]


def test_one_bit_a_vote_learns_the_digits() -> None:
    """signSGD with majority vote, with the bytes up of a thirtieth."""
    data = fd.data.load("digits").split(fd.data.IID(), nodes=5, seed=0)
    model = fd.Model(fd.models.logistic(64, 10))
    p = model.layout.parameters
    program = fd.SyncSGD(60, lr=0.02, aggregate=VOTE, transforms=(Sign(),))
    run = fd.train(program, model, data, evaluate_every=60)
    assert run.history[-1].accuracy > 0.9
    assert run.ledger.bytes_up == 60 * 5 * (math.ceil(p / 8) + 4)
    # The scale of the signs makes no difference to the vote.
    plain = fd.train(fd.SyncSGD(60, lr=0.02, aggregate=VOTE), model, data, evaluate_every=60)
    assert plain.history[-1].accuracy == pytest.approx(run.history[-1].accuracy, abs=0.03)
