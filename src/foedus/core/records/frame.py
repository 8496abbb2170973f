"""Frame: numbers of a run as a pandas data frame, for those who have pandas; foedus itself does without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foedus.core.errors import BadInput


def frame(rows: Sequence[dict[str, Any]], index: str) -> Any:
    """A ``pandas.DataFrame`` of rows with the same names, by the one that is its index.

    Errors: ``BadInput`` where there is no pandas.
    """
    try:
        import pandas
    except ImportError as e:
        raise BadInput("to_pandas needs pandas, which foedus itself does without: pip install pandas") from e
    return pandas.DataFrame(list(rows)).set_index(index) if rows else pandas.DataFrame()
