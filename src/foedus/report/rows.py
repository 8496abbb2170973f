"""How many rows are trained on and how many judge, of data that is divided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foedus.data.tables.overview.sizes import said

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


def rows_said(data: FederatedDataset) -> str:
    """One sentence: of so many rows, so many are trained on and so many judge, and whose those are."""
    tested = 0 if data.test_y is None else len(data.test_y)
    return said(sum(data.sizes), sum(data.holdout_sizes or ()), tested)
