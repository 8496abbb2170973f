"""The page, the picture, the table and the files of a measured speed-up."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from foedus.core.errors import BadInput
from foedus.report import speedup as report
from foedus.report.speedup.found import (
    KINDS,
    Curve,
    Found,
    Jobs,
    Point,
    Rounds,
    Simulated,
    Spread,
    Straggler,
    Traffic,
    Wire,
)
from foedus.report.speedup.machine import HEAD
from foedus.report.speedup.verdict import main_point, more, troubles, verdict


def point(p, seconds, one, weak=False, cores=2):
    return Point(
        p=p,
        rows=1000 if weak else 4000 // p,
        seconds=Spread(seconds, seconds * 0.9, seconds * 1.1, 45),
        speedup=(p if weak else 1) * one / seconds,
        limit=min(p, cores) * 0.9 if p > 1 else 1.0,
        predicted=seconds * 0.9,
        shares=dict(zip(KINDS, (0.82, 0.03, 0.05, 0.1), strict=True)),
        oversubscribed=p > cores,
    )


STRONG = tuple(point(p, s, 0.04) for p, s in ((1, 0.04), (2, 0.025), (4, 0.03)))
WEAK = tuple(point(p, s, 0.01, weak=True) for p, s in ((1, 0.01), (2, 0.0125), (4, 0.03)))
CURVE = Curve("server", "shared", STRONG, WEAK, 0.75, 0.6)
FOUND = Found(
    name="two <b>cores</b>",
    program="SyncSGD(rounds=30)",
    rows=4000,
    parameters=50_000,
    vector_bytes=200_000,
    cores=2,
    origin={"CPU": "one of ours"},
    processes=(1, 2, 4),
    rounds=15,
    curves=(CURVE,),
    jobs=(Jobs(1, 1e-4, 4e-6, 0.05),),
    costs=(Rounds("server", "shared", 3e-4, 5e-5, 1e-10),),
    wires=(Wire("shared", 2.6e-5, 3e-11),),
    traffic=(
        Traffic("ring", "shared", 4, 24, 1_200_900, 6.0, 24, 6.0, 0.03),
        Traffic("gloo", "sockets", 4, 24, 1_200_900, 6.0, None, None, 0.03),
    ),
    stragglers=(
        Straggler(4, 4.0, "synchronous", True, 96.0, 24.0, 0.75),
        Straggler(4, 4.0, "asynchronous", True, 96.0, 78.0, 0.1875),
    ),
    simulated=(
        Simulated("synchronous", (1, 2, 4), (1.0, 1.9, 1.5), (1.0, 1.95, 1.6)),
        Simulated("decentralised", (1, 2), (1.0, 2.0), (1.0, 2.0)),
        Simulated("synchronous, ring", (1, 2, 4), (), (1.0, 2.0, 3.5)),
    ),
    notes=("a note & more",),
    seconds=100.0,
)


def test_the_verdict_is_about_the_most_processes_with_a_core_each():
    assert verdict(FOUND) == (
        "2 processes: 1.6 times as fast as one (efficiency 0.80); what this machine allows is 1.8. Of a process's time "
        "82 % computing, 3 % serialising, 5 % wire, 10 % waiting."
    )
    said = " ".join(more(FOUND))
    assert "75.0 % of a round runs in parallel" in said
    assert "4 times as fast" in said
    assert "10 % less time" in said
    assert "4 processes are 1.33 times" in said
    assert "synchronous 1.9 times at 2 nodes, which is its best" in said
    assert "decentralised 2 times still rising" in said


def test_what_a_reader_has_to_know_first(tmp_path):
    assert troubles(FOUND) == []
    assert troubles(replace(FOUND, others=0.01)) == []
    said = troubles(replace(FOUND, others=0.38, complete=False))
    assert "38 %" in said[0]
    assert "stopped" in said[1]
    page = report.page(replace(FOUND, others=0.38), tmp_path / "a.html").read_text()
    assert page.index("Other work took 38") < page.index("By Amdahl")


def test_the_verdict_takes_the_fastest_exchange():
    slower = tuple(point(p, s * 1.2, 0.04) for p, s in ((1, 0.04), (2, 0.025)))
    found = replace(FOUND, curves=(Curve("ring", "sockets", slower), CURVE))
    assert main_point(found)[0] is CURVE
    assert "by server over shared" in verdict(found)


def test_only_more_processes_than_cores():
    one, *_, four = STRONG
    said = verdict(replace(FOUND, curves=(Curve("server", "shared", (one, four)),)))
    assert "oversubscribed: 4 processes on 2 cores" in said


def test_one_process_is_no_speedup():
    found = replace(FOUND, curves=(Curve("server", "shared", STRONG[:1], WEAK[:1]),))
    assert verdict(found).startswith("Only one process was measured")
    assert "NaN" not in json.dumps(report.as_json(found))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_its_width(width):
    console = Console(width=width, file=io.StringIO())
    console.print(report.show(FOUND))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert re.search(r"^2 +25 ms .*1\.60 +0\.80", text, re.M)
    assert re.search(r"^4\* ", text, re.M)
    assert "24 (24)" in text
    assert "75 %" in text


def test_json_is_plain_and_whole():
    tree = json.loads(json.dumps(report.as_json(FOUND), allow_nan=False))
    assert tree["verdict"] == verdict(FOUND)
    assert tree["curves"][0]["strong"][1]["efficiency"] == pytest.approx(0.8)
    assert tree["curves"][0]["strong"][1]["deviation"] == pytest.approx(-0.1)
    assert tree["stragglers"][0]["lost"] == pytest.approx(0.75)
    assert set(tree) >= {"jobs", "costs", "wires", "traffic", "simulated", "notes"}


def test_csv_has_a_line_a_point():
    rows = list(csv.reader(io.StringIO(report.as_csv(FOUND))))
    assert rows[0] == list(HEAD)
    assert len(rows) == 1 + 6
    assert {len(r) for r in rows} == {len(HEAD)}
    assert rows[3][HEAD.index("oversubscribed")] == "1"


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path):
    page = report.page(FOUND, tmp_path / "speedup.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<b>cores</b>" not in page
    assert "two &lt;b&gt;cores&lt;/b&gt;" in page
    assert "a note &amp; more" in page
    assert page.count('<svg class="chart"') == 3
    for words in ("Stragglers", "Beyond this machine", "What is sent", "How it was measured", "oversubscribed"[:4]):
        assert words in page
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_of_what_there_was_when_it_was_stopped(tmp_path):
    bare = replace(
        FOUND, curves=(Curve("server", "shared", STRONG[:1], WEAK[:1]),), jobs=(), costs=(), wires=(), traffic=(),
        stragglers=(), simulated=(), complete=False,
    )  # fmt: skip
    page = report.page(bare, tmp_path / "speedup.html").read_text()
    assert "Beyond this machine" not in page
    assert report.plot(bare, tmp_path / "speedup.png").stat().st_size > 1000


def test_the_picture(tmp_path):
    for suffix in ("png", "svg"):
        assert report.plot(FOUND, tmp_path / f"speedup.{suffix}").stat().st_size > 5000
    # The same measurement makes the same file.
    again = report.plot(FOUND, tmp_path / "again.svg").read_bytes()
    assert again == (tmp_path / "speedup.svg").read_bytes()
    with pytest.raises(BadInput, match="ends in"):
        report.plot(FOUND, tmp_path / "speedup.txt")


def slowed(factor):
    """Two processes that take so many times as long as one."""
    two = replace(STRONG[1], seconds=Spread(0.04 * factor, 0.04 * factor, 0.04 * factor, 45), speedup=1 / factor)
    return replace(FOUND, curves=(replace(CURVE, strong=(STRONG[0], two)),), simulated=())


def test_what_is_no_faster_is_not_called_so_many_times_as_fast():
    assert verdict(slowed(1.25)).startswith("2 processes: slower than one, 0.80 times as fast (efficiency")
    assert verdict(slowed(1.0)).startswith("2 processes: as fast as one (efficiency")
    down = replace(FOUND, simulated=(Simulated("synchronous", (1, 2, 4), (1.0, 0.9, 0.7), ()),))
    assert "synchronous never faster than one node" in " ".join(more(down))


def test_a_model_that_is_right_is_not_off_by_nothing():
    exact = replace(STRONG[1], predicted=STRONG[1].seconds.median * 1.001)
    found = replace(FOUND, curves=(replace(CURVE, strong=(STRONG[0], exact)),))
    assert "The calibrated cost model says what was measured." in more(found)
