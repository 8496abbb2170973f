"""A cohort leaves how it drew: the rate it claims is the rate at which nodes are drawn."""

import math
import pickle
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.sampling import Available, BySize, Drawn, Fixed, Fraction, OverSelect, Poisson, Population, Selection

NODES = 12
ALL = Population(range(NODES), lambda: [1 + i for i in range(NODES)], lambda: range(3, NODES))


@pytest.mark.parametrize(
    ("cohort", "drawn"),
    [
        (Fixed(3), Drawn("fixed size", NODES, 0.25)),
        (Fixed(NODES), Drawn("fixed size", NODES, 1.0)),
        (Fraction(0.3), Drawn("fixed size", NODES, 4 / 12)),  # 0.3 of 12 is 3.6: the rate is that of the four
        (Fraction(0.01), Drawn("fixed size", NODES, 1 / 12)),
        (Poisson(0.2), Drawn("poisson", NODES, 0.2)),
        (Poisson(1e-9), Drawn("poisson", NODES, 1e-9)),  # an empty cohort was drawn, too
        (OverSelect(3, 2.0), Drawn("fixed size", NODES, 0.5)),
        (BySize(3), Drawn("size", NODES)),
        (Available(Fixed(3)), Drawn("availability", NODES)),
        (Available(Poisson(0.2)), Drawn("availability", NODES)),
        (Available(BySize(3)), Drawn("availability", NODES)),
    ],
    ids=str,
)
def test_how_it_was_drawn(cohort, drawn) -> None:
    picked = ALL.pick(cohort, fd.Key(0))
    assert isinstance(picked, Selection)
    assert picked.drawn == drawn
    assert picked == tuple(picked)  # still a tuple of ids
    again = pickle.loads(pickle.dumps(picked))
    assert (again, again.first, again.drawn) == (picked, picked.first, picked.drawn)


@pytest.mark.parametrize("cohort", [Fixed(3), Fraction(0.3), Poisson(0.2), OverSelect(3, 2.0)], ids=str)
def test_the_rate_is_that_of_every_node(cohort) -> None:
    draws, counts = 3000, [0] * NODES
    rate = None
    for i in range(draws):
        picked = ALL.pick(cohort, fd.Key(i))
        rate = picked.drawn.rate
        for n in picked:
            counts[n] += 1
    assert rate is not None
    for c in counts:  # four standard errors; 48 comparisons fail once in 300 suites, and the keys are fixed
        assert c == pytest.approx(rate * draws, abs=4 * math.sqrt(draws * rate * (1 - rate)))


def test_nobody_claims_what_is_not_so() -> None:
    for cohort in (BySize(3), Available(Fixed(3))):
        drawn = ALL.pick(cohort, fd.Key(0)).drawn
        assert drawn.rate is None
        assert not drawn.replacement


def test_a_cohort_of_the_users_own_says_nothing() -> None:
    @dataclass(frozen=True)
    class Even:
        def draw(self, nodes: int, key: fd.Key) -> tuple[int, ...]:
            return tuple(range(0, nodes, 2))

    assert getattr(ALL.pick(Even(), fd.Key(0)), "drawn", None) is None
    assert ALL.pick(Available(Even()), fd.Key(0)).drawn == Drawn("availability", NODES)
    assert Selection([1, 2]).drawn is None
    assert Selection([1, 2]).first == 2


@dataclass(frozen=True)
class _Looks:
    cohort: Fixed
    seen: list

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        self.seen.append(await fed.sample(self.cohort))
        await fed.commit(s)
        return s.w


def test_a_program_is_given_it() -> None:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    seen: list = []
    fd.train(_Looks(Fixed(2), seen), fd.Model(fd.models.logistic(64, 10)), data)
    assert [s.drawn for s in seen] == [Drawn("fixed size", 4, 0.5)]
