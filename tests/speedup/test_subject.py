"""Whose rows: all of them, once, evenly; and what cannot be measured is said beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus import experiment
from foedus.core.errors import BadInput
from foedus.jobs import Gradient
from foedus.speedup.measurement import Plan
from foedus.speedup.processors import usual_processes
from foedus.speedup.subject import subject

from .conftest import SMALL

LOADED = subject(experiment.parse(SMALL))


@given(st.integers(1, LOADED.rows))
def test_rows_are_divided_evenly_and_each_once(nodes):
    s = LOADED
    shared = s.shared(nodes)
    assert sum(shared.sizes) == s.rows
    assert max(shared.sizes) - min(shared.sizes) <= 1
    assert sorted(shared.index.tolist()) == sorted(s.index.tolist())
    fewer = s.shared(nodes, nodes)
    assert fewer.sizes == [1] * nodes


def test_the_rows_are_those_of_the_file_whatever_its_split(small):
    other = subject(experiment.parse(SMALL, ["data.split={ dirichlet = 0.5 }", "data.nodes=2"]))
    assert sorted(other.index.tolist()) == sorted(small.index.tolist())
    assert other.notes, "that the split is not used must be said"
    assert not small.notes


def test_more_nodes_than_rows_get_a_row_each(small):
    assert small.shared(small.rows + 3).sizes == [1] * (small.rows + 3)
    assert small.dealt([1, 1, 4]).sizes == [1, 1, 4]


def test_a_batch_is_the_steps_and_is_divided(small):
    s = subject(experiment.parse(SMALL, ["program.sync_sgd.batch_size=64"]))
    assert s.sized(5, 4).batch_size == 16
    assert s.sized(5, 2, of=8).batch_size == 8
    assert s.job(64) == Gradient(1)
    assert small.job(3) == Gradient(None)
    with pytest.raises(BadInput, match="batch of 64"):
        s.check([1, 65])
    with pytest.raises(BadInput, match="cannot share"):
        small.check([small.rows + 1])


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("[program.gossip]\nrounds = 2", "Gossip"),
        ("[program.parameter_server]\nrounds = 2", "ParameterServer"),
        ("[program.sync_sgd]\nrounds = 2\nbackup = 1", "backup"),
    ],
)
def test_a_program_whose_work_cannot_be_shared(program, said):
    with pytest.raises(BadInput, match=said):
        subject(experiment.parse(SMALL.replace("[program.sync_sgd]\nrounds = 5\nlr = 0.1", program)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"processes": (0, 1)}, "from 1 up"),
        ({"processes": ()}, "from 1 up"),
        ({"exchanges": ("rnig",)}, "did you mean 'ring'"),
        ({"wires": ("socket",)}, "did you mean 'sockets'"),
        ({"exchanges": ("gloo",)}, "gloo sends over sockets"),
        ({"rounds": 0}, "rounds"),
        ({"nodes_max": -1}, "nodes-max"),
    ],
)
def test_a_plan_says_what_is_wrong_with_it(options, said):
    with pytest.raises(BadInput, match=said):
        Plan(**options)


def test_a_plan_knows_one_process_and_leaves_out_what_does_not_go_together():
    plan = Plan(processes=(4, 2, 2), exchanges=("server", "gloo"), wires=("shared", "sockets"))
    assert plan.processes == (1, 2, 4)
    assert plan.pairs == [("server", "shared"), ("server", "sockets"), ("gloo", "sockets")]
    assert usual_processes(1) == (1, 2)
    assert usual_processes(4) == (1, 2, 4, 8)
