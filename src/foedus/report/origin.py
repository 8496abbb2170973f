"""How it was run: everything needed to repeat it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version

import torch

from foedus.report.markup import text
from foedus.report.summary import Comparison, Summary
from foedus.report.units import human_count, human_seconds
from foedus.report.verdict import plural


def origin(c: Comparison) -> str:
    """The section as HTML, one collapsible block a run."""
    versions = (("foedus", _foedus()), ("torch", torch.__version__), ("Python", platform.python_version()))
    return (
        '<h2>How it was run</h2><p class="lead">Everything needed to repeat it.</p>'
        f"{''.join(_block(s) for s in c.programs)}"
        f"<details><summary>Versions</summary>{_facts(versions)}</details>"
    )


def _block(s: Summary) -> str:
    run = s.run
    facts = _facts(
        (
            ("program", repr(run.program)),
            ("runtime", repr(run.runtime)),
            ("seed", str(run.seed)),
            ("nodes", f"{run.nodes:,}"),
            ("model", f"{run.vector.numel():,} float32 numbers"),
            ("SHA-256 of the model", run.sha256),
            ("evaluated on", str(run.evaluated_on)),
            ("messages", human_count(s.last.messages)),
            ("wall time", human_seconds(s.last.wall_s)),
        )
    )
    status = f'<span class="status">{escape(run.status)}, {text(plural(s.last.round, "round"))}</span>'
    return f"<details><summary>{escape(s.label)} {status}</summary>{facts}</details>"


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in pairs)
    return f'<dl class="facts">{rows}</dl>'


def _foedus() -> str:
    try:
        return version("foedus")
    except PackageNotFoundError:
        return "not installed"
