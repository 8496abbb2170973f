"""Where the time went: compute, wire and waiting, as shares of node-seconds."""

from __future__ import annotations

from html import escape

from foedus.report.markup import text
from foedus.report.summary import TOGETHER, Comparison, Summary
from foedus.report.units import finite, human_seconds, percent, small
from foedus.report.verdict import time_shares

_DOING = {
    "compute": "computing",
    "serial": "packing and unpacking",
    "wire": "on the wire",
    "waiting": "waiting for the slowest",
}


def clock(c: Comparison) -> str:
    """The section as HTML."""
    there = {part for s in c.shown for part in time_shares(s.last) or ()}
    key = "".join(f'<li><i class="{part}"></i>{what}</li>' for part, what in _DOING.items() if part in there)
    kinds = sorted({"virtual" if s.last.virtual_s else "real" for s in c.shown}, reverse=True)
    caption = (
        "Node time is the sum over all nodes that took part: twenty nodes busy for one second make 20 s. Beside each "
        f"name stands the {' or '.join(kinds)} time from start to end."
    )
    return (
        f'<h2>Where the time went</h2><figure><ul class="key">{key}</ul><div class="split">'
        f"{''.join(_bar(s) for s in c.shown)}</div>"
        f"<figcaption>{text(' '.join([*_most(c), caption]))}</figcaption></figure>"
    )


def _bar(s: Summary) -> str:
    label = f'<div class="label">{escape(s.label)} <small>{text(human_seconds(s.last.clock_s))}</small></div>'
    shares = time_shares(s.last)
    if shares is None:
        return f'{label}<div class="shares">no time was charged</div>'
    words = ", ".join(f"{part} {small(x)}" for part, x in shares.items())
    r = s.last
    spent = sum(x for x in (r.compute_s, r.serial_s, r.wire_s, r.waiting_s) if finite(x))
    bars = "".join(f'<span class="{part}" style="width:{100 * x:.2f}%"></span>' for part, x in shares.items() if x > 0)
    of = f'<span class="of">of {text(human_seconds(spent))} node time</span>'
    return (
        f'{label}<div><div class="bar" role="img" aria-label="{escape(s.label)}: {words}">{bars}</div>'
        f'<div class="shares">{text(words)} {of}</div></div>'
    )


def _most(c: Comparison) -> list[str]:
    """What the nodes of each federated program did most of the time."""
    said = []
    for s in c.shown:
        shares = time_shares(s.last)
        if s.role == TOGETHER and shares is not None:
            part, share = max(shares.items(), key=lambda p: p[1])
            said.append(f"Nodes of {s.label} spent {percent(share, 0)} of their time {_DOING[part]}.")
    return said[:4]
