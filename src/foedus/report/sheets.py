"""What the command line prints: one run, several side by side, and who holds what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from foedus.core.records.judged import in_words
from foedus.core.records.run import Record, Run
from foedus.report.by_node import FEW, by_node, explained, gain_of, listed, rows_of
from foedus.report.by_node import sentence as sentence_of_nodes
from foedus.report.goodness import guessing
from foedus.report.holdings import headline
from foedus.report.likeness import MARK, marks
from foedus.report.likeness import said as likeness
from foedus.report.networks import fit, network_grid, rest_is_on, sentence, signs
from foedus.report.nodes import fairness, of_all
from foedus.report.prepared import preparation
from foedus.report.race import TRAFFIC, WORK, race
from foedus.report.split import Split
from foedus.report.summary import TOGETHER, Comparison, Metric, Runs, Summary, compare, measures, time_head
from foedus.report.suspects import facts as suspects
from foedus.report.suspects import sentence as left_out
from foedus.report.terminal import NONE, Column, Facts, Grid, Sheet, Words, bar, sparkline
from foedus.report.units import (
    MISSING,
    bytes_column,
    counts_column,
    human_bytes,
    human_count,
    human_seconds,
    percent,
    seconds_column,
    three_digits,
)
from foedus.report.unused import unused
from foedus.report.values import column, covers, decimals, from_to, shown_metrics
from foedus.report.verdict import notices, plural, time_shares, troubles, verdict

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


_Write = Callable[[Sequence[float | None]], list[str]]

_CURVE, _BAR = 48, 12
MOST_NODES = 40
"""Nodes that are listed one by one; more are summed up."""


DOING = {"compute": "computing", "serial": "serialising", "wire": "on the wire", "waiting": "waiting"}
"""What the parts of node time are called."""


def show(run: Run) -> Sheet:
    """One run: what it is, its quality, what it cost, where the time went, and where its files are."""
    c = compare(run)
    [s] = c.programs
    head = (
        f"{s.label}: {run.status} after {plural(s.last.round, 'round')}, {plural(run.nodes, 'node')}, seed {run.seed}"
    )
    files: list[tuple[str, str]] = []
    if run.out is not None:
        files = [("folder", str(run.out))]
        if run.out.is_dir():
            names = sorted(f.name for f in run.out.iterdir() if not f.name.startswith("."))
            files.append(("files", ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")))
    what = [("program", repr(run.program)), ("runtime", repr(run.runtime)), ("evaluated on", str(run.evaluated_on))]
    if run.sizes:
        split = Split(tuple(run.sizes))
        what.append(("data", split.facts().rstrip(".")))
    return Sheet(
        (
            Words(head, "bold"),
            *(Words(t, "yellow") for t in notices(s)),
            Facts(tuple(_quality(c, s))),
            *_nodes(c),
            Facts(tuple(_costs(s))),
            Facts((*what, *files, ("SHA-256", run.sha256))),
        )
    )


def _quality(c: Comparison, s: Summary) -> list[tuple[str, str]]:
    metric = c.metric
    if metric is None or not s.values:
        return [("quality", "nothing was evaluated")]
    facts = [(m.label, _told(s, m)) for m in shown_metrics(c)]
    facts += [
        ("first", f"{metric.text(s.values[0])} in round {s.evaluated[0].round:,}"),
        ("curve", sparkline(s.values, _CURVE) if len(s.values) > 1 else ""),
        ("intervals", covers([s], metric)),
    ]
    facts += suspects(s.run)
    found = fairness([s])
    if found is not None:
        facts.append(("nodes", of_all(c, *found)))
    if (worth := guessing(c)) != "":
        facts.append(("baseline", worth.removeprefix("To compare with: ")))
    shown = [m.field for m in measures(s.runs)]
    own = [(name, value) for name, value in sorted(s.last.metrics.items()) if name not in shown]
    return facts + [(n.replace("_", " "), three_digits(v)) for n, v in own if not n.startswith("node_")]


def _told(s: Summary, metric: Metric) -> str:
    """A value with its interval and its round."""
    [told] = column([s], metric)
    judged = s.run.judged
    rounds = [s.evaluated[-1].round] if judged is None else judged.rounds
    around = told.few or (f"95 % interval {told.interval}" if told.interval else "")
    return f"{told.value} in {in_words(rounds)}{f' ({around})' if around else ''}"


def _costs(s: Summary) -> list[tuple[str, str]]:
    r, nodes = s.last, max(1, s.run.nodes)
    per_node = f" ({human_bytes(r.bytes_up / nodes)} up, {human_bytes(r.bytes_down / nodes)} down per node)"
    virtual = f"{human_seconds(r.virtual_s)} virtual, " if r.virtual_s or not r.serial_s else ""
    traffic = f"{human_bytes(r.bytes_up)} up, {human_bytes(r.bytes_down)} down"
    facts = [
        ("traffic", traffic + per_node if s.bytes else "nothing was sent"),
        ("messages", human_count(r.messages) if r.messages else ""),
        ("not used", unused(r)),
        ("work", f"{plural(r.epochs, 'local epoch')}"),
        ("time", f"{virtual}{human_seconds(r.wall_s)} on the clock"),
    ]
    shares = time_shares(r)
    if shares is not None:
        facts += [
            ("node time" if i == 0 else "", f"{percent(x, 0):>5} {DOING[part]:<11} {bar(x, 24)}".rstrip())
            for i, (part, x) in enumerate(shares.items())
        ]
    return facts


def comparison(runs: Runs, target: float | None = None) -> Sheet:
    """Settings side by side, each one run or several seeds, with the answer in words. ``target`` as in ``page``."""
    c = compare(runs, target)
    said = [verdict(c)]
    if len(c.with_role(TOGETHER)) > 1:
        said.append(race(c, TRAFFIC, WORK))
    words = [Words(" ".join(s for s in said if s)), *(Words(t, "yellow") for t in troubles(c))]
    words += [Words(f"{s.label}: {told}") for s in c.shown if (told := left_out(s.run))]
    alike = [Words(t, "yellow" if t.startswith(MARK) else "dim") for t in likeness(c)]
    return Sheet((*_networks(c), _table(c), *_about_values(c), *alike, *_nodes(c), *words))


def _networks(c: Comparison) -> list[Words | Grid]:
    f = fit(c)
    found: list[Words | Grid] = [] if f is None else [network_grid(f), Words(sentence(f), "bold")]
    notes = " ".join(n for n in ("" if f is None else signs(f), rest_is_on(c)) if n)
    return found + ([Words(notes, "dim")] if notes else [])


def _about_values(c: Comparison) -> list[Words]:
    """That numbers are means, and what intervals cover."""
    said = ["Numbers are means over seeds."] if any(s.n > 1 for s in c.programs) else []
    if c.metric is not None and (covered := covers(c.ranked, c.metric)):
        said.append(covered)
    return [Words(" ".join(said), "dim")] if said else []


def _table(c: Comparison) -> Grid:
    rows = c.ranked

    def cost(head: str, read: Callable[[Record], float], write: _Write, spare: int, to: bool = False) -> Column:
        records = [s.reached if to else s.last for s in rows]
        return Column(head, tuple(write([None if r is None else read(r) for r in records])), spare)

    columns = [Column("program", tuple(s.label for s in rows), left=True)]
    if any(s.n > 1 for s in rows):
        columns.append(Column("seeds", tuple(str(s.n) for s in rows), 7))
    for i, metric in enumerate(shown_metrics(c)):
        columns += _quality_of(c, metric, rows, i)
    columns += [
        cost("rounds", lambda r: r.round, counts_column, 2),
        cost("up", lambda r: r.bytes_up, bytes_column, 1),
        cost("down", lambda r: r.bytes_down, bytes_column, 5),
        cost("epochs", lambda r: r.epochs, counts_column, 8),
        cost(time_head(rows).replace(" ", "\n"), lambda r: r.clock_s, seconds_column, 3),
    ]
    if c.metric is not None and c.target is not None:
        goal = f"to {c.metric.target_text(c.target)}"
        columns.append(cost(f"{goal}\nrounds", lambda r: r.round, counts_column, 9, to=True))
        columns.append(cost(f"{goal}\ntraffic", lambda r: r.bytes_up + r.bytes_down, bytes_column, 4, to=True))
        columns.append(cost(f"{goal}\ntime", lambda r: r.clock_s, seconds_column, 10, to=True))
        if any(s.reached_by for s in rows):
            reached = (f"{len(s.reaching)} of {s.n}" for s in rows)
            columns.append(Column(f"{goal}\nseeds", tuple(reached), 6))
    return Grid(tuple(columns))


def _nodes(c: Comparison) -> list[Words | Grid]:
    """Every node by its name, and who gains; of many nodes those that have least."""
    found = by_node(c)
    if found is None:
        return []
    m, nodes = found.metric, listed(found)
    columns = [Column("node", tuple(n.name for n in nodes), left=True)]
    if any(n.rows is not None for n in nodes):
        columns.append(Column("rows", tuple(map(rows_of, nodes)), 3))
    few = any(n.few for n in nodes)
    for g in found.groups:
        own = decimals(m, [n.own.get(g) for n in nodes])
        signs = [f" {FEW}" if n.few else "  " if few else "" for n in nodes]
        columns.append(Column(f"{m.label}\n{g}", tuple(f"{v}{sign}" for v, sign in zip(own, signs, strict=True))))
    if found.gains:
        columns.append(Column("gain", tuple(gain_of(found, n, " *") for n in nodes), 1))
        if any(n.gain is not None for n in nodes):
            around = (MISSING if n.gain is None else from_to(m, n.gain, found.values) for n in nodes)
            columns.append(Column("95 %\ninterval", tuple(around), 2))
    for g in found.groups:
        if any(g in n.everybody for n in nodes):
            elsewhere = decimals(m, [n.everybody.get(g) for n in nodes])
            columns.append(Column(f"{g}, on\neverybody's", tuple(elsewhere), 4))
    return [
        Words("Every node:" if len(nodes) == len(found.nodes) else "Nodes:", "bold"),
        Grid(tuple(columns)),
        *(Words(w, style) for w, style in ((sentence_of_nodes(found), ""), (explained(found, "marked *"), "dim")) if w),
    ]


def _quality_of(c: Comparison, metric: Metric, rows: Sequence[Summary], place: int) -> list[Column]:
    """A metric's value, with signs at the one that is compared by, and its interval."""
    told = column(rows, metric)
    signs = marks(c, rows) if place == 0 else [""] * len(rows)
    values = Column(metric.label, tuple(f"{t.value}{m}" for t, m in zip(told, signs, strict=True)), 6 if place else 0)
    around = tuple(t.few or t.interval or MISSING for t in told)
    return [values, Column("95 %\ninterval", around, 12 if place else 0)] if {*around} != {MISSING} else [values]


def holdings_text(data: FederatedDataset) -> Sheet:
    """Who holds what: every node of up to 40, quantiles over the nodes of more."""
    from foedus.report.measured import of_data

    split = of_data(data)
    table = _listed(split) if len(split.sizes) <= MOST_NODES else _summed_up(split)
    agreed = preparation(data)
    lines = [] if agreed is None else _agreed(tuple(map(str, agreed.lines)))
    return Sheet((Words(headline(data, split), "bold"), Words(split.facts()), *table, *lines))


def _agreed(lines: tuple[str, ...]) -> list[Words | Facts | Grid]:
    more = [("", f"and {len(lines) - MOST_NODES:,} more")] if len(lines) > MOST_NODES else []
    listed = Facts((*(("-", line) for line in lines[:MOST_NODES]), *more))
    return [Words("How the table was prepared:"), listed]


def _listed(split: Split) -> list[Words | Facts | Grid]:
    nodes = range(len(split.sizes))
    top = max(split.sizes)
    columns = [
        Column("node", tuple(str(k) if split.names is None else split.names[k] for k in nodes), left=True),
        Column("rows", tuple(f"{n:,}" for n in split.sizes)),
        Column("", tuple(bar(n / top, _BAR) for n in split.sizes), 3, left=True),
    ]
    if split.holdout is not None:
        columns.insert(2, Column("held out", tuple(f"{n:,}" for n in split.holdout), 4))
    if split.counts:
        columns.append(Column("classes", tuple(str(n) for n in split.classes_held()), 2))
        if len(split.classes) <= 30:
            columns.append(Column("mix", tuple(map(_mix, split.counts)), 1, left=True))
        columns.append(Column("commonest", tuple(_commonest(split, k) for k in nodes), 5, left=True))
        columns.append(Column("from all", tuple(percent(d, 0) for d in split.distances()), 6))
    if split.targets is not None:
        columns += [
            Column(f"{head} target", tuple(three_digits(q[i]) for q in split.targets), spare)
            for head, i, spare in (("5 %", 0, 2), ("median", 2, 0), ("95 %", 4, 1))
        ]
    notes = []
    if split.counts and len(split.classes) <= 30:
        ends = f"{split.classes[0]} to {split.classes[-1]}"
        notes.append(Words(f"The mix is the rows of {ends}, from left to right, each node by itself.", "dim"))
    return [Grid(tuple(columns)), *notes]


def _mix(row: Sequence[int]) -> str:
    columns = sparkline(row, len(row), 0, max(row))
    return "".join(NONE if count == 0 else c for count, c in zip(row, columns, strict=True))


def _commonest(split: Split, k: int) -> str:
    row = (split.counts or ())[k]
    name = split.classes[row.index(max(row))]
    return f"{percent(max(row) / max(1, sum(row)), 0)} {name if len(name) <= 16 else name[:15] + '…'}"


def _summed_up(split: Split) -> list[Words | Facts | Grid]:
    measures: list[tuple[str, Sequence[float], Callable[[float], str]]] = [("rows", split.sizes, human_count)]
    if split.holdout is not None:
        measures.append(("rows held out", split.holdout, human_count))
    if split.counts:
        measures.append(("classes", split.classes_held(), three_digits))
        measures.append(("commonest class", split.commonest(), lambda x: percent(x, 0)))
        measures.append(("away from all data", split.distances(), lambda x: percent(x, 0)))
    if split.targets is not None:
        measures.append(("median target", [q[2] for q in split.targets], three_digits))
    rows = [(name, sorted(values), write) for name, values, write in measures]

    def at(values: Sequence[float], q: float) -> float:
        return values[round(q * (len(values) - 1))]

    columns = [Column("over the nodes", tuple(name for name, _, _ in rows), left=True)]
    columns += [
        Column(head, tuple(write(at(values, q)) for _, values, write in rows), spare)
        for head, q, spare in (("least", 0.0, 1), ("5 %", 0.05, 3), ("25 %", 0.25, 5), ("median", 0.5, 0),
                               ("75 %", 0.75, 6), ("95 %", 0.95, 4), ("most", 1.0, 2))
    ]  # fmt: skip
    columns.append(Column("mean", tuple(write(fmean(values)) for _, values, write in rows), 7))
    sizes = sorted(split.sizes, reverse=True)
    tenth, share = percent(0.1, 0), percent(sum(sizes[: max(1, len(sizes) // 10)]) / sum(sizes), 0)
    return [
        Grid(tuple(columns)),
        Facts(
            (
                ("sizes", sparkline(sizes, _CURVE, 0)),
                ("", f"from the largest node to the smallest; the largest {tenth} of nodes hold {share} of all rows"),
            )
        ),
    ]
