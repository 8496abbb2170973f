"""Circumstances: which settings are others than they were, by name."""

import pytest

from foedus.core.records.origin import Circumstances, flat

ONE = {"foedus": "1.0"}


def both(was, now, before=ONE, after=ONE):
    return Circumstances(before, settings=was).changed(Circumstances(after, settings=now))


def test_what_is_the_same_is_not_named():
    assert both({"a": "1"}, {"a": "1"}) == {}


def test_what_changed_came_or_went_is_named():
    found = both({"a": "1", "b": "2"}, {"a": "3", "c": "4"})
    assert found == {"a": ("1", "3"), "b": ("2", "not given"), "c": ("not given", "4")}


def test_of_another_kind_only_the_kind_is_named():
    found = both(
        {"runtime": "A", "runtime.x": "1", "runtimes": "1"}, {"runtime": "B", "runtime.y": "2", "runtimes": "2"}
    )
    assert found == {"runtime": ("A", "B"), "runtimes": ("1", "2")}


def test_another_foedus_may_have_settings_of_its_own():
    assert both({"a": "1", "b": "2"}, {"a": "3", "c": "4"}, after={"foedus": "1.1"}) == {"a": ("1", "3")}


def test_nothing_is_known_of_one_that_says_nothing():
    assert Circumstances().changed(Circumstances(ONE, settings={"a": "1"})) == {}


@pytest.mark.parametrize(
    ("was", "now", "changed"),
    [
        ("a = 1\n[b]\nc = [1, 2]\n", "[b]\nc = [1, 3]\n", {"a": ("1", "not given"), "b.c": ("[1, 2]", "[1, 3]")}),
        ("a = 1", "a=1 # the same", {}),
        ("no: toml", "no: toml", {}),
        ("no: toml", "another", {"config": ("no: toml", "another")}),
    ],
)
def test_files_are_compared_where_both_have_one(was, now, changed):
    before = Circumstances(ONE, {"x": "1"}, was)
    assert before.changed(Circumstances(ONE, {"x": "2"}, now)) == changed
    assert before.changed(Circumstances(ONE, {"x": "2"})) == {"x": ("1", "2")}


def test_an_address_is_no_setting():
    assert flat({"f": object()}) == flat({"f": object()})
