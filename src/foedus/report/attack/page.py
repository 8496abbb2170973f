"""The page of an attack: one self-contained HTML file, whose middle is a table of rules and attacks, shaded by harm."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from foedus.report.attack.found import CLEAN, Cell, Found
from foedus.report.attack.show import parts, prices, value
from foedus.report.attack.verdict import distance, explained, told, troubles, under, verdict
from foedus.report.document import filled
from foedus.report.files import write_whole
from foedus.report.markup import text
from foedus.report.seeds import sd
from foedus.report.table import cell as table_cell
from foedus.report.table import head as table_head
from foedus.report.units import MISSING, percent, three_digits
from foedus.report.verdict import Tile, plural


def page(found: Found, path: str | Path) -> Path:
    """Write it and return its path, a file that ends in ``.html``. Errors: ``BadInput`` if it cannot be written."""
    return write_whole(Path(path), render(found).encode(), "the page")


def render(found: Found) -> str:
    """The page's HTML."""
    said = "".join(f'<p class="trouble">{text(s)}</p>' for s in troubles(found))
    return filled(
        title=f"{found.plan.name}: what dishonest nodes can do",
        verdict=verdict(found),
        more=said,
        tiles=_tiles(found),
        sections=[_harm(found), _prices(found), _how(found)],
        notes=(),
    )


def _tiles(found: Found) -> list[Tile]:
    p, m = found.plan, found.metric
    if m is None or found.clean is None:
        return []
    tiles = [Tile(m.text(found.clean), f"{m.label}, all nodes honest", p.reference)]
    for rule in dict.fromkeys([p.reference, (found.holding or (found.best,))[0]]):
        worst = None if rule is None else found.worst(rule)
        if rule is None or worst is None:
            continue
        cell = found.cell(rule, worst)
        if cell.open is not None and cell.open > (found.gap(cell.value) or 0.0):
            tiles.append(Tile(percent(cell.open, 0), f"of a backdoor's rows open it, {rule}", f"{worst}, its worst"))
        else:
            tiles.append(Tile(told(found, cell), f"{m.label} at worst, {rule}", under(worst)))
    held = len(found.holding)
    tried = sum(map(found.under_attack, p.rules))
    tiles.append(Tile(f"{held} of {tried}", "rules hold every attack", f"within {distance(found)} of clean"))
    tiles.append(Tile(f"{p.dishonest} of {p.nodes:,}", "nodes are dishonest", f"{plural(len(p.seeds), 'seed')}"))
    return tiles


def _harm(found: Found) -> str:
    top = "".join(f'<th scope="col">{_name(a)}</th>' for a in (*found.columns, "worst"))
    rows = "".join(_row(found, r) for r in found.plan.rules)
    key = (
        '<ul class="key"><li><i class="held"></i>holds</li><li><i class="harmed" style="--harm:.25"></i>'
        '<i class="harmed" style="--harm:.6"></i><i class="harmed" style="--harm:1"></i>'
        "the stronger the colour, the more is lost</li>"
        '<li><i class="off"></i>refused</li></ul>'
    )
    return (
        f"<h2>Attacks and rules</h2>{key}"
        f'<div class="wide"><table class="harm"><thead><tr><th scope="col" class="who">rule</th>{top}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="small">{text(explained(found))}</p>'
    )


def _row(found: Found, rule: str) -> str:
    worst = found.lowest(rule)
    cells = "".join(_shaded(found, rule, a) for a in found.columns)
    last = (
        f'<td class="none">{MISSING}</td>'
        if worst is None
        else _shaded(found, rule, worst, note=_name(worst), css="last")
    )
    return f'<tr><th scope="row" class="who">{_name(rule)}</th>{cells}{last}</tr>'


def _shaded(found: Found, rule: str, attack: str, note: str = "", css: str = "") -> str:
    cell = found.cell(rule, attack)
    if cell.refused or not cell.runs:
        kind = _classes("off" if cell.refused else "none", css)
        return f'<td{kind} title="{escape(cell.refused)}">{MISSING}</td>'
    held = found.holds(rule, attack)
    kind = _classes("" if attack == CLEAN and held else "held" if held else "harmed", css)
    shade = "" if held else f' style="--harm:{_shade(found.harm(rule, attack)):.2f}"'
    small = [s for s in (_spread(found, cell), _opens(cell)) if s] if not note else []
    below = "".join(f"<small>{s}</small>" for s in ([note] if note else map(text, small)))
    why = f' title="{escape("; ".join(cell.reasons))}"' if cell.reasons else ""
    return f"<td{kind}{shade}{why}><span>{text(value(found, cell))}</span>{below}</td>"


def _classes(*names: str) -> str:
    there = " ".join(filter(None, names))
    return f' class="{there}"' if there else ""


def _shade(harm: float) -> float:
    """From 0 to 1; a small loss can be seen."""
    return 1.0 if not math.isfinite(harm) else 0.15 + 0.85 * min(1.0, max(0.0, harm) / 0.8)


def _spread(found: Found, cell: Cell) -> str:
    if len(cell.values) < 2 or cell.broken or found.metric is None:
        return ""
    around = sd(cell.values)
    return f"± {100 * around:.1f}" if found.metric.share else f"± {three_digits(around)}"


def _opens(cell: Cell) -> str:
    return "" if cell.open is None else f"opens {percent(cell.open, 0)}"


def _name(name: str) -> str:
    """A name that may be broken between its words."""
    return "<wbr>".join(escape(part) for part in parts(name))


def _prices(found: Found) -> str:
    rules, columns = prices(found)
    if not rules:
        return ""
    named = [(h.replace("\n", " "), cells) for h, cells in columns]
    top = "".join(table_head(h) for h, _ in named)
    rows = "".join(
        f'<tr role="row"><th scope="row" class="who" role="rowheader" style="padding-left:0">{escape(r)}</th>'
        + "".join(table_cell(h, cells[i]) for h, cells in named)
        + "</tr>"
        for i, r in enumerate(rules)
    )
    several = ", the least over seeds" if len(found.plan.seeds) > 1 else ""
    lead = (
        f"Seconds and bytes of a run with honest nodes, beside those of {found.plan.reference}. Seconds are those of "
        f"this machine's clock{several}."
    )
    return (
        f'<h2>What a rule costs</h2><p class="lead">{text(lead)}</p><div class="scroll">'
        '<table class="compare tight fits values" role="table"><thead role="rowgroup">'
        f'<tr role="row">{table_head("rule", css="who")}{top}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table></div>'
    )


def _how(found: Found) -> str:
    p = found.plan
    pairs = [
        ("program", p.program),
        ("nodes", f"{p.nodes:,}, of which {p.dishonest} dishonest; rules are set to withstand f = {p.f}"),
        ("seeds", ", ".join(map(str, p.seeds))),
        *((name, p.settings.get(name, "")) for name in (*p.rules, *p.attacks)),
    ]
    said = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in pairs if v)
    return f'<h2>What was tried</h2><dl class="facts">{said}</dl>'
