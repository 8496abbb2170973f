"""The answer in words."""

import math
from dataclasses import replace

import pytest

from foedus.core.records.run import Record
from foedus.report.summary import compare
from foedus.report.verdict import CLOCK, ROUNDS, TRAFFIC, WORK, race, tiles, time_shares, troubles, verdict

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, record

POOLED = fake(Centralized(), [record(9, 0.96)])
ALONE = fake(LocalOnly(), [record(9, 0.71)])
FED = fake(FedAvg(), [record(50, 0.95, bytes_up=12_300_000, bytes_down=3_000, epochs=250.0, virtual_s=125.0)])


def test_all_three():
    assert verdict(compare([POOLED, ALONE, FED])) == (
        "Working together took accuracy from 71.0 % (each node alone) to 95.0 %, against 96.0 % with all data in one "
        "place. It cost 4.1 MB up and 1 kB down per node, in 50 rounds and 2 min 5 s of virtual time."
    )


@pytest.mark.parametrize(
    ("runs", "start"),
    [
        ([ALONE, FED], "Working together took accuracy from 71.0 % (each node alone) to 95.0 %. It cost"),
        (
            [POOLED, FED],
            "Working together, FedAvg reached an accuracy of 95.0 %, against 96.0 % with all data in one place.",
        ),
        ([FED], "Working together, FedAvg reached an accuracy of 95.0 %. It cost 4.1 MB up"),
        (
            [POOLED, ALONE],
            "No program here worked together and was evaluated. All data in one place reached 96.0 % accuracy;",
        ),
        ([fake(FedAvg(), [])], "Nothing was evaluated"),
        (
            [ALONE, fake(FedAvg(), [record(1, 0.6, bytes_up=1)])],
            "Working together did not pay: accuracy went from 71.0 %",
        ),
        (
            [ALONE, fake(FedAvg(), [record(1, 0.7101, bytes_up=1)])],
            "Working together changed nothing: accuracy stayed at 71.0 %",
        ),
    ],
)
def test_it_adapts_to_what_there_is(runs, start):
    assert verdict(compare(runs)).startswith(start)


def test_an_error_goes_down():
    runs = [fake(LocalOnly(), [Record(1, rmse=5.25)]), fake(FedAvg(), [Record(1, rmse=3.1, bytes_up=3)])]
    assert verdict(compare(runs)).startswith(
        "Working together took RMSE from 5.25 (each node alone) to 3.1. It cost 1 B up"
    )


def test_the_race_names_the_cheapest_and_the_dearest():
    fast = fake(FedAvg(), [record(8, 0.9, bytes_up=1_200_000, epochs=40.0, virtual_s=5.0)])
    slow = fake(SyncSGD(), [record(96, 0.9, bytes_up=14_400_000, epochs=20.0, virtual_s=5.0)])
    c = compare([fast, slow], 0.9)
    assert race(c, TRAFFIC) == "To reach 90 %, FedAvg needed 1.2 MB of traffic and SyncSGD 14.4 MB (12 times that)."
    assert race(c, ROUNDS) == "To reach 90 %, FedAvg needed 8 rounds and SyncSGD 96 (12 times that)."
    assert race(c, WORK) == "To reach 90 %, SyncSGD needed 20 epochs of local computation and FedAvg 40 (2 times that)."
    assert race(c, CLOCK) == "To reach 90 %, FedAvg and SyncSGD needed 5 s of virtual time each."


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
