"""A round as a dialogue: events in, decisions out."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from foedus.core.coordination.round import PATIENCE, Ask, Close, Raise, Round
from foedus.core.coordination.until import All, Deadline, Quorum
from foedus.core.types.update import Failed, Lost, Refused

BAD, NAN = Failed(7, "its disk is full"), Failed(7, "NaN", nonfinite=True)
OFF, DEAD = Lost(7, "went off"), Lost(7, "its process was killed", for_good=True)
NO = Refused(7, "not today")


def asked(n: int) -> list[Ask]:
    return [Ask(p) for p in range(n)]


def test_all_answer() -> None:
    r = Round(3, All())
    assert r.asked() == asked(3)
    assert (r.arrived(1), r.arrived(0), r.closed) == ([], [], False)
    assert (r.arrived(2), r.closed, list(r.came)) == ([Close()], True, [1, 0, 2])


def test_the_first_answers_close_a_quorum_and_the_next_is_late() -> None:
    r = Round(4, Quorum(2))
    r.asked()
    assert (r.arrived(3), r.arrived(0), r.arrived(1)) == ([], [Close()], [])
    assert list(r.came) == [3, 0]


def test_an_over_selected_cohort_is_a_quorum_of_those_that_are_wanted() -> None:
    r = Round(4, All(), first=1)
    r.asked()
    assert not r.wants_all
    assert r.arrived(2) == [Close()]


def test_nobody_was_asked() -> None:
    assert Round(0, All()).asked() == [Close()]


def test_an_answer_at_the_deadline_counts_and_one_after_it_does_not() -> None:
    r = Round(2, Deadline(1.0))
    r.asked()
    assert (r.arrived(0), r.time_is_up(), r.arrived(1)) == ([], [Close()], [])
    assert (list(r.came), r.empty, r.hopeless) == ([0], 0, False)


def test_three_empty_rounds_are_hopeless() -> None:
    empty = 0
    for i in range(PATIENCE):
        r = Round(2, Deadline(1.0), empty=empty)
        r.asked()
        r.time_is_up()
        empty = r.empty
        assert r.hopeless == (i == PATIENCE - 1)
    r = Round(2, Deadline(1.0), empty=empty)
    r.asked()
    r.arrived(1)
    r.time_is_up()
    assert r.empty == 0


def test_rounds_without_a_deadline_say_nothing_of_empty_ones() -> None:
    r = Round(1, All("skip"), empty=2)
    r.asked()
    assert r.failed(0, BAD) == [Close()]
    assert (r.empty, r.hopeless) == (2, False)


@pytest.mark.parametrize("until", [All(), Quorum(1), Deadline(1.0)])
def test_a_failure_ends_the_run(until: All) -> None:
    r = Round(2, until)
    r.asked()
    assert r.failed(1, BAD) == [Raise(BAD)]


def test_a_failure_is_left_out() -> None:
    r = Round(3, All("skip"))
    r.asked()
    r.arrived(0)
    assert (r.failed(1, BAD), r.arrived(2)) == ([], [Close()])
    assert (list(r.came), r.missing) == ([0, 2], {1: BAD})


def test_a_failure_is_tried_once_more() -> None:
    r = Round(2, All("retry"))
    r.asked()
    assert (r.failed(0, BAD), r.retried, r.out) == ([Ask(0)], {0: BAD}, 2)
    assert (r.arrived(1), r.failed(0, BAD)) == ([], [Close()])
    assert (r.missing, list(r.came)) == ({0: BAD}, [1])


def test_after_the_deadline_nobody_is_asked_again() -> None:
    r = Round(2, Deadline(1.0, "retry"))
    r.asked()
    r.arrived(0)
    r.time_is_up()
    assert r.failed(0, BAD) == [Close()]
    assert (r.missing, list(r.came)) == ({0: BAD}, [])


def test_an_answer_that_turns_out_to_be_none_opens_a_closed_round_again() -> None:
    r = Round(3, Quorum(2, "skip"))
    r.asked()
    r.arrived(0)
    assert r.arrived(1) == [Close()]
    assert (r.failed(1, BAD), r.closed) == ([], False)
    assert r.arrived(2) == [Close()]


@pytest.mark.parametrize(("failure", "follows"), [("abort", Raise(NAN)), ("skip", None), ("retry", Ask(0))])
def test_nan_is_a_failure_like_others_and_none_where_the_rule_is_robust(failure: str, follows) -> None:
    r = Round(2, All(failure))
    r.asked()
    assert r.failed(0, NAN) == ([] if follows is None else [follows])
    r = Round(2, All("abort"), robust=True)
    r.asked()
    assert (r.failed(0, NAN), r.arrived(1)) == ([], [Close()])


@pytest.mark.parametrize("failure", ["abort", "skip", "retry"])
def test_a_refusal_is_an_answer(failure: str) -> None:
    r = Round(2, All(failure))
    r.asked()
    assert (r.refused(0, NO), r.arrived(1), r.missing) == ([], [Close()], {0: NO})


def test_a_loss_ends_the_run_only_where_the_round_needs_the_answer() -> None:
    r = Round(3, Quorum(2))
    r.asked()
    assert r.lost(0, OFF) == []
    assert r.lost(1, OFF) == [Raise(OFF)]
    r = Round(3, Deadline(1.0))
    r.asked()
    assert [r.lost(p, OFF) for p in range(3)] == [[], [], [Close()]]


def test_a_loss_is_waited_for_once_unless_it_is_for_good() -> None:
    r = Round(2, All("retry"))
    r.asked()
    assert (r.lost(0, OFF), r.lost(1, DEAD)) == ([Ask(0)], [])
    assert r.lost(0, OFF) == [Close()]


def test_a_lost_process_ends_the_run_or_does_not_as_its_runtime_says() -> None:
    for goes_on, decisions in (("never", [Raise(DEAD)]), ("always", [])):
        r = Round(3, Quorum(1))
        r.asked()
        assert r.lost(0, DEAD, goes_on) == decisions  # type: ignore[arg-type]
    r = Round(3, All("skip"))
    r.asked()
    assert r.lost(0, DEAD, "never") == []


class Rounds(RuleBasedStateMachine):
    """Any events in any order that a driver could bring: the books of a round always add up."""

    @initialize(
        members=st.integers(1, 6),
        kind=st.sampled_from(["all", "quorum", "deadline"]),
        failure=st.sampled_from(["abort", "skip", "retry"]),
        first=st.none() | st.integers(1, 6),
    )
    def begin(self, members: int, kind: str, failure: str, first: int | None) -> None:
        until = {
            "all": All(failure),
            "quorum": Quorum(max(1, members // 2), failure),
            "deadline": Deadline(1.0, failure),
        }[kind]
        self.r = Round(members, until, first=first)
        self.ended = False
        self.asks = {p: 0 for p in range(members)}
        self.obey(self.r.asked())

    def obey(self, decisions: list) -> None:
        for d in decisions:
            if isinstance(d, Ask):
                self.asks[d.place] += 1
            self.ended |= isinstance(d, Raise)
        assert self.ended or any(isinstance(d, Close) for d in decisions) == self.r.closed

    def some(self, data: st.DataObject, arrived: bool = False) -> int | None:
        """A member that is out; or one whose answer has arrived and is looked at now."""
        those = [p for p in self.asks if p not in self.r.missing and (p in self.r.came) == arrived]
        return data.draw(st.sampled_from(those)) if those else None

    @precondition(lambda self: not self.ended and not self.r.closed)
    @rule(data=st.data(), event=st.sampled_from(["arrived", "failed", "refused", "lost", "gone"]))
    def happens(self, data: st.DataObject, event: str) -> None:
        p = self.some(data)
        assert p is not None
        r = self.r
        self.obey(
            {
                "arrived": lambda: r.arrived(p),
                "failed": lambda: r.failed(p, BAD),
                "refused": lambda: r.refused(p, NO),
                "lost": lambda: r.lost(p, OFF),
                "gone": lambda: r.lost(p, DEAD),
            }[event]()
        )

    @rule(data=st.data())
    def looks(self, data: st.DataObject) -> None:
        p = self.some(data, arrived=True)
        if p is not None and not self.ended:
            self.obey(self.r.failed(p, BAD))

    @precondition(lambda self: not self.ended and self.r.until.seconds is not None)
    @rule()
    def time(self) -> None:
        self.obey(self.r.time_is_up())

    @invariant()
    def adds_up(self) -> None:
        r = self.r
        assert not set(r.came) & set(r.missing)
        assert len(r.came) + len(r.missing) + r.out == r.members
        assert all(n == 1 + (p in r.retried) for p, n in self.asks.items())
        assert len(r.came) <= r.needed
        if r.until.failure != "retry":
            assert not r.retried
        if r.until.failure == "abort" and not self.ended:
            # Whoever failed has ended the run, and so has a loss that the round could not do without.
            assert not any(isinstance(m, Failed) for m in r.missing.values())


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
