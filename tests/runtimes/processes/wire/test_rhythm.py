"""At which commits nodes talk with the parent, by what the run was asked for."""

import pytest

from foedus.runtimes.processes.wire.rhythm import Rhythm


def commits(rule, planned=12):
    return [t for t in range(1, planned + 1) if rule(t, planned)]


@pytest.mark.parametrize(
    ("rhythm", "told", "waits", "keeps"),
    [
        # Written every fourth, evaluated every third: what nodes remember goes along with what is written.
        (Rhythm(3, 0, 4, rules=False), [3, 4, 6, 8, 9, 12], [3, 6, 9], [4, 8, 12]),
        # Evaluated at the nodes every fifth, with what they remember.
        (Rhythm(100, 5, 6, rules=False), [5, 6, 10, 12], [5, 10], [5, 6, 10, 12]),
        # Nothing is written: the run in memory can be gone on from wherever it was told of.
        (Rhythm(5, 0, 0, rules=False), [5, 10, 12], [5, 10], list(range(1, 13))),
        # Any commit may be the last one.
        (Rhythm(100, 0, 100, rules=True), list(range(1, 13)), list(range(1, 12)), list(range(1, 13))),
    ],
)
def test_what_is_due(rhythm, told, waits, keeps):
    assert commits(rhythm.told) == told
    assert commits(rhythm.waits) == waits
    assert commits(rhythm.keeps) == keeps


def test_where_no_end_is_planned_any_commit_may_be_the_last():
    assert Rhythm(3, 0, 4, rules=False).keeps(3, None)
