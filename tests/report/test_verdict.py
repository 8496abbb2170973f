"""The answer in words."""

import math
from dataclasses import replace

import pytest

from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.run import Record
from foedus.report.race import CLOCK, ROUNDS, TRAFFIC, WORK, race
from foedus.report.summary import TOGETHER, compare
from foedus.report.verdict import tiles, time_shares, troubles, verdict

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, judged, record

POOLED = fake(Centralized(), [record(9, 0.96)])
ALONE = fake(LocalOnly(), [record(9, 0.71)])
FED = fake(FedAvg(), [record(50, 0.95, bytes_up=12_300_000, bytes_down=3_000, epochs=250.0, virtual_s=125.0)])


COST = " It cost 4.1 MB up and 1 kB down per node, in 50 rounds and 2 min 5 s of virtual time."
CHANCE = " How much of a difference is chance these runs do not tell."


def fed(accuracy, program=None, sent=12_303_000):
    return fake(program or FedAvg(), [record(50, accuracy, bytes_up=sent, epochs=250.0, virtual_s=125.0)])


def sure(*runs, spread=0.02, own=0.004, **few):
    """Runs whose values have a standard error of 2 points, and whose differences one of about half a point."""
    return compare([judged(run, spread, own, **few) for run in runs])


def test_single_runs_without_an_interval_claim_nothing():
    assert verdict(compare([POOLED, ALONE, FED])) == (
        "Working together, FedAvg reached an accuracy of 95.0 %, each node alone 71.0 %, all data in one place 96.0 %."
        + CHANCE
        + COST
    )


def test_what_an_interval_allows_is_claimed():
    """Values of which each is known to within 4 points differ by one: paired, that is a difference."""
    alone, pooled = fake(LocalOnly(), [record(9, 0.71)]), fake(Centralized(), [record(9, 0.98)])
    assert verdict(sure(alone, pooled, fed(0.95))).startswith(
        "Working together took accuracy from 71.0 % (each node alone) to 95.0 % (FedAvg), 3.0 points worse than all "
        "data in one place (98.0 %). It cost"
    )
    assert "it cannot be told from all data in one place (95.4 %)" in verdict(
        sure(alone, fake(Centralized(), [record(9, 0.954)]), fed(0.95))
    )
    assert verdict(sure(alone, fed(0.60))).startswith(
        "Working together did not pay: accuracy is 60.0 % with FedAvg, worse than the 71.0 % of each node alone. It"
    )
    said = verdict(sure(alone, fed(0.712)))
    assert said.startswith(
        "Working together made no difference that can be told: accuracy is 71.2 % with FedAvg and 71.0 % with each "
        "node alone (the 95 % interval of the difference is \N{MINUS SIGN}"
    )
    assert "took" not in said


def test_unpaired_noise_swallows_what_pairs_would_tell():
    runs = [fake(LocalOnly(), [record(9, 0.71)]), fed(0.74)]
    assert "took accuracy" in verdict(sure(*runs, spread=0.03, own=0.004))
    assert "no difference that can be told" in verdict(sure(*runs, spread=0.0, own=0.03))


def test_too_few_rows_say_so():
    said = verdict(sure(fake(LocalOnly(), [record(9, 0.5)]), fed(0.95), rows=12))
    assert said.startswith("Working together made no difference that can be told: accuracy is 95.0 % with FedAvg")
    assert "(too few rows to tell)" in said
    assert verdict(sure(fed(0.9), rows=12)).startswith(
        "Working together, FedAvg reached an accuracy of 90.0 % (too few rows to tell)."
    )


def test_each_node_alone_is_said_on_which_rows():
    for models, words in (
        ("each", "each node alone, on everybody's rows"),
        ("own", "each node alone, on its own rows"),
    ):
        on = EvaluatedOn("held out", "nodes", models)
        alone = fake(LocalOnly(), [record(9, 0.71)], evaluated_on=on)
        together = fake(FedAvg(), [record(9, 0.95, bytes_up=3)], evaluated_on=EvaluatedOn("held out", "nodes"))
        c = sure(alone, together)
        assert f"from 71.0 % ({words}) to 95.0 %" in verdict(c)
        assert f"against {words}" in [t.what for t in tiles(c)]


@pytest.mark.parametrize(
    ("runs", "start"),
    [
        ([ALONE, FED], "Working together, FedAvg reached an accuracy of 95.0 %, each node alone 71.0 %. How"),
        (
            [POOLED, FED],
            "Working together, FedAvg reached an accuracy of 95.0 %, against 96.0 % with all data in one place. How",
        ),
        ([FED], "Working together, FedAvg reached an accuracy of 95.0 %. It cost 4.1 MB up"),
        (
            [POOLED, ALONE],
            "No program here worked together and was evaluated. All data in one place reached 96.0 % accuracy;",
        ),
        (
            [fake(FedAvg(), [])],
            "Nothing was evaluated, so nothing can be said about quality. FedAvg spent 0 rounds and sent",
        ),
    ],
)
def test_it_adapts_to_what_there_is(runs, start):
    assert verdict(compare(runs)).startswith(start)


def test_an_error_goes_down():
    runs = [fake(LocalOnly(), [Record(1, rmse=5.25)]), fake(FedAvg(), [Record(1, rmse=3.1, bytes_up=3)])]
    c = sure(*runs, spread=0.1, own=0.1)
    assert verdict(c).startswith(
        "Working together took RMSE from 5.25 (each node alone) to 3.1 (FedAvg). It cost 1 B up"
    )
    assert [(t.number, t.what) for t in tiles(c)][1] == (
        "\N{MINUS SIGN}2.15",
        "against each node alone, lower is better",
    )


def settings(*accuracies, sent=None):
    """A sweep: the same program, each setting judged."""
    runs = [judged(fed(a, sent=1000 if sent is None else sent[i]), 0.02, 0.004) for i, a in enumerate(accuracies)]
    return compare({f"lr={i}": run for i, run in enumerate(runs)})


def test_a_sweep_names_its_best_setting():
    c = settings(0.80, 0.90, 0.85)
    assert "reached an accuracy of 90.0 % (95 % interval" in verdict(c)
    assert "lr=1 is the best of 3 settings." in verdict(c)


def test_of_settings_that_cannot_be_told_apart_the_cheapest_is_named():
    c = settings(0.80, 0.901, 0.90, sent=(10, 9000, 1000))
    assert verdict(c).startswith("Working together, lr=2 reached an accuracy of 90.0 %")
    assert (
        "2 of 3 settings are level with the best (lr=1, 90.1 %), as far as can be told; of these lr=2 costs least."
        in verdict(c)
    )
    same = verdict(settings(0.90, 0.90, 0.90))
    assert "All 3 settings are level, as far as can be told." in same
    assert "costs least" not in same
    assert "Both settings are level, as far as can be told; of these lr=1 costs least." in verdict(
        settings(0.9, 0.9, sent=(9, 3))
    )


def test_what_sent_nothing_is_not_priced_in_bytes():
    c = compare(fake(FedAvg(), [record(3, 0.9)]))
    c = replace(c, programs=tuple(replace(s, role=TOGETHER) for s in c.programs))
    assert " 0 B" not in verdict(c)
    assert "It sent nothing, in 3 rounds." in verdict(c)


def test_the_race_names_the_cheapest_and_the_dearest():
    fast = fake(FedAvg(), [record(8, 0.9, bytes_up=1_200_000, epochs=40.0, virtual_s=5.0)])
    slow = fake(SyncSGD(), [record(96, 0.9, bytes_up=14_400_000, epochs=20.0, virtual_s=5.0)])
    c = compare([fast, slow], 0.9)
    assert race(c, TRAFFIC) == "To reach 90 %, FedAvg needed 1.2 MB of traffic and SyncSGD 14.4 MB (12 times that)."
    assert race(c, ROUNDS) == "To reach 90 %, FedAvg needed 8 rounds and SyncSGD 96 (12 times that)."
    assert race(c, WORK) == "To reach 90 %, SyncSGD needed 20 epochs of local computation and FedAvg 40 (2 times that)."
    assert race(c, CLOCK) == "To reach 90 %, FedAvg and SyncSGD needed 5 s of virtual time each."


def test_nobody_races_alone_and_what_costs_nothing_is_no_price():
    one = fake(FedAvg(), [record(8, 0.9, bytes_up=1_200_000)])
    assert race(compare([one, POOLED], 0.9), TRAFFIC, ROUNDS, CLOCK) == (
        "To reach 90 %, FedAvg needed 1.2 MB of traffic and 8 rounds."
    )
    assert race(compare([one, fake(SyncSGD(), [record(8, 0.9, bytes_up=3)])], 0.9), CLOCK) == ""


def test_as_good_as_the_same_is_not_told_apart():
    a, b = (fake(p, [record(1, 0.9, bytes_up=n)]) for p, n in ((FedAvg(), 1_200_000), (SyncSGD(), 1_230_000)))
    assert race(compare([a, b], 0.9), TRAFFIC) == "To reach 90 %, FedAvg and SyncSGD needed about 1.23 MB of traffic."


def test_means_over_seeds_have_a_decimal():
    three = [fake(FedAvg(), [record(t, 0.9, bytes_up=9)], seed=t) for t in (2, 3, 3)]
    assert race(compare({"FedAvg": three}, 0.9), ROUNDS) == "To reach 90 %, FedAvg needed 2.7 rounds."


def test_the_race_says_who_never_got_there():
    never = fake(SyncSGD(), [record(9, 0.5, bytes_up=1)])
    assert (
        race(compare([FED, never], 0.9), ROUNDS) == "To reach 90 %, FedAvg needed 50 rounds. SyncSGD never got there."
    )
    assert race(compare([never], 0.9), ROUNDS) == "No federated program reached 90 %."
    assert race(compare([POOLED], 0.9), ROUNDS) == ""


def test_big_numbers():
    by_what = {t.what: t.number for t in tiles(compare([POOLED, ALONE, FED]))}
    assert by_what == {
        "accuracy, FedAvg": "95.0 %",
        "against each node alone": "+24.0 points",
        "against all data in one place": "\N{MINUS SIGN}1.0 points",
        "per node, FedAvg": "4.1 MB",
        "virtual time, FedAvg": "2 min 5 s",
    }


def test_runs_that_did_not_finish_are_named():
    c = compare([FED, fake(SyncSGD(), [record(12, 0.5)], status="diverged"), fake(LocalOnly(), [], status="odd")])
    first, second = troubles(c)
    assert first.startswith("SyncSGD diverged (")
    assert first.endswith("after 12 rounds.")
    assert second == "LocalOnly ended as 'odd' after 0 rounds."


def test_shares_of_time():
    assert time_shares(Record(1, compute_s=1.0, wire_s=3.0, waiting_s=0.0)) == {
        "compute": 0.25,
        "wire": 0.75,
        "waiting": 0.0,
    }
    measured = Record(1, compute_s=1.0, serial_s=1.0, wire_s=1.0, waiting_s=1.0)
    assert time_shares(measured) == dict.fromkeys(("compute", "serial", "wire", "waiting"), 0.25)
    assert time_shares(Record(1)) is None
    assert time_shares(Record(1, compute_s=math.nan, wire_s=2.0)) == {"compute": 0.0, "wire": 1.0, "waiting": 0.0}


def test_nothing_is_claimed_of_a_run_that_diverged_in_finite_numbers():
    wild = fake(FedAvg(), [replace(record(t, 0.95, bytes_up=1), loss=loss) for t, loss in ((1, 2.0), (2, 4.6e14))])
    assert wild.grown == (2.0, 4.6e14)
    said = verdict(compare([POOLED, ALONE, wild]))
    assert said.startswith("FedAvg diverged, so that nothing can be said of what working together brings.")
    assert "95" not in said
    assert "FedAvg: the loss grew from 2 to 4.6e+14: the run diverged" in " ".join(troubles(compare([ALONE, wild])))
    assert not any("FedAvg" in t.what for t in tiles(compare([ALONE, wild])))
    # Nor against one, or while another learned.
    assert "SyncSGD" in verdict(compare([wild, fake(SyncSGD(), [record(9, 0.9, bytes_up=9)])]))
    mad = fake(LocalOnly(), [replace(record(t, 0.2), loss=loss) for t, loss in ((1, 2.0), (2, 4.6e14))])
    assert "each node alone" not in verdict(compare([mad, FED]))
    assert not any("alone" in t.what for t in tiles(compare([mad, FED])))


@pytest.mark.parametrize(
    ("losses", "grown"),
    [
        ([2.0, 1999.0], None),
        ([2.0, None, 2000.0], (2.0, 2000.0)),
        ([2.0, 1e9, 1.0], None),  # it came back
        ([0.0, 1.0], None),
        ([3.0], None),
        ([None, None], None),
    ],
)
def test_when_a_loss_has_grown(losses, grown):
    history = [Record(t, loss=loss) for t, loss in enumerate(losses)]
    assert fake(FedAvg(), history).grown == grown
    history = [Record(t, train_loss=loss) for t, loss in enumerate(losses)]
    assert fake(FedAvg(), [*history, Record(9, loss=5.0)]).grown == grown


def test_what_is_no_better_than_always_the_commonest_class_says_so():
    weak = fake(FedAvg(), [record(9, 0.55, bytes_up=9)], usual={"accuracy": 0.553, "loss": 0.69})
    assert "That is no better than the same answer for all rows (always the commonest class: 55.3 %)." in verdict(
        compare(weak)
    )
    slight = fake(FedAvg(), [record(9, 0.57, bytes_up=9)], usual={"accuracy": 0.553})
    assert "That cannot be told from the same answer for all rows" in verdict(sure(slight))
    good = fake(FedAvg(), [record(9, 0.95, bytes_up=9)], usual={"accuracy": 0.553})
    assert "same answer" not in verdict(sure(good))
    error = fake(FedAvg(), [Record(9, rmse=5.0, bytes_up=9)], usual={"rmse": 4.8}, label_counts=None)
    assert "(the targets' mean: 4.8)" in verdict(compare(error))


def test_notices_that_differ_in_numbers_are_one():
    runs = [fake(FedAvg(), [record(9, 0.5)], seed=k, notices=[f"overfitted by 0.0{k} in round {k}"]) for k in (1, 2, 3)]
    assert troubles(compare({"a": runs})) == ["a: overfitted by 0.01 in round 1 (and the like with 2 other seeds)"]
