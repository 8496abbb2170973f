"""Sybils: nodes that point the same way in the long run."""

import math

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.aggregators import FoolsGold
from foedus.aggregators.foolsgold import unlike
from foedus.core.types.aggregator import join
from foedus.core.types.update import Update
from foedus.testing import small


def by_the_paper(sums: np.ndarray, kappa: float = 1.0) -> np.ndarray:
    """Algorithm 1, loop by loop."""
    n = len(sums)
    cosine = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                cosine[i, j] = sums[i] @ sums[j] / np.linalg.norm(sums[i]) / np.linalg.norm(sums[j])
    most = cosine.max(1)
    pardoned = cosine.copy()
    for i in range(n):
        for j in range(n):
            if i != j and most[j] > most[i]:
                pardoned[i, j] *= most[i] / most[j]
    weight = (1 - pardoned.max(1)).clip(0, 1)
    weight /= weight.max()
    weight[weight == 1] = 0.99
    with np.errstate(divide="ignore"):
        return (kappa * (np.log(weight / (1 - weight)) + 0.5)).clip(0, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kappa", [0.2, 1.0, 3.0])
def test_weights_are_those_of_the_paper(seed: int, kappa: float) -> None:
    sums = np.random.default_rng(seed).normal(size=(7, 12))
    sums[5] = sums[4] + 0.3 * sums[5]
    ours = unlike(torch.from_numpy(sums @ sums.T), kappa)
    # Weights within 0.99 of the largest are 0.99 here, where the paper moves the largest alone.
    np.testing.assert_allclose(ours.numpy(), by_the_paper(sums, kappa), rtol=1e-9, atol=0.02 if kappa < 1 else 1e-9)


def rounds(rule: FoolsGold, stacks: list[torch.Tensor], nodes: list[list[int]]):
    state = rule.init({"delta": ((stacks[0].shape[1],), torch.float32)})
    for stack, who in zip(stacks, nodes, strict=True):
        parts, state, said = join(
            rule, [Update({"delta": u}, 1.0, node=n) for u, n in zip(stack, who, strict=True)], state
        )
    return parts["delta"], state, said


def test_it_remembers_whom_it_has_seen() -> None:
    """Sybils that vary from round to round, so that no two look alike in one, do in the sum of all."""
    g = torch.Generator().manual_seed(0)
    honest = torch.eye(6)[:3].repeat(1, 20)
    aim = torch.randn(120, generator=g)

    def one() -> torch.Tensor:
        noise = 2 * torch.randn(2, 120, generator=g)
        return torch.cat([honest, aim + noise])

    first = one()
    alone = rounds(FoolsGold(), [first], [list(range(5))])[2]
    later = rounds(FoolsGold(), [one() for _ in range(60)], [list(range(5))] * 60)[2]
    assert alone[3].left_out < 0.5
    assert later[3].left_out == later[4].left_out == 1.0
    assert max(later[n].left_out for n in range(3)) == 0.0


def test_sybils_that_take_turns_are_known_by_what_the_others_sent() -> None:
    a, b, aim = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 9.0])
    came, state, said = rounds(FoolsGold(), [torch.stack([a, b, aim])] * 2, [[0, 1, 8], [0, 1, 9]])
    assert said[9].left_out == 1.0
    torch.testing.assert_close(came, (a + b) / 2)
    assert sorted(state["numbers"]) == ["0", "1", "8", "9"]


def test_if_all_are_alike_the_answer_is_zero() -> None:
    assert FoolsGold()(torch.ones(4, 3)).tolist() == [0.0, 0.0, 0.0]
    assert FoolsGold()(torch.ones(1, 3)).tolist() == [1.0, 1.0, 1.0]
    assert FoolsGold()(torch.zeros(3, 2)).tolist() == [0.0, 0.0]  # what is 0 resembles nothing


def test_its_memory_is_not_changed_in_place() -> None:
    rule = FoolsGold()
    us = [Update({"delta": torch.eye(2)[n]}, 1.0, node=n) for n in range(2)]
    state = rule.init({"delta": ((2,), torch.float32)})
    _, first, _ = join(rule, us, state)
    before = {n: v.clone() for n, v in first["numbers"].items()}
    join(rule, us, first)
    assert all(torch.equal(first["numbers"][n], v) for n, v in before.items())
    assert state["numbers"] == {}


@pytest.mark.parametrize("confidence", [0.0, -1.0, math.inf])
def test_confidence_is_a_positive_number(confidence: float) -> None:
    with pytest.raises(fd.BadInput, match="confidence must be a positive number"):
        FoolsGold(confidence)


def test_a_stopped_run_goes_on_with_what_it_remembers() -> None:
    problem = small(5)
    program = fd.FedAvg(4, cohort=fd.Fixed(3), aggregate=FoolsGold())
    whole = fd.train(program, problem.model, problem.data)
    half = fd.train(program, problem.model, problem.data, stop=fd.AfterCommits(2))
    assert fd.train(program, problem.model, problem.data, resume=half).sha256 == whole.sha256
