"""How it was run: everything needed to repeat it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape

from foedus.core.records.origin import origin as now
from foedus.core.records.run import Run
from foedus.report.markup import text
from foedus.report.seeds import config_of, without_seed
from foedus.report.sendable import without_folder, without_places
from foedus.report.summary import MANY, Comparison, Summary
from foedus.report.units import human_count, human_seconds, three_digits
from foedus.report.unused import unused
from foedus.report.verdict import plural

_COUNT = {"rows": "by their rows", "nodes": "alike"}


def origin(c: Comparison) -> str:
    """The section as HTML, one collapsible block a setting, and what was the same for all runs: versions, machine."""
    origins = [origin_of(run) for s in c.everywhere for run in s.runs]
    shared = {name: said for name, said in origins[0].items() if all(o.get(name) == said for o in origins)}
    settings = c.everywhere if c.networks else c.ranked
    blocks = "".join(_block(s, shared) for s in settings)
    if len(settings) > MANY:
        blocks = f"<details><summary>All {len(settings):,} settings</summary>{blocks}</details>"
    versions = f"<details><summary>Versions</summary>{_facts(shared.items())}</details>" if shared else ""
    return f'<h2>How it was run</h2><p class="lead">Everything needed to repeat it.</p>{blocks}{versions}'


def origin_of(run: Run) -> dict[str, str]:
    """Versions and the like at the time of the run; of a run that does not say, those of this moment."""
    return run.origin or now()


def _block(s: Summary, shared: Mapping[str, str]) -> str:
    run = s.run
    pairs = [
        ("program", _each(repr(r.program) for r in s.runs)),
        ("runtime", _each(repr(r.runtime) for r in s.runs)),
        ("seed" if s.n == 1 else "seeds", ", ".join(str(r.seed) for r in s.runs)),
        ("nodes", f"{run.nodes:,}"),
        ("model", f"{len(run.vector):,} float32 numbers"),
        ("SHA-256 of the model", _each(r.sha256 for r in s.runs)),
        ("evaluated on", _each(str(r.evaluated_on) for r in s.runs)),
        *([("nodes count", _COUNT.get(run.objective, run.objective))] if run.objective else []),
        ("messages", human_count(s.last.messages)),
        *([("answers not used", unused(s.last))] if unused(s.last) else []),
        ("wall time", human_seconds(s.last.wall_s)),
    ]
    # What a program measures besides: its nodes' disagreement, the age of updates and the like.
    pairs += [
        (f"{name.replace('_', ' ')}, at the end", three_digits(value))
        for name, value in s.last.metrics.items()
        if not name.startswith("node_") and name not in {m.name for m in s.run.metrics}
    ]
    own = dict.fromkeys(name for r in s.runs for name in origin_of(r) if name not in shared)
    pairs += [(name, _each(origin_of(r).get(name, "not known") for r in s.runs)) for name in own]
    # Of files that differ in the seed only, the first.
    files = {without_seed(r): config_of(r) for r in reversed(s.runs) if config_of(r)}
    config = "".join(
        f"<details><summary>Settings file{'' if i == 0 else f' {i + 1}'}</summary>"
        f"<pre><code>{escape(without_places(without_folder(f)))}</code></pre></details>"
        for i, f in enumerate(reversed(files.values()))
    )
    ended = Counter(r.status for r in s.runs)
    how = s.run.status if len(ended) == 1 else ", ".join(f"{n} {status}" for status, n in ended.items())
    status = f'<span class="status">{escape(how)}, {text(plural(s.last.round, "round"))}</span>'
    return f"<details><summary>{escape(s.label)} {status}</summary>{_facts(pairs)}{config}</details>"


def _each(values: Iterable[str]) -> str:
    """Every different value once, in order, on a line of its own."""
    return "\n".join(dict.fromkeys(values))


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(without_places(v))}</code></dd>" for k, v in pairs)
    return f'<dl class="facts">{rows}</dl>'
