"""Every node in numbers: what it has alone, together and with all data in one place, on its own rows and everybody's.

A gain is what a node has together beyond what it has alone, on the rows that it holds out. It is claimed only beyond an
interval that holds for all nodes at once; else of thirty nodes one or two would gain by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np

from foedus.core.records.run import Run
from foedus.core.words import sentence_list
from foedus.report.ends import LEVEL
from foedus.report.split import node_names
from foedus.report.summary import ALONE, POOLED, TOGETHER, Comparison, Metric, Summary, measures
from foedus.report.uncertainty import FEW_OF_A_CLASS, FEW_ROWS, TOO_FEW, Difference, Sampled, of_pairs
from foedus.report.units import MISSING, finite, human_count
from foedus.report.values import points, signed, value
from foedus.report.verdict import plural

LISTED = 5
"""Nodes that a sentence names, at most."""


@dataclass(frozen=True)
class Node:
    """One node; means over seeds. ``own`` and ``everybody`` are by group (``"alone"``, ``"together"``, ``"pooled"``),
    and None where it was not measured.

    ``rows``   that it holds out, or evaluates on; None where that is not known.   ``few``  too few of them to tell.
    ``own``    the metric of the model that it has, on its own rows.
    ``everybody``  that of its own model on everybody's rows; empty where all share one.
    ``gain``   by how much together is better than alone on its own rows (negative: worse), with its interval; None
               where nothing tells its spread.
    """

    name: str
    rows: float | None
    few: bool
    own: dict[str, float | None]
    everybody: dict[str, float | None]
    gain: Difference | None


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes in their order, by the metric that they were measured by first.

    ``groups``   the settings that stand for them, by group, in that order.
    ``all``      by group, how good it is on everybody's rows; ``where`` says which these are, by group.
    ``seed``     the only seed told, where the nodes are others with every seed.
    """

    metric: Metric
    groups: dict[str, Summary]
    nodes: tuple[Node, ...]
    all: dict[str, float | None]
    seed: int | None = None

    @property
    def gains(self) -> bool:
        """Whether some node has a value alone and together."""
        return any(n.own.get(ALONE) is not None and n.own.get(TOGETHER) is not None for n in self.nodes)

    @property
    def values(self) -> tuple[float | None, ...]:
        """All values of nodes on their own rows, whose decimals differences have too."""
        return tuple(v for n in self.nodes for v in n.own.values())

    @property
    def wider(self) -> float:
        """By how much an interval for all nodes at once is wider than one for each (Bonferroni)."""
        tested = max(1, sum(n.gain is not None and not n.few for n in self.nodes))
        tail = (1 - LEVEL) / 2
        return NormalDist().inv_cdf(1 - tail / tested) / NormalDist().inv_cdf(1 - tail)

    def told(self, n: Node) -> int:
        """1 if the node gains for sure, -1 if it loses, 0 if no difference can be told."""
        d = n.gain
        if d is None or n.few:
            return 0
        half = d.high - d.value if d.value < 0 else d.value - d.low
        sure = abs(d.value) > self.wider * half
        return 0 if not sure else 1 if d.value > 0 else -1


def node_values(run: Run, metric: Metric) -> list[tuple[int, float]]:
    """Node and value of the metric, of every node that has one, on its own rows."""
    return _known(run.node_metrics, metric)


def _known(found: dict[str, list[float | None]] | None, metric: Metric) -> list[tuple[int, float]]:
    values = (found or {}).get(metric.field) or ()
    return [(k, v) for k, x in enumerate(values) if (v := finite(x)) is not None]


def measured_at_nodes(settings: Sequence[Summary]) -> Metric | None:
    """The first metric by which any was evaluated at its nodes; None if none was."""
    found = measures(run for s in settings for run in s.runs)
    return next((m for m in found if any(node_values(run, m) for s in settings for run in s.runs)), None)


def by_node(c: Comparison) -> Nodes | None:
    """Every node of what stands for the groups; None where nothing was evaluated at the nodes."""
    groups = _groups(c)
    metric = measured_at_nodes(list(groups.values()))
    if metric is None:
        return None
    groups = {g: s for g, s in groups.items() if any(node_values(run, metric) for run in s.runs)}
    runs = {g: list(s.runs) for g, s in groups.items()}
    seed = None
    if not _same_nodes([run for some in runs.values() for run in some]):
        seed = min(run.seed for run in next(iter(runs.values())))
        runs = {g: [run for run in some if run.seed == seed] for g, some in runs.items()}
        groups = {g: s for g, s in groups.items() if runs[g]}
        runs = {g: some for g, some in runs.items() if some}
    count = max(len((run.node_metrics or {}).get(metric.field) or ()) for some in runs.values() for run in some)
    nodes = tuple(_node(k, metric, runs) for k in range(count))
    everywhere = {g: value(runs[g], metric) for g in runs}
    return Nodes(metric, groups, nodes, everywhere, seed)


def _groups(c: Comparison) -> dict[str, Summary]:
    """Alone, together and pooled; where nothing federated stands for all, the first setting that was measured."""
    found: dict[str, Summary] = {}
    alone, pooled = (next(iter(c.with_role(role)), None) for role in (ALONE, POOLED))
    together = c.chosen
    if together is None and alone is None and pooled is None:
        together = next((s for s in c.programs if any(run.node_metrics for run in s.runs)), None)
    for group, s in ((ALONE, alone), (TOGETHER, together), (POOLED, pooled)):
        if s is not None:
            found[group] = s
    return found


def _same_nodes(runs: Sequence[Run]) -> bool:
    """Whether a node is the same with every seed: by its name, or where there are none by its rows."""
    first = runs[0]
    if first.node_names is not None:
        return all(run.node_names == first.node_names for run in runs)
    return all(run.sizes == first.sizes for run in runs)


def _node(k: int, metric: Metric, runs: dict[str, list[Run]]) -> Node:
    every = [run for some in runs.values() for run in some]
    names = node_names(every[0])
    rows = [run.node_rows[k] for run in every if run.node_rows is not None and k < len(run.node_rows)]
    return Node(
        name=f"node {k}" if names is None else names[k],
        rows=fmean(rows) if rows else None,
        few=any(_few(run, k, metric) for run in every),
        own={g: _mean(some, k, metric, lambda run: run.node_metrics) for g, some in runs.items()},
        everybody={
            g: _mean(some, k, metric, lambda run: run.node_everybody)
            for g, some in runs.items()
            if any(run.node_everybody for run in some)
        },
        gain=_gain(k, metric, runs.get(TOGETHER, ()), runs.get(ALONE, ())),
    )


def _few(run: Run, k: int, metric: Metric) -> bool:
    """Fewer than 30 rows; for what compares classes, fewer than 10 of one."""
    rows, rarest = (None if v is None or k >= len(v) else v[k] for v in (run.node_rows, run.node_rarest))
    if metric.field.startswith("auc") and rarest is not None:
        return rarest < FEW_OF_A_CLASS
    return rows is not None and rows < FEW_ROWS


def _mean(
    runs: Sequence[Run], k: int, metric: Metric, read: Callable[[Run], dict[str, list[float | None]] | None]
) -> float | None:
    values = [dict(_known(read(run), metric)).get(k) for run in runs]
    known = [v for v in values if v is not None]
    return fmean(known) if known else None


def _gain(k: int, metric: Metric, together: Sequence[Run], alone: Sequence[Run]) -> Difference | None:
    """Paired by seed, and by row as far as it is known how these move the values."""
    ours, theirs = ({run.seed: s for run in runs if (s := _sampled(run, k, metric))} for runs in (together, alone))
    better, than = (ours, theirs) if metric.higher else (theirs, ours)
    pairs = [(better[seed], than[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    return of_pairs(pairs) if pairs else None


def _sampled(run: Run, k: int, metric: Metric) -> Sampled | None:
    at = dict(node_values(run, metric)).get(k)
    if at is None:
        return None
    moved = run.node_deviations[k].get(metric.field) if run.node_deviations and k < len(run.node_deviations) else None
    deviations = None if moved is None else np.frombuffer(moved, dtype="<f4").astype(np.float64)
    rows = run.node_rows[k] if run.node_rows is not None and k < len(run.node_rows) else None
    return Sampled(at, deviations) if rows is None else Sampled(at, deviations, float(rows))


def sentence(found: Nodes) -> str:
    """Who gains by working together and who loses, as far as intervals tell; empty where that was not compared."""
    if not found.gains:
        return ""
    m, nodes = found.metric, [n for n in found.nodes if n.own.get(ALONE) is not None]
    signs = {n.name: found.told(n) for n in nodes}
    gain, lose = ([n for n in nodes if signs[n.name] == sign] for sign in (1, -1))
    few = sum(n.few for n in nodes)
    if all(n.gain is None for n in nodes):
        return "Whether a node gains by working together these runs do not tell: nothing in them says what is chance."
    said = []
    if gain:
        verb = "gains on its own rows" if len(gain) == 1 else "gain on their own rows"
        said.append(f"{len(gain)} of {plural(len(nodes), 'node')} {verb}{_who(m, gain)}")
    if lose:
        of = "" if gain else f" of {plural(len(nodes), 'node')}"
        said.append(f"{len(lose)}{of} {'loses' if len(lose) == 1 else 'lose'}{_who(m, lose)}")
    rest = len(nodes) - len(gain) - len(lose)
    if not said:
        none = f"no difference between together and alone can be told on {'their' if rest > 1 else 'its'} own rows"
        said.append(f"Of {plural(rest, 'node')} {none}")
    elif rest:
        said.append(f"of {rest} no difference can be told")
    why = f" ({few} {'has' if few == 1 else 'have'} too few)" if few else ""
    return "; ".join(said) + why + "."


def _who(metric: Metric, nodes: Sequence[Node]) -> str:
    """The nodes by name, the largest difference first."""
    ordered = sorted(nodes, key=lambda n: -abs(n.gain.value) if n.gain else 0.0)
    named = [f"{n.name} {points(metric, n.gain.value)}" for n in ordered[:LISTED] if n.gain]
    more = [f"{len(nodes) - LISTED} others"] if len(nodes) > LISTED else []
    return f": {sentence_list([*named, *more])}"


MOST_ROWS, WORST = 30, 10
"""Nodes that have a row each in a table; of more, how many of the worst have one."""

FEW = "\N{DEGREE SIGN}"
"""Stands at a value that rests on too few rows to tell."""


def listed(found: Nodes) -> Sequence[Node]:
    """The nodes that a table lists: all in their order, or of many those that have least together."""
    if len(found.nodes) <= MOST_ROWS:
        return found.nodes
    group = TOGETHER if TOGETHER in found.groups else next(iter(found.groups))
    sign = 1.0 if found.metric.higher else -1.0
    known = [(n.few, sign * v, i, n) for i, n in enumerate(found.nodes) if (v := n.own.get(group)) is not None]
    return [n for *_, n in sorted(known, key=lambda k: k[:3])[:WORST]]


def called(group: str, s: Summary) -> str:
    """A group's word with the setting that stands for it: "together: FedAvg"."""
    return f"{group}: {s.label}"


def rows_of(n: Node) -> str:
    """How many rows a node measures on."""
    return MISSING if n.rows is None else human_count(round(n.rows))


def gain_of(found: Nodes, n: Node, sign: str = "") -> str:
    """By how much a node is better together than alone; with a sign where that may be claimed."""
    a, b = (n.own.get(g) for g in (TOGETHER, ALONE))
    if a is None or b is None:
        return MISSING
    gain = a - b if found.metric.higher else b - a
    return signed(found.metric, gain, found.values) + (sign if found.told(n) else " " * len(sign))


def explained(found: Nodes, bold: str = "bold") -> str:
    """What stands in a table of nodes, in sentences. ``bold``: how a gain stands that may be claimed."""
    m, shown = found.metric, listed(found)
    most = max(s.n for s in found.groups.values())
    said = []
    if len(shown) < len(found.nodes):
        said.append(f"These are the {len(shown)} of {len(found.nodes):,} nodes that have least.")
    said.append(f"On its own rows is {m.label} of the model that a node has, on what it holds out or else has.")
    if any(n.everybody for n in shown):
        said.append("On everybody's is that of the node's own model on the rows that all are measured on.")
    if found.seed is not None and most > 1:
        said.append(f"Nodes are those of seed {found.seed}: with every seed they are others.")
    elif most > 1:
        said.append("Numbers are means over seeds.")
    if any(n.gain is not None for n in shown):
        said.append(
            f"A gain is by how much together is better than alone, with its 95 % interval; it is {bold} where it is "
            "beyond one that holds for all nodes at once."
        )
    if any(n.few for n in shown):
        said.append(f"{FEW} is where {TOO_FEW}: fewer than {FEW_ROWS}, or than {FEW_OF_A_CLASS} of a class.")
    return " ".join(said)
