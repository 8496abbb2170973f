"""How stale updates were: how many versions of the model a node missed while it computed, as a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from foedus.report.axis import steps
from foedus.report.looks import Style
from foedus.report.markup import text
from foedus.report.summary import Comparison, Summary
from foedus.report.units import percent, three_digits
from foedus.report.verdict import plural

_BARS = 48
_SHOWN = 0.95
_HEIGHT, _FLOOR = 52, 50


@dataclass(frozen=True, eq=False)
class Stale:
    """Stalenesses of one setting, over all its seeds: how many updates had each."""

    summary: Summary
    counts: Mapping[int, int]

    @property
    def updates(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Versions missed by an update."""
        return sum(k * n for k, n in self.counts.items()) / self.updates

    def quantile(self, share: float) -> int:
        """The least staleness that so large a share of updates does not exceed."""
        below = 0
        for k in sorted(self.counts):
            below += self.counts[k]
            if below >= share * self.updates:
                return k
        return max(self.counts)


def measured(c: Comparison) -> list[Stale]:
    """Of the settings drawn, those whose updates have a staleness."""
    found = []
    for s in c.shown:
        counts: Counter[int] = Counter()
        for run in s.runs:
            counts.update({int(k): n for k, n in (run.staleness or {}).items()})
        if counts.total():
            found.append(Stale(s, counts))
    return found


def staleness(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML; empty where no program is asynchronous."""
    found = measured(c)
    if not found:
        return ""
    # The tail is long and thin: the last bar holds all that is beyond.
    width = max(s.quantile(_SHOWN) for s in found) // _BARS + 1
    bars = max(min(s.quantile(_SHOWN), max(s.counts)) for s in found) // width + 1
    rows = "".join(_histogram(s, width, bars, looks[s.summary.label]) for s in found)
    ticks = "".join(
        f'<span style="left:{100 * (t + width / 2) / (width * bars):.1f}%">{t:,.0f}</span>'
        for t in (steps(0, width * bars, 5) if width * bars > 1 else (0.0,))
        if t == int(t) and t < width * bars
    )
    key = (
        '<li><svg class="mark" viewBox="0 0 12 12"><rect class="seen" x="1" y="2" width="10" height="10"/></svg>'
        "updates, by how many versions each had missed</li>"
        '<li><svg class="mark" viewBox="0 0 12 12"><line class="mean" x1="6" x2="6" y1="0" y2="12"/></svg>mean</li>'
    )
    beyond = any(max(s.counts) >= width * bars for s in found)
    caption = [
        sentence(found[0]),
        "Staleness counts the versions of the model that were published while a node computed.",
        "Each histogram is as high as its largest bar.",
        *(["The last bar holds all that is beyond it."] if beyond else []),
    ]
    return (
        f'<h2>How stale updates were</h2><figure><ul class="key">{key}</ul><div class="split strips">{rows}'
        f'<div></div><div class="ticks" aria-hidden="true">{ticks}</div></div>'
        f"<figcaption>{text(' '.join(caption))}</figcaption></figure>"
    )


def sentence(s: Stale) -> str:
    """What half of a setting's updates had missed."""
    middle = s.quantile(0.5)
    if not max(s.counts):
        return f"No update of {s.summary.label} was stale."
    if not middle:
        return f"At least half of the updates of {s.summary.label} had missed no version."
    return f"Half of the updates of {s.summary.label} had missed {plural(middle, 'version')} or fewer."


def _histogram(s: Stale, width: int, bars: int, look: Style) -> str:
    binned = Counter[int]()
    for k, n in s.counts.items():
        binned[min(k // width, bars - 1)] += n
    tallest = max(binned.values())
    drawn = []
    for i, n in sorted(binned.items()):
        first, last = i * width, (i + 1) * width - 1
        if i == bars - 1 and max(s.counts) > last:
            span = f"{first:,} or more"
        else:
            span = f"{first:,}" if width == 1 else f"{first:,} to {last:,}"
        tip = f"{span} {'version' if span == '1' else 'versions'} missed: {percent(n / s.updates, 1)} of updates"
        high = max(1.0, n / tallest * (_FLOOR - 4))
        drawn.append(
            f'<rect class="{look.css} seen tip" x="{100 * i / bars:.2f}%" width="{100 / bars:.2f}%" '
            f'y="{_FLOOR - high:.1f}" height="{high:.1f}"><title>{escape(tip)}</title></rect>'
        )
    mean = min(100.0, 100 * (s.mean + width / 2) / (width * bars))
    words = f"mean {three_digits(s.mean)}, largest {max(s.counts):,}; {percent(s.counts[0] / s.updates, 0)} fresh"
    label = escape(s.summary.label)
    small = f"<small>{text(plural(s.updates, 'update'))}</small>"
    return (
        f'<div class="label">{label} {small}</div><div><svg class="strip" height="{_HEIGHT}" role="img" '
        f'aria-label="{label}: {escape(words)}">{"".join(drawn)}'
        f'<line class="base" x1="0" x2="100%" y1="{_FLOOR}" y2="{_FLOOR}"/>'
        f'<line class="mean" x1="{mean:.1f}%" x2="{mean:.1f}%" y1="0" y2="{_HEIGHT}"/></svg>'
        f'<div class="shares">{text(words)}</div></div>'
    )
