"""Cohorts, rules that end a round, and rules that end a run."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import foedus as fd
from foedus.sampling import Cohort, Until
from foedus.sampling.stopping import settled
from foedus.testing import small


@settings(max_examples=60, deadline=None)
@given(nodes=st.integers(1, 50), seed=st.integers(0, 2**31), data=st.data())
def test_cohorts_are_ascending_ids_without_repetition(nodes: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, nodes))
    p = data.draw(st.floats(0.01, 1.0))
    cohorts: list[Cohort] = [fd.Fixed(k), fd.Fraction(p), fd.Poisson(p)]
    for cohort in cohorts:
        drawn = cohort.draw(nodes, fd.Key(seed))
        assert drawn == tuple(sorted(set(drawn)))
        assert all(0 <= n < nodes and type(n) is int for n in drawn)
        assert drawn == cohort.draw(nodes, fd.Key(seed))
    assert len(fd.Fixed(k).draw(nodes, fd.Key(seed))) == k
    assert len(fd.Fraction(p).draw(nodes, fd.Key(seed))) == max(1, round(p * nodes))


@pytest.mark.parametrize("cohort", [fd.Fixed(3), fd.Fraction(0.3), fd.Poisson(0.3)], ids=str)
def test_every_node_is_as_likely(cohort: Cohort) -> None:
    draws, counts = 3000, [0] * 10
    for i in range(draws):
        for n in cohort.draw(10, fd.Key(i)):
            counts[n] += 1
    assert counts == pytest.approx([0.3 * draws] * 10, abs=4 * math.sqrt(0.21 * draws))


def test_poisson_sizes_are_binomial_and_nodes_are_independent() -> None:
    draws = [fd.Poisson(0.3).draw(10, fd.Key(i)) for i in range(3000)]
    sizes = [len(d) for d in draws]
    mean = sum(sizes) / 3000
    assert mean == pytest.approx(3.0, abs=4 * math.sqrt(2.1 / 3000))
    assert sum((s - mean) ** 2 for s in sizes) / 3000 == pytest.approx(2.1, rel=0.1)
    both = sum(2 in d and 7 in d for d in draws)
    assert both == pytest.approx(0.09 * 3000, abs=4 * math.sqrt(0.0819 * 3000))


def test_drawing_from_many_nodes_costs_as_much_as_from_few() -> None:
    assert len(fd.Fixed(10).draw(10**15, fd.Key(0))) == 10


def test_too_large_cohorts_are_refused_before_anything_runs() -> None:
    problem = small()
    with pytest.raises(fd.BadInput, match="7 nodes"):
        fd.Fixed(7).draw(6, fd.Key(0))
    with pytest.raises(fd.BadInput, match="only 6"):
        fd.train(fd.FedAvg(2, fd.Fixed(7)), problem.model, problem.data)


@pytest.mark.parametrize(
    "make",
    [lambda: fd.Fixed(0), lambda: fd.Fraction(0.0), lambda: fd.Fraction(1.1), lambda: fd.Poisson(0.0),
     lambda: fd.Poisson(math.nan), lambda: fd.Quorum(0), lambda: fd.Deadline(0.0), lambda: fd.Deadline(math.nan),
     lambda: fd.All("shrug"), lambda: fd.Quorum(1, "shrug"), lambda: fd.AfterCommits(0), lambda: fd.Target(1, 2)],
)  # fmt: skip
def test_bad_arguments_are_refused(make) -> None:
    with pytest.raises(fd.BadInput):
        make()


def test_rules_of_a_round() -> None:
    rules: list[tuple[Until, int, float | None]] = [
        (fd.All(), 9, None),
        (fd.Quorum(4), 4, None),
        (fd.Deadline(2.5), 9, 2.5),
    ]
    for until, needed, seconds in rules:
        assert (until.needed(9), until.seconds, until.failure) == (needed, seconds, "abort")


def test_an_empty_cohort_changes_nothing() -> None:
    problem = small()
    run = fd.train(fd.FedAvg(6, fd.Poisson(0.05)), problem.model, problem.data)
    cohorts = [r.cohort for r in run.history]
    assert 0 in cohorts
    empty = fd.train(fd.FedAvg(1, fd.Poisson(1e-9)), problem.model, problem.data)
    assert (empty.history[0].cohort, empty.ledger.total.jobs) == (0, 0)
    assert (empty.vector == problem.model.initial).all()


# -- the end of a run --------------------------------------------------------------------------------------------


def test_stopping_after_commits_and_at_a_target() -> None:
    problem = small()
    program = fd.FedAvg(12, local=fd.LocalSGD(epochs=5, lr=0.3))
    whole = fd.train(program, problem.model, problem.data)
    run = fd.train(program, problem.model, problem.data, stop=fd.AfterCommits(5))
    assert (len(run.history), run.status, whole.status) == (5, "stopped", "finished")
    value = whole.history[5].accuracy
    first = next(r.round for r in whole.history if r.accuracy >= value)
    assert fd.train(program, problem.model, problem.data, stop=fd.Target(value)).history[-1].round == first
    loss = whole.history[3].loss
    first = next(r.round for r in whole.history if r.loss <= loss)
    assert fd.train(program, problem.model, problem.data, stop=[fd.Target(loss, "loss")]).history[-1].round == first
    assert fd.train(program, problem.model, problem.data, stop=fd.Target(1.1)).status == "finished"


def test_a_rule_remembers_across_a_resume(tmp_path) -> None:
    class ThreeInARow:
        """Stops after three commits of its own, whenever they were."""

        def init(self):
            return 0

        def after(self, record, memory):
            return memory + 1 >= 3, memory + 1

    problem = small()
    program, rule = fd.FedAvg(9), ThreeInARow()
    assert len(fd.train(program, problem.model, problem.data, stop=rule).history) == 3
    two = (rule, fd.AfterCommits(2))
    stopped = fd.train(program, problem.model, problem.data, stop=two, out=tmp_path / "run")
    assert len(stopped.history) == 2
    for options in ({"resume": stopped}, {"resume": True, "out": tmp_path / "run"}):
        resumed = fd.train(program, problem.model, problem.data, stop=(rule, fd.AfterCommits(9)), **options)
        assert len(resumed.history) == 3


def test_a_budget_ends_the_run_at_the_first_commit_that_has_spent_it() -> None:
    problem = small()
    program = fd.FedAvg(9, local=fd.LocalSGD(epochs=2, lr=0.1))
    whole = fd.train(program, problem.model, problem.data)
    for at in (1, 4, 9):
        r = whole.history[at - 1]
        for rule in (
            fd.Budget(bytes=r.bytes_up + r.bytes_down),
            fd.Budget(seconds=r.virtual_s),
            fd.Budget(epochs=r.epochs),
            fd.Budget(bytes=1e15, epochs=r.epochs),
        ):
            run = fd.train(program, problem.model, problem.data, stop=rule)
            assert len(run.history) == at, rule
            assert run.history[-1].accuracy is not None
    assert fd.train(program, problem.model, problem.data, stop=fd.Budget(bytes=1e15)).status == "finished"


def _record(t, **quality):
    return fd.Record(round=t, **quality)


@pytest.mark.parametrize(
    ("rule", "values", "stops_at"),
    [
        (fd.Patience(2), [0.5, 0.6, 0.6, 0.6], 4),
        (fd.Patience(2), [0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.6], 7),
        (fd.Patience(1), [0.5, 0.6, 0.7], None),
        (fd.Patience(2, least=0.1), [0.5, 0.55, 0.59, 0.8], 3),
        (fd.Patience(2), [0.5, None, None, None, 0.4, None, 0.4], 7),  # what was not evaluated does not count
        (fd.Patience(2), [None, None, None], None),
    ],
)
def test_patience_counts_evaluations_without_a_gain(rule, values, stops_at) -> None:
    for metric in ("accuracy", "rmse"):
        memory, stopped = rule.init(), None
        for t, v in enumerate(values, 1):
            shown = v if v is None or metric == "accuracy" else 10.0 - v
            stop, memory = rule.after(_record(t, **{metric: shown}), memory)
            if stop:
                stopped = t
                break
        assert stopped == stops_at


def test_patience_looks_at_the_metric_it_was_told() -> None:
    rule, memory = fd.Patience(1, metric="loss"), fd.Patience(1).init()
    _, memory = rule.after(_record(1, accuracy=0.5, loss=1.0), memory)
    assert not rule.after(_record(2, accuracy=0.4, loss=0.9), memory)[0]
    assert rule.after(_record(2, accuracy=0.9, loss=1.1), memory)[0]


def test_a_rule_looks_at_what_the_run_measures_and_refuses_what_it_does_not() -> None:
    problem = small()
    error = fd.Metric("wrong", lambda outputs, targets: (outputs.argmax(1) != targets).float().mean(), higher=False)
    model = fd.Model(problem.model.module, metrics=["f1_macro", error, "accuracy"])
    program = fd.FedAvg(20, local=fd.LocalSGD(epochs=1, lr=0.0))  # nothing is learned
    run = fd.train(program, model, problem.data, stop=fd.Target(1.0, "wrong"))  # at most 1 is reached at once
    assert len(run.history) == 1
    assert len(fd.train(program, model, problem.data, stop=fd.Target(1.0, "f1_macro")).history) == 20
    rule = settled(fd.Patience(2), model.measures)
    found = [
        rule.after(_record(1, accuracy=a, metrics={"f1_macro": 0.5}), {"best": 0.5, "since": 1}) for a in (0.1, 0.9)
    ]
    assert found[0] == found[1] == (True, {"best": 0.5, "since": 2})  # the main metric, whatever the accuracy
    for name in ("auc", "rong"):
        with pytest.raises(fd.BadInput, match=f"waits for {name}, which this run does not measure: .*f1_macro, wrong"):
            fd.train(program, model, problem.data, stop=fd.Target(0.9, name))


def test_patience_remembers_across_a_resume(tmp_path) -> None:
    problem = small()
    program = fd.FedAvg(30, local=fd.LocalSGD(epochs=1, lr=0.0))  # nothing is learned, so nothing gets better
    rule = fd.Patience(5)
    assert len(fd.train(program, problem.model, problem.data, stop=rule).history) == 6
    part = fd.train(program, problem.model, problem.data, stop=(rule, fd.AfterCommits(3)))
    assert len(fd.train(program, problem.model, problem.data, stop=(rule,), resume=part).history) == 6


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: fd.Budget(), "at least one of bytes, seconds and epochs"),
        (lambda: fd.Budget(bytes=0), "above 0"),
        (lambda: fd.Patience(0), "at least 1"),
        (lambda: fd.Patience(3, metric=""), "name of a metric"),
        (lambda: fd.Patience(3, least=-1.0), "not be negative"),
    ],
)
def test_rules_refuse_what_makes_no_sense(make, says) -> None:
    with pytest.raises(fd.BadInput, match=says):
        make()
