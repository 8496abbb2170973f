"""What the command line prints of an attack."""

from __future__ import annotations

from foedus.report.attack.found import CLEAN, Cell, Found
from foedus.report.attack.verdict import explained, troubles, verdict
from foedus.report.terminal import Column, Facts, Grid, Sheet, Words
from foedus.report.units import MISSING, bytes_column, percent, seconds_column, three_digits

_HELD = "*"
_BESIDE = 5
"""Attacks side by side, so that a table fits a terminal of 80 columns."""


def show(found: Found) -> Sheet:
    """The tables, what their signs mean, and the answer in words."""
    columns = [*((head(a), [_cell(found, r, a) for r in found.plan.rules]) for a in found.columns), _worst(found)]
    blocks: list[Words | Facts | Grid] = []
    for at in range(0, len(columns), _BESIDE):
        beside = columns[at : at + _BESIDE]
        rules = Column("rule", found.plan.rules, left=True)
        blocks.append(Grid((rules, *(Column(name, tuple(cells)) for name, cells in beside))))
    if found.metric is not None:
        blocks.append(Words(f"{explained(found, spread=False)} {_HELD} holds.", "dim"))
    if (planted := _planted(found)) is not None:
        blocks += [Words("For which share of the rows with its trigger a backdoor opens:", "bold"), planted]
    blocks += [_prices(found), Words(verdict(found)), *(Words(t, "yellow") for t in troubles(found))]
    return Sheet(tuple(blocks))


def _worst(found: Found) -> tuple[str, list[str]]:
    worst = [(r, found.lowest(r)) for r in found.plan.rules]
    return "worst", [MISSING if a is None else value(found, found.cell(r, a)) for r, a in worst]


def head(name: str) -> str:
    """A name of several words as a head of several lines, no wider than its cells if that can be."""
    words, line = [], ""
    for part in parts(name):
        if line and len(line) + len(part) > 9:
            words.append(line)
            line = ""
        line += part
    return "\n".join([*words, line])


def parts(name: str) -> list[str]:
    """The words of a name.

    >>> parts("ModelReplacement"), parts("IPM"), parts("NNM(TrimmedMean)"), parts("mine:x_y")
    (['Model', 'Replacement'], ['IPM'], ['NNM', '(Trimmed', 'Mean)'], ['mine:x_y'])
    """
    found = [""]
    for i, c in enumerate(name):
        starts = c.isupper() and i > 0 and (name[i - 1].islower() or name[i - 1] == ")")
        if (starts or c == "(") and found[-1] not in ("", "("):
            found.append("")
        found[-1] += c
    return found


def _cell(found: Found, rule: str, attack: str) -> str:
    cell = found.cell(rule, attack)
    held = found.holds(rule, attack) and attack != CLEAN
    return value(found, cell) + (f" {_HELD}" if held else "  ")


def value(found: Found, cell: Cell) -> str:
    """A cell's value, or in a word why there is none."""
    if cell.refused:
        return "refused"
    if cell.broken:
        word = "diverged" if cell.diverged else "failed"
        return word if cell.broken == cell.runs else f"{cell.broken}/{cell.runs} {word}"
    if not cell.values or found.metric is None:
        return MISSING
    shown = found.metric.text(cell.value)
    return shown.removesuffix(" %") if found.metric.share else shown


def _planted(found: Found) -> Grid | None:
    attacks = [a for a in found.plan.attacks if any(found.cell(r, a).open is not None for r in found.plan.rules)]
    if not attacks:
        return None
    rules = [r for r in found.plan.rules if any(found.cell(r, a).open is not None for a in attacks)]
    columns = [Column("rule", tuple(rules), left=True)]
    for a in attacks:
        columns.append(Column(head(a), tuple(percent(found.cell(r, a).open) for r in rules)))
    return Grid(tuple(columns))


def _prices(found: Found) -> Grid:
    """What rules cost while all nodes are honest."""
    names, columns = prices(found)
    return Grid((Column("with honest\nnodes", names, left=True), *(Column(head, cells) for head, cells in columns)))


def prices(found: Found) -> tuple[tuple[str, ...], list[tuple[str, tuple[str, ...]]]]:
    """The rules that were run with honest nodes; and what each cost, in columns with heads of two lines."""
    costs = {r: c for r in found.plan.rules if (c := found.cell(r, CLEAN).costs) is not None}
    times = [found.price(r) for r in costs]
    return tuple(costs), [
        ("seconds\na run", tuple(seconds_column([s for s, _ in costs.values()]))),
        ("times\nclean", tuple(MISSING if s is None else three_digits(s) for s, _ in times)),
        ("bytes\na run", tuple(bytes_column([b for _, b in costs.values()]))),
        ("times\nclean", tuple(MISSING if b is None else three_digits(b) for _, b in times)),
    ]
