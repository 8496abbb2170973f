"""What was found, in sentences."""

from __future__ import annotations

from foedus.report.attack.found import CLEAN, PLANTED, Cell, Found
from foedus.report.units import percent, three_digits, times
from foedus.report.verdict import join, plural

_REFUSED = 4


def verdict(found: Found) -> str:
    """What the worst attack does to the program as it is, and which rule withstands all of them."""
    if found.metric is None or found.clean is None:
        return "No run with honest nodes was evaluated, so nothing can be said of attacks."
    return " ".join(s for s in (_undefended(found), _defended(found)) if s)


def _undefended(found: Found) -> str:
    p, m = found.plan, found.metric
    assert m is not None
    clean = f"{m.label} is {m.text(found.clean)} with honest nodes"
    who = f"{plural(p.dishonest, 'dishonest node')} of {p.nodes:,}"
    worst = found.worst(p.reference)
    if worst is None:
        return f"{m.title} is {m.text(found.clean)} with honest nodes and {p.reference}."
    can = (
        "cannot break" if found.holds(p.reference, worst) else f"{'is' if p.dishonest == 1 else 'are'} enough to break"
    )
    lowest = found.lowest(p.reference)
    both = lowest not in (None, worst) and not found.holds(p.reference, lowest or worst)
    first = f", {result(found, p.reference, lowest or worst)}" if both else ""
    return f"{who} {can} {p.reference}: {clean}{first}, and {result(found, p.reference, worst)}."


def _defended(found: Found) -> str:
    others = [r for r in found.plan.rules if r != found.plan.reference and found.under_attack(r)]
    if not others:
        return ""
    if found.holding:
        first, *more = found.holding
        worst = found.lowest(first)
        assert worst is not None
        also = f", and so {'does' if len(more) == 1 else 'do'} {join(more)}" if more else ""
        return (
            f"{first} stays within {distance(found)} of that under every attack, at worst "
            f"{told(found, found.cell(first, worst))} {under(worst)}{also}.{_price(found, first)}"
        )
    best = found.best
    worst = None if best is None else found.worst(best)
    if best is None or worst is None:
        return ""
    return (
        f"No rule stays within {distance(found)} of that under every attack; nearest comes {best}: "
        f"{result(found, best, worst)}."
    )


def result(found: Found, rule: str, attack: str) -> str:
    """What an attack makes of a rule, as the end of a sentence."""
    cell = found.cell(rule, attack)
    if cell.broken:
        some = "" if cell.broken == cell.runs else f" with {cell.broken} of {cell.runs} seeds"
        return f"it {'diverges' if cell.diverged else 'fails'} {under(attack)}{some}"
    if cell.open is not None and cell.open >= PLANTED and cell.open > (found.gap(cell.value) or 0.0):
        return f"{attack} plants a backdoor that opens for {percent(cell.open, 0)} of the rows with its trigger"
    return f"it is {told(found, cell)} {under(attack)}"


def under(attack: str) -> str:
    """What makes a rule's worst case what it is."""
    return "with honest nodes" if attack == CLEAN else f"under {attack}"


def told(found: Found, cell: Cell) -> str:
    """A cell in words: its value, or why there is none."""
    if cell.refused:
        return "refused"
    if cell.broken:
        return "diverged" if cell.diverged else "failed"
    return "not run" if found.metric is None or cell.value is None else found.metric.text(cell.value)


def distance(found: Found) -> str:
    """How far from clean a rule may be, in words."""
    within = found.plan.within
    if found.metric is not None and found.metric.share:
        return f"{three_digits(100 * within)} points"
    return three_digits(within) if found.metric is not None and found.bounded else percent(within, 0)


def _price(found: Found, rule: str) -> str:
    seconds, nbytes = found.price(rule)
    if seconds is None:
        return ""
    alike = nbytes is None or 0.95 < nbytes < 1.05
    sent = "sends as much" if alike else f"sends {three_digits(nbytes or 0.0)} times as much"
    if 0.87 < seconds < 1.15:
        return f" {rule} takes as long as {found.plan.reference}, and {sent}."
    return f" {rule} takes {times(seconds, 1.0)} as long as {found.plan.reference}, and {sent}."


def troubles(found: Found) -> list[str]:
    """A sentence for every rule that cannot be used, what ended runs of honest nodes, what is still to be run, and for
    every attack that does not fit the data.
    """
    refused = [f"{r} cannot be used: {why}" for r in found.plan.rules if (why := found.refused(r))]
    ended = [
        f"{rule}, {attack}: {'; '.join(cell.reasons)}"
        for (rule, attack), cell in found.cells.items()
        if cell.reasons and (cell.failed or attack == CLEAN)
    ]
    said = [_cut(some) for some in (refused, ended) if some]
    left = found.plan.runs - sum(c.runs + bool(c.refused) * len(found.plan.seeds) for c in found.cells.values())
    missing = [f"{plural(left, 'run')} of {found.plan.runs:,} are still to be made."] if left > 0 else []
    return [*(s for some in said for s in some), *missing, *found.plan.unfit]


def _cut(sentences: list[str]) -> list[str]:
    more = len(sentences) - _REFUSED
    return sentences if more <= 0 else [*sentences[:_REFUSED], f"and {more} more."]


def explained(found: Found, spread: bool = True) -> str:
    """What cells say; ``spread``: they have the deviation over seeds, too."""
    p, m = found.plan, found.metric
    if m is None:
        return ""
    around = " and standard deviation" if spread else ""
    means = f", mean{around} over {plural(len(p.seeds), 'seed')}" if len(p.seeds) > 1 else ""
    said = f"{m.title} when training is over{means}. A rule holds where it is within {distance(found)} of clean"
    if any(c.open is not None for c in found.cells.values()):
        said += f" and opens the backdoor for less than {percent(PLANTED, 0)} of the rows with its trigger"
    return (
        f"{said}; clean is {p.reference} with honest nodes. Rules are set to withstand {p.f} dishonest "
        f"{'node' if p.f == 1 else 'nodes'}, and {p.dishonest} of {p.nodes:,} are."
    )
