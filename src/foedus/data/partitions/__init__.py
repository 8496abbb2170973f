"""Partitions: how the rows of one data set are divided among nodes."""

from foedus.data.partitions.dirichlet import Dirichlet
from foedus.data.partitions.iid import IID
from foedus.data.partitions.natural import Natural
from foedus.data.partitions.partition import Partition
from foedus.data.partitions.replicated import Replicated
from foedus.data.partitions.shards import Shards

__all__ = ["IID", "Dirichlet", "Natural", "Partition", "Replicated", "Shards"]
