"""Which fits which network: the sentence and the tables, from runs whose times a test can predict."""

import itertools
import json
import random

import pytest

from foedus.report import On, as_json, comparison, page
from foedus.report.networks import fit, sentence
from foedus.report.summary import compare

from .fakes import Centralized, FedAvg, SyncSGD, fake, record


def run(program, reached_at, *, per_round=100, rounds=10, seed=0, top=0.9, wire=1.0, waiting=0.0):
    """Accuracy 0.9 in the last round, at that virtual time; 0.5 before."""
    return fake(
        program,
        [
            record(1, 0.5, bytes_up=per_round, virtual_s=reached_at / rounds, wire_s=wire, compute_s=1.0),
            record(
                rounds,
                top,
                bytes_up=per_round * rounds,
                virtual_s=reached_at,
                wire_s=wire,
                compute_s=1.0,
                waiting_s=waiting,
            ),
        ],
        seed=seed,
    )


def said(runs, target=0.9):
    found = fit(compare(runs, target))
    assert found is not None
    return sentence(found)


def crossing():
    """Gradients are first where sending is cheap, FedAvg where it is not."""
    times = {"sync_sgd": (0.8, 50, 400), "fedavg": (2.0, 12, 95)}
    programs = {"sync_sgd": (SyncSGD(), 400), "fedavg": (FedAvg(), 100)}
    return {
        On(p, n): run(programs[p][0], t, per_round=programs[p][1])
        for p, found in times.items()
        for n, t in zip(("lan", "wan", "mobile"), found, strict=True)
    }


def test_who_is_first_where_and_why():
    assert said(crossing()) == (
        "On LAN sync_sgd gets to 90 % first (800 ms); on WAN and MOBILE fedavg does (12 s, 1 min 35 s), "
        "for it sends 4 times less."
    )


def test_the_order_of_cases_changes_nothing_that_is_said():
    runs = list(crossing().items())
    for order in range(5):
        random.Random(order).shuffle(runs)
        assert said(dict(runs)) == said(crossing())
        c = compare(dict(runs), 0.9)
        assert c.networks == ("lan", "wan", "mobile")
        assert c.network == "lan"
        assert {s.label: s.last.virtual_s for s in c.programs} == {"sync_sgd": 0.8, "fedavg": 2.0}


def test_time_alone_decides_who_is_first():
    # On every network whoever has the least time is named, whatever the other costs are.
    for times in itertools.permutations((1.0, 2.0, 3.0)):
        runs = {
            On(p, n): run(FedAvg(), t * f) for p, t in zip("abc", times, strict=True) for n, f in (("x", 1), ("y", 5))
        }
        c = fit(compare(runs, 0.9))
        fastest = "abc"[times.index(1.0)]
        assert {n: [s.subject for s in first] for n, first in c.first.items()} == {"x": [fastest], "y": [fastest]}
        assert sentence(c) == f"On both networks {fastest} gets to 90 % first: 1 s on x and 5 s on y."


def test_the_target_is_the_same_on_all_networks():
    runs = crossing() | {On("sync_sgd", "mobile"): run(SyncSGD(), 400, top=0.99)}
    assert compare(runs).target == 0.94  # 95 % of the best that there was anywhere
    assert said(runs, None) == (
        "On LAN and WAN no program gets to 94 %; on MOBILE sync_sgd gets to 94 % first (6 min 40 s). "
        "fedavg never gets there."
    )


def seeds(program, *times, **more):
    return [run(program, t, seed=i, **more) for i, t in enumerate(times)]


def test_a_difference_within_the_spread_is_none():
    runs = {
        On("a", "lan"): seeds(FedAvg(), 1.0, 2.0, 3.0),
        On("b", "lan"): seeds(FedAvg(), 1.5, 2.5, 3.5),
        On("a", "wan"): seeds(FedAvg(), 10, 11, 12),
        On("b", "wan"): seeds(FedAvg(), 50, 51, 52),
    }
    assert said(runs) == (
        "On LAN a and b get to 90 % first (2 s and 2.5 s), level within the spread over seeds; on WAN a does (11 s)."
    )
    html = page_of(runs)
    assert html.count('class="least"') >= 3  # both on LAN, one on WAN


def page_of(runs, target=0.9):
    from foedus.report.document import render

    return render(compare(runs, target), "title").replace("&nbsp;", " ").replace("\u00a0", " ")


def test_those_that_do_not_get_there_are_told():
    runs = crossing() | {
        On("never", "lan"): run(FedAvg(), 1, top=0.6),
        On("never", "wan"): run(FedAvg(), 1, top=0.6),
        On("half", "lan"): run(FedAvg(), 1),
        On("half", "wan"): run(FedAvg(), 1, top=0.6),
        On("half", "mobile"): run(FedAvg(), 500),
    }
    text = said(runs)
    assert "half does not get there on WAN." in text
    assert "never never gets there." in text
    assert "never was not run on MOBILE." in text
    none = {On("a", n): run(FedAvg(), 1, top=0.3) for n in ("lan", "wan")}
    assert said(none) == "No program gets to 90 % on either network."


def test_a_program_whose_seeds_all_get_there_comes_before_one_of_which_some_do():
    some = [*seeds(FedAvg(), 1, 1), run(FedAvg(), 1, seed=2, top=0.4)]
    runs = {On(p, n): g for n in ("lan", "wan") for p, g in (("some", some), ("all", seeds(FedAvg(), 5, 5, 5)))}
    assert said(runs) == (
        "On both networks all gets to 90 % first: 5 s on LAN and 5 s on WAN. some gets there with 2 of 3 seeds only."
    )
    sheet = comparison(runs, 0.9).plain(80)
    assert "1 s (2/3)" in sheet
    assert "(2/3) is with 2 of 3 seeds." in sheet
    alone = {On("some", n): some for n in ("lan", "wan")}
    assert 'class="least"' not in page_of(alone)  # one alone is no race
    assert said(alone) == "On LAN and WAN some gets to 90 % in 1 s with 2 of 3 seeds and 1 s with 2 of 3 seeds."


def test_reasons_are_in_the_books_or_not_given():
    def two(**ours):
        return {
            On("a", "lan"): run(SyncSGD(), 1, waiting=8.0),
            On("b", "lan"): run(FedAvg(), 2, **ours),
            On("a", "wan"): run(SyncSGD(), 9, waiting=8.0),
            On("b", "wan"): run(FedAvg(), 5, **ours),
        }

    assert said(two(waiting=8.0)).endswith("on WAN b does (5 s).")
    assert said(two(per_round=200, rounds=5, waiting=8.0)).endswith("for it needs 2 times fewer rounds.")
    assert said(two(rounds=5, waiting=8.0)).endswith("for it sends 2 times less, in 2 times fewer rounds.")
    assert said(two()).endswith("for its nodes wait less: 0 % of their time, not 80 %.")


def test_one_network_is_the_page_without_networks():
    plain = {"a": run(FedAvg(), 1), "b": run(SyncSGD(), 2)}
    one = {On(k, "wan", k): r for k, r in plain.items()}
    assert compare(one).networks == ()
    assert page_of(one) == page_of(plain)
    assert comparison(one).plain(100) == comparison(plain).plain(100)
    assert as_json(plain)["networks"] is None


def test_every_program_stands_once_side_by_side():
    runs = crossing() | {
        On("fedavg", "ideal"): run(FedAvg(), 0.1, wire=0.0),
        On("late", "mobile"): run(FedAvg(), 70),
        "fedavg": run(FedAvg(), 7),  # of another study, that has one network
        "pooled": fake(Centralized(), [record(1, 0.95)]),
    }
    c = compare(runs, 0.9)
    # Where messages are free, times say little of the rest: the first network on which they are not.
    assert (c.network, c.networks) == ("lan", ("ideal", "lan", "wan", "mobile"))
    assert [s.label for s in c.programs] == [
        "sync_sgd",
        "fedavg, network=lan",
        "late, network=mobile",
        "fedavg",
        "pooled",
    ]
    assert len(c.everywhere) == len(runs)
    assert "pooled" not in said(runs)  # who sends nothing fits any network


@pytest.mark.parametrize("width", [80, 110])
def test_tables_and_json(width):
    sheet = comparison(crossing(), 0.9).plain(width)
    assert all(len(line) <= width for line in sheet.splitlines())
    rows = [line.split() for line in sheet.splitlines()]
    assert ["sync_sgd", "800", "ms", "*", "50", "s", "6", "min", "40", "s"] in [r[:10] for r in rows]
    assert "All else is told as it was on LAN." in sheet
    told = json.loads(json.dumps(as_json(crossing(), 0.9)))
    assert told["networks"] == {
        "names": ["lan", "wan", "mobile"],
        "shown": "lan",
        "first": {"lan": ["sync_sgd"], "wan": ["fedavg"], "mobile": ["fedavg"]},
        "sentence": said(crossing()),
    }
    assert [(g["subject"], g["network"]) for g in told["groups"]] == [
        (p, n) for p in ("sync_sgd", "fedavg") for n in ("lan", "wan", "mobile")
    ]
    html = page_of(crossing())
    assert "Which fits which network" in html
    assert said(crossing()) in html


def test_what_ended_early_is_told_of_every_network(tmp_path):
    runs = crossing()
    runs[On("fedavg", "mobile")].status = "diverged"
    written = page(runs, tmp_path / "x.html").read_text()
    assert "fedavg, network=mobile diverged" in written


def test_nothing_evaluated_is_no_fit():
    runs = {On("a", n): fake(FedAvg(), [record(1, None, bytes_up=1)]) for n in ("lan", "wan")}
    assert fit(compare(runs)) is None
    assert as_json(runs)["networks"]["sentence"] is None
    assert "told as it was on LAN" in comparison(runs).plain(80)
