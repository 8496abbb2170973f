"""Tables of numbers and text: CSV and Parquet files, and what the nodes agree on to make numbers of them."""

from foedus.data.tables.agree import Preparation
from foedus.data.tables.at_nodes import TableFile
from foedus.data.tables.look import Look, look
from foedus.data.tables.recipe import Recipe
from foedus.data.tables.table import Table, csv, parquet

__all__ = ["Look", "Preparation", "Recipe", "Table", "TableFile", "csv", "look", "parquet"]
