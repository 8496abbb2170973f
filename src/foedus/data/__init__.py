"""Whose data: sources of data sets, and the partitions that divide one among nodes."""

from foedus.core.data import FederatedDataset
from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays
from foedus.data.partitions import IID, Dirichlet, Natural, Partition, Shards
from foedus.data.sources import load
from foedus.data.tables import Table

__all__ = [
    "IID",
    "Dataset",
    "Dirichlet",
    "FederatedDataset",
    "Natural",
    "Partition",
    "Shards",
    "Table",
    "arrays",
    "load",
]
