"""Tables of numbers and text: files of many formats, and what the nodes agree on to make numbers of them."""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.data.tables.agree import Preparation
    from foedus.data.tables.at_nodes import TableFile
    from foedus.data.tables.overview.guess import Look, look
    from foedus.data.tables.recipe import Recipe
    from foedus.data.tables.table import Table, csv, parquet

__all__ = ["Look", "Preparation", "Recipe", "Table", "TableFile", "csv", "look", "parquet"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.data.tables.agree": "Preparation",
        "foedus.data.tables.at_nodes": "TableFile",
        "foedus.data.tables.overview.guess": "Look look",
        "foedus.data.tables.recipe": "Recipe",
        "foedus.data.tables.table": "Table csv parquet",
    },
)
