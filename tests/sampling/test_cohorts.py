"""Cohorts that look: by size, among those that are on, and over-selection."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.time.cost import Link, Spell
from foedus.data import Natural, arrays
from foedus.network import CostModel, DayNight, Device, Links, OnOff
from foedus.sampling import Available, BySize, OverSelect, Population, Selection, TooFew
from foedus.testing import half_squares

FREE = Links(0.0, math.inf, math.inf)


def crowd(sizes, on=None) -> Population:
    return Population(range(len(sizes)), lambda: sizes, lambda: range(len(sizes)) if on is None else on)


def chi_square(counts, expected) -> float:
    return sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))


def inclusion(sizes, k) -> list[float]:
    """Who is taken how likely: in proportion to rows; who has more than one share is certain."""
    certain: set[int] = set()
    while True:
        rest = sum(s for i, s in enumerate(sizes) if i not in certain)
        more = {i for i, s in enumerate(sizes) if i not in certain and s * (k - len(certain)) >= rest}
        if not more or len(certain) == k:
            return [1.0 if i in certain else s * (k - len(certain)) / rest for i, s in enumerate(sizes)]
        certain |= more


@pytest.mark.parametrize(
    ("sizes", "k"),
    [([1, 2, 3, 4], 1), ([5, 1, 7, 3, 2, 4], 3), ([10, 20, 30, 40, 5, 5, 10, 20], 2), ([90, 5, 3, 2], 2)],
)
def test_by_size_takes_every_node_with_exactly_its_probability(sizes, k) -> None:
    draws, counts = 4000, [0] * len(sizes)
    for i in range(draws):
        drawn = BySize(k).draw_from(crowd(sizes), fd.Key(i))
        assert len(drawn) == k
        assert drawn == tuple(sorted(set(drawn)))
        for n in drawn:
            counts[n] += 1
    expected = inclusion(sizes, k)
    assert sum(expected) == pytest.approx(k)
    assert [c for c, p in zip(counts, expected, strict=True) if p == 1] == [draws] * sum(p == 1 for p in expected)
    # Fixed size makes counts less variable than independent draws: the bound errs on the safe side.
    for c, p in zip(counts, expected, strict=True):
        assert c == pytest.approx(p * draws, abs=3.5 * math.sqrt(draws * p * (1 - p)) + 1e-9)


def test_one_by_size_is_a_draw_from_the_shares() -> None:
    sizes, draws = [1, 2, 3, 4], 6000
    counts = [0] * 4
    for i in range(draws):
        counts[BySize(1).draw_from(crowd(sizes), fd.Key(i))[0]] += 1
    assert chi_square(counts, [draws * s / 10 for s in sizes]) < 16.3  # 99.9 % point, 3 degrees of freedom


def test_equal_sizes_are_a_uniform_draw_of_pairs() -> None:
    pairs = list(itertools.combinations(range(5), 2))
    counts = dict.fromkeys(pairs, 0)
    for i in range(5000):
        counts[BySize(2).draw_from(crowd([7] * 5), fd.Key(i))] += 1
    assert chi_square(counts.values(), [500] * 10) < 27.9  # 99.9 % point, 9 degrees of freedom


def test_the_unweighted_mean_over_cohorts_by_size_is_the_weighted_mean_over_nodes() -> None:
    sizes, values = [5, 1, 7, 3, 2, 4], [3.0, -1.0, 2.0, 8.0, 0.0, 5.0]
    whole = sum(s * v for s, v in zip(sizes, values, strict=True)) / sum(sizes)
    means = [sum(values[n] for n in BySize(2).draw_from(crowd(sizes), fd.Key(i))) / 2 for i in range(4000)]
    mean = sum(means) / len(means)
    deviation = math.sqrt(sum((m - mean) ** 2 for m in means) / len(means))
    assert mean == pytest.approx(whole, abs=3 * deviation / math.sqrt(len(means)))


def test_by_size_never_asks_a_node_without_rows() -> None:
    for i in range(50):
        assert 1 not in BySize(2).draw_from(crowd([3, 0, 2, 1]), fd.Key(i))
    with pytest.raises(TooFew, match="only 3"):
        BySize(4).draw_from(crowd([3, 0, 2, 1]), fd.Key(0))
    assert BySize(2).draw(4, fd.Key(0)) == fd.Fixed(2).draw(4, fd.Key(0))
    with pytest.raises(TooFew, match="only 3"):
        BySize(4).draw(3, fd.Key(0))


def test_over_selection_asks_more_than_it_takes() -> None:
    assert [OverSelect(k, f).asked for k, f in ((10, 1.3), (10, 1.1), (3, 1.5), (7, 1.0))] == [13, 11, 5, 7]
    drawn = OverSelect(10).draw(40, fd.Key(0))
    assert isinstance(drawn, Selection)
    assert (len(drawn), drawn.first) == (13, 10)
    assert drawn == fd.Fixed(13).draw(40, fd.Key(0))
    with pytest.raises(TooFew, match="13 nodes"):
        OverSelect(10).draw(12, fd.Key(0))


@pytest.mark.parametrize(
    "inner", [fd.Fixed(2), fd.Fraction(0.5), fd.Poisson(0.5), OverSelect(2, 1.5), BySize(2)], ids=str
)
def test_available_draws_from_those_that_are_on(inner) -> None:
    on = [1, 3, 4, 6]
    for i in range(60):
        drawn = Available(inner).draw_from(crowd([1, 2, 3, 4, 5, 6, 7], on), fd.Key(i))
        assert set(drawn) <= set(on)
        assert list(drawn) == sorted(drawn)
        if not isinstance(inner, BySize):  # the cohort of so many nodes, in their places
            assert drawn == tuple(on[p] for p in inner.draw(4, fd.Key(i)))
        assert drawn.first == (2 if isinstance(inner, OverSelect) else len(drawn))
    with pytest.raises(TooFew):
        Available(inner).draw_from(crowd([1] * 7, []), fd.Key(0))


@pytest.mark.parametrize("inner", [fd.Fixed(2), fd.Poisson(0.5), BySize(2)], ids=str)
def test_where_all_are_on_available_is_the_cohort_itself(inner) -> None:
    for i in range(20):
        c = crowd([1, 2, 3, 4])
        assert c.pick(Available(inner), fd.Key(i)) == c.pick(inner, fd.Key(i))
        assert c.pick(Available(inner), fd.Key(i)) == crowd([1, 2, 3, 4], [0, 1, 2, 3]).pick(
            Available(inner), fd.Key(i)
        )


@pytest.mark.parametrize(
    "make",
    [lambda: OverSelect(0), lambda: OverSelect(3, 0.9), lambda: OverSelect(3, math.nan), lambda: BySize(0),
     lambda: Available(3), lambda: Available(fd.Fixed)],
)  # fmt: skip
def test_bad_arguments_are_refused(make) -> None:
    with pytest.raises(fd.BadInput):
        make()


# In a run


class Asks:
    """Samples once a round; keeps when, who, and who was on."""

    def __init__(self, cohort, rounds=10, sleep=3.0) -> None:
        self.cohort, self.rounds, self.sleep = cohort, rounds, sleep
        self.seen: list[tuple[float, tuple[int, ...], tuple[int, ...]]] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            drawn = await fed.sample(self.cohort)
            self.seen.append((fed.now, drawn, tuple(fed.available())))
            await fed.sleep(self.sleep)
            await fed.commit(s)
        return s.w


def train(program, availability, n=8, **options) -> fd.Run:
    data = arrays(torch.ones(n, 1), torch.zeros(n, 1), node=list(range(n))).split(Natural())
    network = CostModel(FREE, Device(samples_per_second=1.0), availability=availability)
    model = fd.Model(torch.nn.Linear(1, 1), half_squares)
    return fd.train(program, model, data, **{"runtime": fd.Simulation(network=network)} | options)


@pytest.mark.parametrize("availability", [OnOff(5.0, 5.0), DayNight(20.0, 0.5)], ids=str)
def test_a_program_samples_among_those_that_are_on_and_waits_for_enough(availability) -> None:
    program = Asks(Available(fd.Fixed(5)), rounds=30)
    train(program, availability)
    key = lambda n: fd.Key(0).child("availability", n)  # noqa: E731
    for now, drawn, on in program.seen:
        assert on == tuple(n for n in range(8) if availability.spell(n, now, key(n)).on)
        assert len(drawn) == 5
        assert set(drawn) <= set(on)
    assert any(len(on) == 5 for _, _, on in program.seen)
    waits = [b[0] - a[0] for a, b in itertools.pairwise(program.seen)]
    assert min(waits) == pytest.approx(3.0)
    assert max(waits) > 3.1
    # It waits no longer than it has to: just before, there were too few.
    late = next(now for (now, _, _), w in zip(program.seen[1:], waits, strict=True) if w > 3.1)
    before = math.nextafter(late, 0.0)
    assert sum(availability.spell(n, before, key(n)).on for n in range(8)) < 5


def test_nodes_that_are_never_on_together_are_a_deadlock_that_says_so() -> None:
    with pytest.raises(fd.Deadlock, match=r"Fixed\(k=8\).*waits for 8 nodes.*never more than [2-5] of 8"):
        train(Asks(Available(fd.Fixed(8))), DayNight(10.0, 0.2))


@dataclass(frozen=True)
class Once:
    """Half the nodes go off after a second and stay off, the others are never there at all."""

    server_up: float = math.inf
    server_down: float = math.inf
    dropout: float = 0.0

    @property
    def availability(self):
        return self

    def spell(self, node, when, key, known=None):
        on = node % 2 == 0 and when < 1.0
        return Spell(on, 1.0 if on else math.inf, int(not on))

    def link(self, node, key):
        return Link(0.0, math.inf, math.inf)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return 0.5


def test_nodes_that_never_come_back_are_a_deadlock() -> None:
    program = Asks(Available(fd.Fixed(4)))
    with pytest.raises(fd.Deadlock, match="too few ever come on again"):
        train(program, fd.network.Always(), runtime=fd.Simulation(network=Once()))
    assert len(program.seen) == 1
    with pytest.raises(fd.BadInput, match="9 nodes"):
        train(Asks(Available(fd.Fixed(9))), OnOff(1.0, 1.0))


def test_a_program_draws_by_size_with_the_rows_that_nodes_hold() -> None:
    class Draws(Asks):
        async def __call__(self, fed: fd.Federation):
            self.expected = [BySize(3).draw_from(crowd(fed.sizes), fd.Key(0).child("sample", t)) for t in range(10)]
            return await Asks.__call__(self, fed)

    sizes = [1, 9, 2, 7, 3, 8]
    ids = [n for n, s in enumerate(sizes) for _ in range(s)]
    data = arrays(torch.ones(len(ids), 1), torch.zeros(len(ids), 1), node=ids).split(Natural())
    program = Draws(BySize(3))
    fd.train(program, fd.Model(torch.nn.Linear(1, 1), half_squares), data)
    assert [drawn for _, drawn, _ in program.seen] == program.expected


def test_without_availability_all_are_on() -> None:
    program = Asks(Available(fd.Fraction(1.0)), rounds=1)
    train(program, fd.network.Always())
    assert program.seen == [(0.0, tuple(range(8)), tuple(range(8)))]
