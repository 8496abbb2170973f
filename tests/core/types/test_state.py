"""State: a frozen record."""

import copy
import pickle

import pytest

from foedus.core.types.state import State, replace


def test_fields_and_replace():
    s = State(w=1, server=State(m=0))
    t = s.replace(w=2, extra=3)
    assert (s.w, t.w, t.server.m, t.extra) == (1, 2, 0, 3)
    assert replace(s, w=5).w == 5
    assert "extra" in t
    assert "extra" not in s
    assert dict(s) == {"w": 1, "server": s.server}
    assert repr(State(a=1)) == "State(a=1)"


def test_it_is_frozen_and_says_how_to_change_it():
    s = State(w=1)
    with pytest.raises(AttributeError, match=r"replace\(w=\.\.\.\)"):
        s.w = 2
    assert s.w == 1


def test_a_missing_field_names_those_there_are():
    with pytest.raises(AttributeError, match=r"'x'.*w, server"):
        _ = State(w=1, server=2).x
    assert not hasattr(State(), "anything")


def test_copies_and_pickles():
    s = State(w=[1, 2])
    for t in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s), copy.copy(s)):
        assert isinstance(t, State)
        assert t.w == [1, 2]
    assert copy.deepcopy(s).w is not s.w
