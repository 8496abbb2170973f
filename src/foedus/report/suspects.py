"""Suspects: which nodes a robust rule has left out, over the rounds of a run: drawn, in a sentence, and as numbers.

A rule that can tell says of each node and round which share of its update it left out, and how far off the update was
(``core.types.suspicion``). Who is dishonest nobody tells a rule; where the run was given an adversary, it is marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from foedus.core.records.run import Run
from foedus.core.words import sentence_list
from foedus.report.markup import text
from foedus.report.summary import Comparison, Summary
from foedus.report.units import finite, percent, three_digits
from foedus.report.verdict import plural

OUT = 0.5
"""A node of whose update a rule leaves out this share or more is said to be left out."""

ALL_NAMED, NAMED = 40, 24
"""So many nodes are drawn with their names, a line each; of more so many of the worst, and the others in bands."""

BANDS, STRIPES, SHADES = 40, 100, 8
"""Bands of nodes without names, stripes of rounds, and shades, at most."""

_SENTENCE = 4
"""Nodes that a sentence names."""

MARK = "\N{DAGGER}"
"""Stands behind the name of a node that was dishonest."""

_LINE, _BAND, _NAME, _WIDTH = 15, 5, 150, 640


@dataclass(frozen=True)
class Told:
    """What a rule has said of one node.

    ``left_out``  by round, the share of its update that was left out.   ``distance``  the median, see ``Suspect``.
    """

    node: int
    name: str
    left_out: dict[int, float]
    distance: float
    dishonest: bool

    @property
    def rounds(self) -> int:
        """In how many rounds it was judged."""
        return len(self.left_out)

    @property
    def out(self) -> int:
        """In how many it was left out."""
        return sum(share >= OUT for share in self.left_out.values())

    @property
    def mean(self) -> float:
        """Which share of its updates was left out."""
        return fmean(self.left_out.values())

    @property
    def fact(self) -> str:
        """All of it in a line."""
        who = ", dishonest" if self.dishonest else ""
        rounds = f"left out in {self.out} of {plural(self.rounds, 'round')}"
        return f"{self.name}{who}: {rounds}, {percent(self.mean, 0)} of its updates; {self.off}"

    @property
    def off(self) -> str:
        """How far off its updates were."""
        return "not finite" if math.isinf(self.distance) else f"{three_digits(self.distance)} times as far off as most"


def told(run: Run) -> list[Told]:
    """What was said of every node that was judged, the most suspicious first; empty without a rule that tells."""
    shares: dict[int, dict[int, float]] = {}
    for record in run.history:
        for node, (left_out, _) in record.suspects.items():
            shares.setdefault(node, {})[record.round] = left_out
    names, dishonest = run.node_names, frozenset(run.dishonest)
    return [Told(s.node, _name(s.node, names), shares[s.node], s.distance, s.node in dishonest) for s in run.suspects]


def _name(node: int, names: Sequence[str] | None) -> str:
    return f"node {node}" if names is None else names[node]


def sentence(run: Run) -> str:
    """Who was left out most: "node 3 was left out in 29 of 30 rounds"; empty where no rule tells."""
    nodes = told(run)
    if not nodes:
        return ""
    out = [n for n in nodes if 2 * n.out > n.rounds]
    if 2 * len(out) > len(nodes):  # a rule such as Krum, which takes one update, and suspects nobody by that
        far = max(nodes, key=lambda n: n.distance)
        return (
            f"The rule leaves out {len(out)} of {plural(len(nodes), 'node')} in most rounds, which says little of any; "
            f"{far.name} was farthest off: {far.off}."
        )
    known = _found_out(nodes, out)
    if not out:
        first = nodes[0]
        if first.mean == 0:
            return f"No node's update was left out of any round.{known}"
        return (
            f"No node was left out in most of its rounds; {first.name} was most: {percent(first.mean, 0)} of its "
            f"updates.{known}"
        )
    same = {(n.out, n.rounds) for n in out}
    names = [n.name for n in out]
    if len(names) > _SENTENCE:
        names = [*names[:_SENTENCE], f"{len(names) - _SENTENCE} others"]
    if len(same) == 1:
        how = f"in {_of(out[0])}"
    else:
        how = "in most rounds" if len(out) > _SENTENCE else f"in {sentence_list([_of(n) for n in out])}"
    return f"{_capital(sentence_list(names))} {'was' if len(out) == 1 else 'were'} left out {how}.{known}"


def _of(n: Told) -> str:
    return f"{n.out} of {plural(n.rounds, 'round')}" if n.out < n.rounds else f"all {plural(n.rounds, 'round')}"


def _found_out(nodes: Sequence[Told], out: Sequence[Told]) -> str:
    """How that fits with who was dishonest; empty where nobody was, or it is not known."""
    dishonest = [n for n in nodes if n.dishonest]
    if not dishonest:
        return ""
    hit = sum(n.dishonest for n in out)
    of = "the dishonest node" if len(dishonest) == 1 else f"the {len(dishonest)} dishonest nodes"
    if not hit:
        return f" Of {of} none stands out." if len(dishonest) > 1 else " The dishonest node does not stand out."
    innocent = len(out) - hit
    all_of_them = "" if len(dishonest) == 1 else "all of " if hit == len(dishonest) else f"{hit} of "
    begin = " That is " if len(out) == 1 else " These are "
    also = f", and {plural(innocent, 'honest node')}" if innocent else ""
    return f"{begin}{all_of_them}{of}{also}."


def _capital(s: str) -> str:
    return s[:1].upper() + s[1:] if s.startswith("node ") else s


def facts(run: Run) -> list[tuple[str, str]]:
    """What ``foedus show`` says: the sentence, and the worst nodes."""
    nodes = told(run)
    if not nodes:
        return []
    worst = [n for n in nodes if n.mean > 0][:_SENTENCE]
    lines = [f"{n.fact}{f' {MARK}' if n.dishonest else ''}" for n in worst]
    return [("suspects", sentence(run)), *(("", line) for line in lines)]


def as_json(run: Run) -> list[dict[str, object]] | None:
    """Every node that was judged, the most suspicious first; None where no rule tells. The distance of updates that are
    not finite is None.
    """
    nodes = told(run)
    if not nodes:
        return None
    return [
        {
            "node": n.node,
            "name": n.name,
            "rounds": n.rounds,
            "left_out_in": n.out,
            "left_out": n.mean,
            "distance": finite(n.distance),
            "dishonest": n.dishonest if run.dishonest else None,
            "by_round": {str(t): share for t, share in n.left_out.items()},
        }
        for n in nodes
    ]


# -- the page ----------------------------------------------------------------------------------------------------------


def suspects(c: Comparison) -> str:
    """The section as HTML: one figure for each setting whose rule tells, of its first seed; empty where none does."""
    some = [s for s in c.shown if told(s.run)]
    figures = "".join(_figure(s, i, len(c.programs) > 1) for i, s in enumerate(some))
    return f"<h2>Whom the rule left out</h2>{figures}" if some else ""


def _figure(s: Summary, place: int, several: bool) -> str:
    nodes = told(s.run)
    head = f"<h3>{text(s.label)}</h3>" if several else ""
    seed = f" This is seed {s.run.seed}." if s.n > 1 else ""
    marked = f" {MARK} was dishonest." if any(n.dishonest for n in nodes) else ""
    caption = (
        "One line a node, the most suspicious first, one stripe a round: the stronger the colour, the more of its "
        f"update was left out; blank where it was not asked.{_bands(nodes)}{marked}{seed}"
    )
    return (
        f'<figure>{head}<p class="lead">{text(sentence(s.run))}</p>{_drawing(nodes, f"suspects-{place}")}'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _bands(nodes: Sequence[Told]) -> str:
    if len(nodes) <= ALL_NAMED:
        return ""
    rest = len(nodes) - NAMED
    size = math.ceil(rest / BANDS)
    each = "a band each" if size == 1 else f"{size} to a band, which has the colour of their mean"
    return f" The {NAMED} most suspicious of {len(nodes):,} nodes have names; the others follow, {each}."


@dataclass(frozen=True)
class _Row:
    """A line of the drawing: one node with its name, or a band of several."""

    nodes: tuple[Told, ...]
    name: str
    height: int

    @property
    def tip(self) -> str:
        """What a reader sees on it."""
        first, last = self.nodes[0], self.nodes[-1]
        if len(self.nodes) == 1:
            return first.fact
        return (
            f"{len(self.nodes)} nodes, {first.name} to {last.name}: {percent(fmean(n.mean for n in self.nodes), 0)} of "
            "their updates left out"
        )

    def shares(self, stripes: Sequence[Sequence[int]]) -> list[float | None]:
        """What was left out in each stripe of rounds; None where none of its nodes was judged."""
        found = []
        for rounds in stripes:
            known = [n.left_out[t] for n in self.nodes for t in rounds if t in n.left_out]
            found.append(fmean(known) if known else None)
        return found


def _rows(nodes: Sequence[Told]) -> list[_Row]:
    few = len(nodes) <= ALL_NAMED
    named, rest = (nodes, ()) if few else (nodes[:NAMED], nodes[NAMED:])
    size = math.ceil(len(rest) / BANDS) or 1
    rows = [_Row((n,), n.name + (f" {MARK}" if n.dishonest else ""), _LINE) for n in named]
    return rows + [_Row(tuple(rest[i : i + size]), "", _BAND) for i in range(0, len(rest), size)]


def _stripes(nodes: Sequence[Told]) -> list[list[int]]:
    rounds = sorted({t for n in nodes for t in n.left_out})
    count = min(STRIPES, len(rounds))
    return [rounds[i * len(rounds) // count : (i + 1) * len(rounds) // count] for i in range(count)]


def _drawing(nodes: Sequence[Told], name: str) -> str:
    """An SVG; what is of one shade is one path, so that it stays small for any number of nodes and rounds."""
    rows, stripes = _rows(nodes), _stripes(nodes)
    edges = [_NAME + round((_WIDTH - _NAME) * i / len(stripes), 1) for i in range(len(stripes) + 1)]
    paths: dict[int, list[str]] = {}
    labels, tips, y = [], [], 0
    for row in rows:
        at = 0
        shades = [None if s is None else round(s * SHADES) for s in row.shares(stripes)]
        while at < len(shades):
            end = at + 1
            while end < len(shades) and shades[end] == shades[at]:  # neighbours of one shade are one piece
                end += 1
            if (shade := shades[at]) is not None:
                box = f"M{edges[at]:g} {y}H{edges[end]:g}v{row.height - 1}H{edges[at]:g}z"
                paths.setdefault(shade, []).append(box)
            at = end
        if row.name:
            labels.append(
                f'<text class="end{" lied" if row.nodes[0].dishonest else ""}" x="{_NAME - 6}" y="{y + _LINE - 4}">'
                f"{escape(_short(row.name))}</text>"
            )
        tips.append(
            f'<rect class="hit tip" x="0" y="{y}" width="{_WIDTH}" height="{row.height}">'
            f"<title>{escape(row.tip)}</title></rect>"
        )
        y += row.height
    drawn = "".join(
        f'<path class="out" style="--out:{shade / SHADES:g}" d="{"".join(boxes)}"/>'
        for shade, boxes in sorted(paths.items())
    )
    first, last = stripes[0][0], stripes[-1][-1]
    below = y + 14
    axis = (
        f'<text x="{_NAME}" y="{below}">round {first:,}</text>'
        f'<text class="end" x="{_WIDTH}" y="{below}">{last:,}</text>'
    )
    desc = "; ".join(row.tip for row in rows[:_SENTENCE])
    return (
        f'<svg class="suspects" viewBox="0 0 {_WIDTH} {y + 20}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">Whom the rule left out</title><desc id="{name}-d">{escape(desc)}</desc>'
        f"{drawn}{''.join(labels)}{axis}{''.join(tips)}</svg>"
    )


def _short(name: str, most: int = 24) -> str:
    """A name that fits beside the drawing; its mark stays."""
    if len(name) <= most:
        return name
    end = f" {MARK}" if name.endswith(f" {MARK}") else ""
    return f"{name[: most - len(end) - 1].rstrip()}…{end}"


__all__ = ["MARK", "as_json", "facts", "sentence", "suspects", "told"]
