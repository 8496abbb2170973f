"""Answers that were not used, by why: late, refused, failed and lost are four different things."""

from __future__ import annotations

from foedus.core.records.run import Record
from foedus.report.units import human_count


def unused(r: Record) -> str:
    """What came of the jobs without an answer, up to this commit; empty if every answer was used.

    >>> unused(Record(1, late=45, refused=2)), unused(Record(1))
    ('45 late, 2 refused', '')
    """
    counts = {"late": r.late, "refused": r.refused, "failed": r.failed, "lost": r.lost}
    return ", ".join(f"{human_count(n)} {why}" for why, n in counts.items() if n)
