"""Who waited for whom: the section's numbers are those of the ledger."""

import math

import pytest

from foedus.core.records.ledger import Costs, Ledger
from foedus.core.records.run import Record
from foedus.report import page
from foedus.report.stragglers import MOST, lengths, shares
from foedus.report.units import longer

from .fakes import Centralized, FedAvg, SyncSGD, fake
from .test_page import Page


def ledger(n: int) -> Ledger:
    found = Ledger(per_node=True)
    for k in range(n):
        found.nodes[k] = Costs(
            compute_s=5.0 + k, lost_s=2.0, wire_s=1.0, waiting_s=3.0, off_s=0.5 * k, awaited_s=float(k), jobs=4
        )
    found.nodes[-1] = Costs(compute_s=1e9)  # all rows in one place: no node
    return found


def history(rounds: int = 4, slow: float = 3.0) -> list[Record]:
    return [
        Record(t, 0.5, 0.5 + t / 100, bytes_up=10 * t, virtual_s=slow * t, median_s=float(t), waiting_s=float(t))
        for t in range(1, rounds + 1)
    ]


def run(n: int = 5, slow: float = 3.0, program=None, **changes):
    return fake(program or FedAvg(), history(slow=slow), nodes=n, ledger=ledger(n), **changes)


def read(runs, tmp_path) -> Page:
    return Page(page(runs, tmp_path).read_text(encoding="utf-8"))


def test_every_node_is_there_and_the_most_awaited_comes_first() -> None:
    found = shares(run())
    assert [f.name for f in found] == [f"node {k}" for k in (4, 3, 2, 1, 0)]
    first = found[0]
    assert (first.computing, first.lost, first.wire, first.waiting, first.off, first.awaited) == (7, 2, 1, 3, 2, 4)
    assert first.total == 15.0
    assert [f.name for f in shares(run(2, node_names=("Graz", "Wien")))] == ["Wien", "Graz"]


@pytest.mark.parametrize("n", [MOST + 1, 55, 1000])
def test_of_many_nodes_groups_are_means(n: int) -> None:
    found = shares(run(n))
    assert len(found) == 20
    assert [f.awaited for f in found] == sorted((f.awaited for f in found), reverse=True)
    sizes = [(i + 1) * n // 20 - i * n // 20 for i in range(20)]
    assert sum(f.awaited * s for f, s in zip(found, sizes, strict=True)) == pytest.approx(n * (n - 1) / 2)
    assert found[0].name == "0–5 %"
    assert found[-1].name == "95–100 %"


def test_rounds_are_differences() -> None:
    assert lengths(history()) == [(t, 3.0, 1.0) for t in (1, 2, 3, 4)]


def test_no_round_takes_once_as_long() -> None:
    assert longer(1.3, 1.0) == "30 % longer than"
    assert longer(3.0, 1.0) == "3 times as long as"


def test_the_section_says_how_much_longer_rounds_took(tmp_path) -> None:
    p = read({"slow": run(slow=3.0), "slower": run(slow=12.0, program=SyncSGD())}, tmp_path)
    words = p.text()
    assert "Rounds of slower took 12 times as long as their median node. Rounds of slow took 3 times as long" in words
    # The nodes drawn are those of the program that waited most.
    assert "slower: the time of every node" in words
    assert "40 % of all waiting was for node 4" in words
    tips = [v for _, k, v in p.attributes if k == "data-tip"]
    assert any("computing 7 s\ncomputing for nothing 2 s\non the wire 1 s" in t for t in tips)
    assert any(t.endswith("others waited 4 s for it") for t in tips)
    widths = [v for _, k, v in p.attributes if k == "style" and v.startswith("width:calc")]
    assert widths[0].endswith("* 1.0000)")
    assert len(widths) == 5


def test_without_a_ledger_by_node_it_says_how_to_get_one(tmp_path) -> None:
    words = read(fake(FedAvg(), history()), tmp_path).text()
    assert "Who waited for whom" in words
    assert "per_node=True" in words


@pytest.mark.parametrize("runs", [[run(slow=1.0)], [run(program=Centralized())], [fake(FedAvg(), [])]])
def test_there_is_no_section_where_nobody_waited(runs, tmp_path) -> None:
    assert "Who waited for whom" not in read(runs, tmp_path).text()


def test_names_are_no_markup_and_nothing_is_no_number(tmp_path) -> None:
    still = Ledger(per_node=True, nodes={k: Costs() for k in range(3)})
    p = read(fake(FedAvg(), history(), ledger=still, node_names=("<b>", '"&', "c")), tmp_path)
    assert "<b>" in p.text("label")
    assert math.isfinite(sum(f.total for f in shares(fake(FedAvg(), history(), ledger=still))))
