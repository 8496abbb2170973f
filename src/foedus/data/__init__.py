"""Whose data: sources of data sets, and the partitions that divide one among nodes."""

from foedus.core.data import FederatedDataset
from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays
from foedus.data.partitions import IID, Dirichlet, Natural, Partition, Replicated, Shards
from foedus.data.sources import load

__all__ = [
    "IID", "Dataset", "Dirichlet", "FederatedDataset", "Natural", "Partition", "Replicated", "Shards", "arrays", "load",
]  # fmt: skip
