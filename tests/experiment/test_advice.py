"""Advice as a file and a command line take it."""

import shlex
import tomllib

import pytest

from foedus.core.advice import Option
from foedus.experiment.advice import in_file, in_set
from foedus.experiment.document import parse_set

VALUES = [["x"], ["it's", 'a "b"', "\x1b[31m"], "a b", None, 3, 0.25, True, {"chol": ["0"]}, {"a b": "c"}, (1, 28, 28)]


def meant(value):
    return "none" if value is None else list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("table", ["data", "runtime.processes", ""])
def test_what_is_written_is_read_as_what_was_meant(value, table):
    option = Option("some option", value, table)
    assert tomllib.loads(in_file(option, {}, table.split(".")[0])) == {"some option": meant(value)}
    flag, word = shlex.split(in_set(option, {}))
    assert flag == "--set"
    assert parse_set(word) == ([*filter(None, table.split(".")), "some option"], meant(value))


def test_a_list_keeps_what_is_there():
    raw = {"Data": {"drop": ["a", "x"]}}
    assert in_file(Option("drop", ["x", "y"], adds=True), raw, "data") == 'drop = ["a", "x", "y"]'
    assert in_set(Option("drop", ["y"], adds=True), raw) == """--set 'data.drop=["a", "x", "y"]'"""
    assert in_file(Option("drop", ["y"], adds=True), {"data": {"drop": "a"}}, "data") == 'drop = ["a", "y"]'
    assert in_file(Option("drop", ["y"], adds=True), {"data": 3}, "data") == 'drop = ["y"]'


def test_missing_values_by_column_join_those_of_all():
    option = Option("missing_values", {"a b": ["high"]}, adds=True)
    assert in_file(option, {}, "data") == 'missing_values = { "a b" = ["high"] }'
    assert in_file(option, {"data": {"missing_values": ["-9"]}}, "data") == (
        'missing_values = { "*" = ["-9"], "a b" = ["high"] }'
    )
    assert in_file(option, {"data": {"missing_values": {"a b": ["low"]}}}, "data") == (
        'missing_values = { "a b" = ["low", "high"] }'
    )


def test_another_table_than_that_of_the_problem_is_named():
    assert (
        in_file(Option("wire", "sockets", "runtime.processes"), {}, "data")
        == 'wire = "sockets" under [runtime.processes]'
    )
