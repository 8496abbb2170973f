"""Who holds what: the rows of every class at every node, in a drawing that stays small for any number of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from foedus.core.run import Run
from foedus.report.figures import CLASS_COLORS, columns
from foedus.report.markup import text
from foedus.report.summary import POOLED, TOGETHER, Comparison
from foedus.report.units import human_count, percent, three_digits
from foedus.report.verdict import join

MOST_COLUMNS = 60
RANKS = ("commonest class", "2nd", "3rd", "4th", "5th", "other classes")


@dataclass(frozen=True)
class Holdings:
    """``stacks`` rows of each shown group at each shown node (n, G); ``groups`` the groups' names.

    ``nodes``  ids of the shown nodes.   ``chosen``  how they were chosen, empty if they are all.
    ``facts``  a sentence or two about all nodes.
    """

    nodes: tuple[int, ...]
    stacks: tuple[tuple[int, ...], ...]
    groups: tuple[str, ...]
    chosen: str
    facts: str

    @property
    def tallest(self) -> int:
        """Rows of the largest shown node."""
        return max((sum(s) for s in self.stacks), default=0)

    def tip(self, i: int) -> str:
        """What a reader sees on a column."""
        stack = self.stacks[i]
        held = ""
        if len(self.groups) > 1:
            most = sorted(((c, g) for c, g in zip(stack, self.groups, strict=True) if c > 0), reverse=True)[:4]
            held = "; " + ", ".join(f"{c:,} of {g}" for c, g in most) if most else ""
        return f"node {self.nodes[i]}: {human_count(sum(stack))} rows{held}"


def holdings(run: Run) -> Holdings | None:
    """Of one run, None where it does not know its nodes. Of more than 60 nodes 60 are shown, ordered by size."""
    sizes = run.sizes
    if not sizes:
        return None
    counts = run.label_counts
    if not counts or len(counts) != len(sizes) or not counts[0]:
        counts = None
    nodes, chosen = tuple(range(len(sizes))), ""
    if len(sizes) > MOST_COLUMNS:
        order = sorted(nodes, key=lambda k: (-sizes[k], k))
        nodes = tuple(order[i * (len(order) - 1) // (MOST_COLUMNS - 1)] for i in range(MOST_COLUMNS))
        chosen = f"{MOST_COLUMNS} of {len(sizes):,} nodes, evenly spaced from the largest to the smallest"
    if counts is None:
        return Holdings(nodes, tuple((sizes[k],) for k in nodes), ("rows",), chosen, _sizes(sizes))
    facts = f"{_sizes(sizes)} {_mix(counts)}".strip()
    classes = len(counts[0])
    if classes > CLASS_COLORS:
        # So many colours tell nothing apart; how uneven each node is can still be seen.
        facts += " There are too many classes for colours: these rank the classes of each node by itself."
        return Holdings(nodes, tuple(_ranked(counts[k]) for k in nodes), RANKS, chosen, facts)
    groups = tuple(f"class {k}" for k in range(classes))
    return Holdings(nodes, tuple(tuple(counts[k]) for k in nodes), groups, chosen, facts)


def _ranked(row: Sequence[int]) -> tuple[int, ...]:
    """Rows of a node's own commonest classes, then of all its others."""
    down = sorted(row, reverse=True)
    return (*down[: len(RANKS) - 1], sum(down[len(RANKS) - 1 :]))


def _sizes(sizes: Sequence[int]) -> str:
    low, middle, high = min(sizes), median(sizes), max(sizes)
    if low == high:
        return f"Every node holds {low:,} rows."
    largest = f"; the largest holds {three_digits(high / low)} times what the smallest does" if low > 0 else ""
    return f"Nodes hold {low:,} to {high:,} rows (median {human_count(middle)}){largest}."


def _mix(counts: Sequence[Sequence[int]]) -> str:
    present = [sum(c > 0 for c in row) for row in counts]
    commonest = [max(row) / sum(row) for row in counts if sum(row) > 0]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    if not commonest or not sum(totals):
        return ""
    everywhere = percent(max(totals) / sum(totals), 0)
    return (
        f"The median node holds {three_digits(median(present))} of {len(totals)} classes, and its commonest class is "
        f"{percent(median(commonest), 0)} of its rows ({everywhere} in all data together)."
    )


def who_holds_what(c: Comparison) -> str:
    """The section as HTML: the split of the first federated run, or of the first run there is."""
    known = sorted((s for s in c.programs if s.run.sizes), key=lambda s: s.role != TOGETHER)
    held = holdings(known[0].run) if known else None
    if held is None:
        return ""
    caption = held.facts
    if held.chosen:
        caption += f" Drawn are {held.chosen}."
    others = [s.label for s in known if s.role != POOLED and s.run.sizes != known[0].run.sizes]
    if others:
        caption += f" This is the split of {known[0].label}; {join(others)} ran on another."
    css = [f"c{i}" for i in range(len(held.groups))] if len(held.groups) > 1 else ["c2"]
    if held.groups is RANKS:
        css[-1] = "c9"
    key = "".join(f'<li><i class="{k}"></i>{text(g)}</li>' for k, g in zip(css, held.groups, strict=True))
    tips = [held.tip(i) for i in range(len(held.nodes))]
    drawn = columns(held.stacks, css, tips, name="holds", title="Rows of each class at each node", desc=held.facts)
    return (
        f'<h2>Who holds what</h2><figure><ul class="key">{key if len(css) > 1 else ""}</ul><div class="holds">'
        f'<span class="top">{text(human_count(held.tallest))} rows</span>{drawn}{_ids(held)}</div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _ids(held: Holdings) -> str:
    """Node ids below the columns; where these are ordered by size, what the ends are."""
    every = 1 if len(held.nodes) <= 24 else 5
    marks = [str(node) if node % every == 0 else "" for node in held.nodes]
    if held.chosen:
        marks = ["largest node", "smallest node"]
    css = "ids ends" if held.chosen else "ids"
    return f'<div class="{css}" aria-hidden="true">{"".join(f"<span>{m}</span>" for m in marks)}</div>'
