"""The page: its numbers are those of the runs, it needs nothing from outside, and no text of a run is markup."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest

from foedus.core.errors import BadInput
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.run import Record
from foedus.report import page
from foedus.report.holdings import RANKS
from foedus.report.holdings import holdings as holdings_of
from foedus.report.split import of_run
from foedus.report.summary import NAMES

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, learn, record


class Page(HTMLParser):
    """What a reader gets: the text of every element, tables as rows of cells, and every attribute."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.texts: list[tuple[tuple[str, str], str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        found = {k: v or "" for k, v in attrs}
        self.attributes += [(tag, k, v) for k, v in found.items()]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append((tag, found.get("class", "")))

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, k, v or "") for k, v in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        data = data.replace("\N{NO-BREAK SPACE}", " ")
        if any(tag in ("td", "th") for tag, _ in self.open):
            self.rows[-1][-1] += data
        if self.open:
            self.texts.append((self.open[-1], data))

    def text(self, css: str = "") -> str:
        """All text below elements of that class, or all that is neither style nor script."""
        return " ".join(t for (tag, c), t in self.texts if (c == css if css else tag not in ("style", "script")))

    def row(self, label: str) -> list[str]:
        """The cells of a setting, first of the table of values, then of that of costs."""
        names = (label, *(label + words for words in NAMES.values()))
        found = [r[1:] for r in self.rows if r and r[0] in names]
        return [label, *(cell for r in found for cell in r)]


def read(runs, tmp_path, **options) -> Page:
    return Page(page(runs, tmp_path, **options).read_text(encoding="utf-8"))


def four(**changes):
    return [
        fake(Centralized(), learn(30, 0.3, 0.97, 5, compute=0.3), **changes),
        fake(LocalOnly(), learn(30, 0.2, 0.71, 5, waiting=0.2), **changes),
        fake(SyncSGD(), learn(200, 0.1, 0.95, 30, up=3000, down=6000, wire=1.0, clock=0.3), **changes),
        fake(FedAvg(), learn(40, 0.2, 0.96, 5, up=3000, down=6000, epochs=5, wire=1.0, waiting=2.0), **changes),
    ]


def test_the_tables_numbers_are_those_of_the_runs(tmp_path):
    a = [record(1, 0.5, bytes_up=1000, bytes_down=500, epochs=5.0, virtual_s=2.0),
         record(2, 0.9, bytes_up=2000, bytes_down=1000, epochs=10.0, virtual_s=4.0),
         record(3, 0.88, bytes_up=3000, bytes_down=1500, epochs=15.0, virtual_s=6.0)]  # fmt: skip
    b = [record(10, 0.7, bytes_up=70_000, bytes_down=0, epochs=1.5, virtual_s=65.0)]
    p = read(
        [fake(FedAvg(), a), fake(SyncSGD(), b), fake(Centralized(), [record(4, 0.95, epochs=4.0)])],
        tmp_path,
        target=0.8,
    )
    assert p.rows[0][1:] == ["accuracy"]
    costs = next(i for i, r in enumerate(p.rows) if r[1:2] == ["rounds"])
    assert p.rows[costs][1:] == [
        "rounds",
        "sent up",
        "sent down",
        "local epochs",
        "virtual time",
        "to reach 80 %",
    ]
    assert p.rows[costs + 1] == ["rounds", "traffic", "epochs", "time"]
    # The numbers of a column have one unit, and as many decimals each.
    assert p.row("FedAvg")[1:] == ["88.0 %", "3", "3 kB", "1.5 kB", "15.0", "6 s", "2", "3 kB", "10", "4 s"]
    assert p.row("SyncSGD")[1:] == ["70.0 %", "10", "70 kB", "0 B", "1.5", "1 min 5 s", "–", "–", "–", "–"]
    assert p.row("Centralized")[7:] == ["4", "0 B", "4", "0 s"]


def test_verdict_tiles_and_target_are_on_the_page(tmp_path):
    p = read(four(), tmp_path)
    assert p.text("verdict") == (
        "Working together, FedAvg reached an accuracy of 96.0 %, each node alone 70.8 %, all data in one place 96.8 %. "
        "That is the highest of 2 programs. How much of a difference is chance these runs do not tell. It cost 40 kB "
        "up and 80 kB down per node, in 40 rounds and 40 s of virtual time."
    )
    assert p.text("more").startswith("To reach 91 %, FedAvg needed")
    assert "“To reach 91 %”" in p.text("small")
    # 40 rounds x (3000 + 6000) B over 3 nodes
    assert [t.strip() for (_, css), t in p.texts if css == "number"] == [
        "96.0",
        "+25.2",
        "\N{MINUS SIGN}0.8",
        "120",
        "40",
    ]


def test_bold_marks_the_federated_program_that_spent_least(tmp_path):
    fed = fake(FedAvg(), [record(2, 0.9, bytes_up=3000, epochs=10.0, virtual_s=4.0)])
    sync = fake(SyncSGD(), [record(9, 0.9, bytes_up=9000, epochs=8.0, virtual_s=4.0)])
    central = fake(Centralized(), [record(1, 0.9, epochs=1.0)])

    def bold(runs):
        html = page(runs, tmp_path, target=0.9).read_text(encoding="utf-8")
        return re.findall(r'<td role="cell" data-label="(\w+) [^"]*" class="[a-z ]*least">([^<]*)<', html)

    # Neither in time, which is equal, nor the baseline, which is no rival.
    found = [(head, n.replace("\N{NO-BREAK SPACE}", " ")) for head, n in bold([central, fed, sync])]
    assert sorted(found) == [("epochs", "8"), ("rounds", "2"), ("traffic", "3 kB")]
    assert bold([central, fed]) == []


def test_nothing_comes_from_outside(tmp_path):
    html = page(four(), tmp_path).read_text(encoding="utf-8")
    p = Page(html)
    assert not [a for a in p.attributes if a[1] in ("src", "href", "srcset", "data", "action", "xlink:href")]
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"https?:|//[a-z]", re.sub(r"^\s*//.*$|  //.*$", "", html, flags=re.M))
    assert not {tag for tag, _, _ in p.attributes} & {"link", "img", "iframe", "object", "embed"}


def test_the_policy_allows_our_script_only(tmp_path):
    html = page(four(), tmp_path).read_text(encoding="utf-8")
    [script] = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


@dataclass(frozen=True)
class Evil:
    name: str = "<script>alert(1)</script>"


def test_everything_is_escaped(tmp_path):
    evil = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
    on = EvaluatedOn(evil)
    runs = {evil: fake(Evil(), learn(5, 0.1, 0.9, 2, up=9), evaluated_on=on, status=evil, runtime=Evil())}
    runs[evil + "2"] = fake(FedAvg(), learn(5, 0.1, 0.9, 2, up=9))
    html = page(runs, tmp_path, title=evil, notes=[evil]).read_text(encoding="utf-8")
    p = Page(html)
    assert html.count("<script") == 1
    assert "<img" not in html
    assert not [a for a in p.attributes if a[1].startswith("on")]
    assert p.row(evil)[1] == p.row(evil + "2")[1].removesuffix(" *")
    assert evil in p.text("notes") or evil in p.text()


def test_levels_where_nothing_is_sent_and_curves_where_work_is_counted(tmp_path):
    html = page(four(), tmp_path).read_text(encoding="utf-8")
    by_name = dict(re.findall(r'aria-labelledby="(\w+)-t \w+-d">(.*?)</svg>', html, flags=re.S))
    assert set(by_name) == {"bytes", "rounds", "epochs", "time", "holds"}
    for name, levels in (("bytes", 2), ("rounds", 2), ("epochs", 0), ("time", 0)):
        assert len(re.findall(r'<line class="g\d line"', by_name[name])) == levels
        assert len(re.findall(r'<polyline class="g\d line"', by_name[name])) == 2 - levels
        assert len(re.findall(r'<polyline class="s\d line"', by_name[name])) == 2
        for label in ("Centralized", "LocalOnly", "SyncSGD", "FedAvg"):
            assert f">{label}</text>" in by_name[name]


def test_shares_of_time(tmp_path):
    run = fake(FedAvg(), [record(1, 0.5, bytes_up=1, compute_s=1.0, wire_s=2.0, waiting_s=5.0, virtual_s=4.0)])
    html = page(run, tmp_path).read_text(encoding="utf-8")
    widths = re.findall(r'<span class="(\w+)" style="width:([\d.]+)%">', html)
    assert widths == [("compute", "12.50"), ("wire", "25.00"), ("waiting", "62.50")]
    p = Page(html)
    assert "compute 12 %, wire 25 %, waiting 62 %" in p.text("shares")
    assert "Nodes of FedAvg spent 62 % of their time waiting for the slowest." in p.text()


def test_how_it_was_run(tmp_path):
    run = fake(FedAvg(rounds=3), [record(1, 0.5)], evaluated_on=EvaluatedOn("test"), objective="rows")
    said = read(run, tmp_path).text()
    for fact in (
        "FedAvg(rounds=3, lr=0.05)",
        "Simulation(workers=2, network='WAN')",
        run.sha256,
        "the test rows",
        "by their rows",
        "Python",
    ):
        assert fact in said


EMPTY = [
    [],
    [record(1, None)],
    [Record(1, accuracy=math.nan, loss=math.inf)],
    [record(0, 0.5)],
    [record(1, 0.5, bytes_up=10)],
    [record(0, 0.1), record(1, 0.5, bytes_up=10, epochs=1.0)],
    [record(1, 0.0, bytes_up=10), record(2, 0.0, bytes_up=20)],
    [record(1, 0.3, bytes_up=10, virtual_s=math.nan, compute_s=math.nan, epochs=math.nan)],
    [Record(1, loss=1.0, bytes_up=1), Record(2, loss=1e30, bytes_up=2), Record(3, loss=math.nan, bytes_up=3)],
    [Record(1, loss=-1.0, bytes_up=1), Record(2, loss=0.0, bytes_up=2)],
    [Record(1, auc=0.9, bytes_up=1)],
    [Record(1, train_loss=0.9, bytes_up=1)],
]


@pytest.mark.parametrize("history", EMPTY)
@pytest.mark.parametrize(
    "changes",
    [{}, {"label_counts": None}, {"sizes": [], "label_counts": None, "nodes": 0}, {"label_counts": [[], [], []]}],
)
def test_little_or_odd_history_still_makes_a_page(tmp_path, history, changes):
    both = [fake(FedAvg(), history, **changes), fake(Centralized(), history, **changes)]
    for runs in (both, both[0], both[1]):
        p = read(runs, tmp_path)
        assert p.text("verdict")
        assert "nan" not in p.text().lower().split()
        assert "None" not in p.text()
        assert len(p.row("FedAvg" if runs is not both[1] else "Centralized")) >= 6


def test_nothing_evaluated_says_so(tmp_path):
    p = read(fake(FedAvg(), [record(3, None, bytes_up=2000)], status="failed"), tmp_path)
    assert (
        p.text("verdict")
        == "Nothing was evaluated, so nothing can be said about quality. FedAvg spent 3 rounds and 2 kB."
    )
    assert p.text("trouble") == "FedAvg failed after 3 rounds."
    assert "chart" not in {v for _, k, v in p.attributes if k == "class"}


def test_ten_thousand_nodes_and_long_histories_stay_small(tmp_path):
    counts = [[(k * c) % 7 + 1 for c in range(62)] for k in range(10_000)]
    sizes = [sum(row) for row in counts]
    runs = [fake(f, learn(10_000, 0.1, 0.9, 500, up=10, down=10), sizes=sizes, label_counts=counts, nodes=10_000)
            for f in (FedAvg(), SyncSGD())]  # fmt: skip
    file = page(runs, tmp_path)
    assert file.stat().st_size < 250_000
    assert "60 of 10,000 nodes" in Page(file.read_text(encoding="utf-8")).text()


def holdings(run):
    split = of_run(run)
    return None if split is None else holdings_of(split)


def test_holdings_show_every_node_of_a_few():
    held = holdings(fake(FedAvg(), []))
    assert held is not None
    assert held.stacks == ((10, 0), (5, 15), (15, 15))
    assert held.groups == ("class 0", "class 1")
    assert held.tip(1) == "node 1: 20 rows; 15 of class 1, 5 of class 0"
    assert held.facts == (
        "Nodes hold 10 to 30 rows (median 20); the largest holds 3 times what the smallest does. The median node "
        "holds 2 of 2 classes, and its commonest class is 75 % of its rows (50 % in all data together). Class shares "
        "of nodes are on average 25 % away from those of all data (total variation: 0 % is the same mix, 100 % nothing "
        "in common)."
    )


def test_holdings_of_many_nodes_go_from_the_largest_to_the_smallest():
    held = holdings(fake(FedAvg(), [], sizes=list(range(1, 1001)), label_counts=None))
    assert held is not None
    assert len(held.nodes) == 60
    assert (held.stacks[0], held.stacks[-1]) == ((1000,), (1,))
    assert list(held.stacks) == sorted(held.stacks, reverse=True)


def test_holdings_of_many_classes_rank_them_per_node():
    held = holdings(fake(FedAvg(), [], sizes=[78, 12], label_counts=[list(range(13)), [1] * 12 + [0]]))
    assert held is not None
    assert held.groups is RANKS
    assert held.stacks == ((12, 11, 10, 9, 8, 28), (1, 1, 1, 1, 1, 7))


def test_a_folder_gets_report_html_and_a_file_its_name(tmp_path):
    run = fake(FedAvg(), [record(1, 0.5)])
    assert page(run, tmp_path / "new" / "folder") == tmp_path / "new" / "folder" / "report.html"
    assert page(run, str(tmp_path / "mine.html")) == tmp_path / "mine.html"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["mine.html", "new"]


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be written"):
        page(fake(FedAvg(), []), tmp_path / "file" / "report.html")


def test_a_bad_target_leaves_nothing_half_written(tmp_path):
    with pytest.raises(BadInput):
        page(fake(FedAvg(), [record(1, 0.5)]), tmp_path / "r.html", target=90)
    assert not list(tmp_path.iterdir())


def test_the_same_runs_make_the_same_page(tmp_path):
    assert page(four(), tmp_path / "a").read_bytes() == page(four(), tmp_path / "b").read_bytes()
