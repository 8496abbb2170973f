"""Whether what is proposed can be read: the loader's own stages, on the sampled rows (all rows of a small table)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.tables.meant import meant
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.proposal import Note
from foedus.data.tables.overview.reading import as_said
from foedus.data.tables.typed import Place, kind_of, numbers, texts


def refused(features: Sequence[Column], options: Mapping[str, Any], place: Place) -> list[Note]:
    """What the loader will say of columns that it cannot read by these options; nothing where all is well."""
    reading = as_said(options)
    found = []
    for c in features:
        sampled = c.sampled
        where = place if sampled is None else lambda row, of=sampled: place(int(of[row]))
        try:
            cells = meant(c.name, c.sample, reading, where)
            if c.name in (options.get("text") or ()):
                texts(c.name, cells, where)
            elif c.name in (options.get("numeric") or ()):
                numbers(c.name, cells, where)
            else:
                kind_of(c.name, cells, where)
        except BadInput as e:
            found.append(Note("{0} cannot be read as it is: {1}", (c.name, str(e))))
    return found
