"""History: the records of a run's commits, a list that a notebook shows as a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from foedus.core.cell import ends, framed, grid
from foedus.core.records.frame import frame

if TYPE_CHECKING:
    from foedus.core.records.run import Record

_APART = ("metrics", "suspects")
"""Fields that are no number."""

_SHOWN = ("loss", "accuracy", "auc", "rmse", "train_loss", "bytes_up", "bytes_down", "virtual_s", "wall_s")


class History(list["Record"]):
    """One ``Record`` a commit: a list like any other, that compares, pickles and concatenates as one.

    >>> from foedus import Record
    >>> h = History([Record(1, loss=0.5), Record(2, loss=0.25)])
    >>> h == list(h), h[-1].loss, [r.round for r in h[:1]]
    (True, 0.25, [1])
    """

    __slots__ = ()

    @overload
    def __getitem__(self, at: SupportsIndex) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> History: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Record | History:
        return History(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: a row a round, a column a number; those in ``metrics`` by their own names.

        Columns that no round has are left out. Errors: ``BadInput`` where there is no pandas.
        """
        rows = [{**asdict(r), **r.metrics} for r in self]
        names = dict.fromkeys(name for row in rows for name, x in row.items() if x is not None and name not in _APART)
        return frame([{name: row.get(name) for name in names} for row in rows], "round")

    def _repr_html_(self) -> str:
        # What is zero all along, such as virtual seconds on the real clock, is no news.
        names = [n for n in _SHOWN if any(getattr(r, n) for r in self)]
        rows = [[r.round, *(_short(getattr(r, n)) for n in names)] for r in self]
        return framed(grid(["round", *(n.replace("_", " ") for n in names)], ends(rows)))


def _short(x: float | None) -> str:
    return "" if x is None else f"{x:,}" if isinstance(x, int) else f"{x:.4g}"
