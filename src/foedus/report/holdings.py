"""Who holds what: the rows of every class at every node, in a drawing that stays small for any number of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from foedus.report.figures import CLASS_COLORS, columns, quantile_boxes
from foedus.report.markup import text
from foedus.report.rows import rows_said
from foedus.report.split import Split, of_run
from foedus.report.summary import POOLED, TOGETHER, Comparison
from foedus.report.units import human_count, percent, three_digits
from foedus.report.verdict import Tile, join, plural

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


MOST_COLUMNS = 60
RANKS = ("commonest class", "2nd", "3rd", "4th", "5th", "other classes")


@dataclass(frozen=True)
class Holdings:
    """What is drawn of a split. ``stacks``: rows of each shown group at each shown node (n, G).

    ``nodes``   positions of the shown nodes in the split.   ``groups``  the groups' names.
    ``chosen``  how they were chosen, empty if they are all.   ``facts``  a few sentences about all nodes.
    """

    split: Split
    nodes: tuple[int, ...]
    stacks: tuple[tuple[int, ...], ...]
    groups: tuple[str, ...]
    chosen: str
    facts: str

    @property
    def tallest(self) -> int:
        """Rows of the largest shown node."""
        return max((sum(s) for s in self.stacks), default=0)

    @property
    def css(self) -> tuple[str, ...]:
        """A class for every group, which is its colour."""
        if len(self.groups) == 1:
            return ("c2",)
        css = [f"c{i}" for i in range(len(self.groups))]
        return (*css[:-1], "c9") if self.groups is RANKS else tuple(css)

    def tip(self, i: int) -> str:
        """What a reader sees on a column."""
        stack = self.stacks[i]
        held = ""
        if len(self.groups) > 1:
            most = sorted(((c, g) for c, g in zip(stack, self.groups, strict=True) if c > 0), reverse=True)[:4]
            held = "; " + ", ".join(f"{c:,} of {g}" for c, g in most) if most else ""
        return f"{self.split.node(self.nodes[i])}: {human_count(sum(stack))} rows{held}"

    def target_tip(self, i: int) -> str:
        """What a reader sees on a box of targets."""
        assert self.split.targets is not None
        q = [three_digits(x) for x in self.split.targets[self.nodes[i]]]
        return (
            f"{self.split.node(self.nodes[i])}: median {q[2]}, half of its rows {q[1]} to {q[3]}, 90 % {q[0]} to {q[4]}"
        )


def holdings(split: Split) -> Holdings:
    """What to draw of a split. Of more than 60 nodes 60 are shown, ordered by size."""
    sizes, counts = split.sizes, split.counts
    nodes, chosen = tuple(range(len(sizes))), ""
    if len(sizes) > MOST_COLUMNS:
        order = sorted(nodes, key=lambda k: (-sizes[k], k))
        nodes = tuple(order[i * (len(order) - 1) // (MOST_COLUMNS - 1)] for i in range(MOST_COLUMNS))
        chosen = f"{MOST_COLUMNS} of {len(sizes):,} nodes, evenly spaced from the largest to the smallest"
    facts = split.facts()
    if not counts:
        return Holdings(split, nodes, tuple((sizes[k],) for k in nodes), ("rows",), chosen, facts)
    if len(split.classes) > CLASS_COLORS:
        # So many colours tell nothing apart; how uneven each node is can still be seen.
        facts += " There are too many classes for colours: these rank the classes of each node by itself."
        return Holdings(split, nodes, tuple(_ranked(counts[k]) for k in nodes), RANKS, chosen, facts)
    return Holdings(split, nodes, tuple(counts[k] for k in nodes), split.classes, chosen, facts)


def _ranked(row: Sequence[int]) -> tuple[int, ...]:
    """Rows of a node's own commonest classes, then of all its others."""
    down = sorted(row, reverse=True)
    return (*down[: len(RANKS) - 1], sum(down[len(RANKS) - 1 :]))


def who_holds_what(c: Comparison) -> str:
    """The section as HTML: the split of the first federated run, or of the first run there is."""
    known = sorted((s for s in c.programs if s.run.sizes), key=lambda s: s.role != TOGETHER)
    split = of_run(known[0].run) if known else None
    if split is None:
        return ""
    first = known[0].run
    notes = []
    if any(run.sizes != first.sizes for run in known[0].runs):
        notes.append(f"This is the split of seed {first.seed}; every seed has its own.")
    mine = {run.seed: run.sizes for run in known[0].runs}
    others = [
        s.label for s in known if s.role != POOLED and any(mine.get(run.seed, run.sizes) != run.sizes for run in s.runs)
    ]
    if others:
        notes.append(f"This is the split of {known[0].label}; {join(others)} ran on another.")
    return f"<h2>Who holds what</h2>{figure(holdings(split), notes)}"


def figure(held: Holdings, notes: Sequence[str] = ()) -> str:
    """The drawing with its key and caption, as HTML; for regression the targets below the rows."""
    caption = " ".join([held.facts, *([f"Drawn are {held.chosen}."] if held.chosen else []), *notes])
    key = "".join(f'<li><i class="{k}"></i>{text(g)}</li>' for k, g in zip(held.css, held.groups, strict=True))
    tips = [held.tip(i) for i in range(len(held.nodes))]
    drawn = columns(held.stacks, held.css, tips, name="holds", title="Rows at each node", desc=held.facts)
    targets = ""
    if held.split.targets is not None:
        boxes = [held.split.targets[k] for k in held.nodes]
        low, high = min(b[0] for b in boxes), max(b[-1] for b in boxes)
        tips = [held.target_tip(i) for i in range(len(held.nodes))]
        targets = (
            f'<div class="holds"><span class="top">target, {text(three_digits(low))} to {text(three_digits(high))}: '
            f"the median, half of the rows, and 90 % of them</span>"
            f"{quantile_boxes(boxes, tips, name='targets', title='Targets at each node', desc=held.facts)}"
            f"{_ids(held)}</div>"
        )
    return (
        f'<figure><ul class="key">{key if len(held.groups) > 1 else ""}</ul><div class="holds">'
        f'<span class="top">{text(human_count(held.tallest))} rows</span>{drawn}{_ids(held)}</div>{targets}'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _ids(held: Holdings) -> str:
    """Node ids below the columns; where these are ordered by size, what the ends are."""
    every = 1 if len(held.nodes) <= 24 else 5
    marks = [str(node) if node % every == 0 else "" for node in held.nodes]
    if held.split.names is not None and len(held.nodes) <= 12:
        marks = [held.split.node(node) for node in held.nodes]
    if held.chosen:
        marks = ["largest node", "smallest node"]
    css = "ids ends" if held.chosen else "ids"
    return f'<div class="{css}" aria-hidden="true">{"".join(f"<span>{text(m)}</span>" for m in marks)}</div>'


def headline(data: FederatedDataset, split: Split) -> str:
    """One sentence: how much data is divided among how many nodes, and how."""
    how = f" by {data.partition}" if data.partition else ""
    classes = f" of {len(split.classes)} classes" if split.classes else ""
    rows, nodes = f"{sum(split.sizes):,} rows{classes}", plural(len(split.sizes), "node")
    divided = f"{data.name}: {rows} at {nodes}, divided{how}."
    sentence = rows_said(data)
    return f"{divided} {sentence[0].upper()}{sentence[1:]}."


def split_tiles(split: Split) -> list[Tile]:
    """The big numbers of a split."""
    low, middle, high = min(split.sizes), median(split.sizes), max(split.sizes)
    made = [Tile(human_count(middle), "rows, the median node", f"{low:,} to {high:,}")]
    if split.counts:
        held = split.classes_held()
        made.append(
            Tile(
                three_digits(median(held)),
                "classes, the median node",
                f"{min(held)} to {max(held)} of {len(split.classes)}",
            )
        )
        made.append(
            Tile(percent(median(split.commonest()), 0), "of its rows are its commonest class", "the median node")
        )
        made.append(
            Tile(
                percent(fmean(split.distances()), 0),
                "away from the mix of all data",
                "total variation, mean over nodes",
            )
        )
    if split.targets is not None:
        middles = [q[2] for q in split.targets]
        made.append(Tile(three_digits(min(middles)), "lowest median target", f"highest {three_digits(max(middles))}"))
    if split.between is not None:
        made.append(Tile(percent(split.between, 0), "of the target's variance", "lies between nodes"))
    return made
