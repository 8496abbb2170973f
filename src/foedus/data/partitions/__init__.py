"""Partitions: how the rows of one data set are divided among nodes."""

from foedus.data.partitions.dirichlet import Dirichlet
from foedus.data.partitions.feature_skew import FeatureSkew
from foedus.data.partitions.iid import IID
from foedus.data.partitions.label_skew import LabelSkew
from foedus.data.partitions.natural import Natural
from foedus.data.partitions.partition import Partition
from foedus.data.partitions.quantity_skew import QuantitySkew
from foedus.data.partitions.replicated import Replicated
from foedus.data.partitions.shards import Shards

__all__ = [
    "Dirichlet", "FeatureSkew", "IID", "LabelSkew", "Natural", "Partition", "QuantitySkew", "Replicated", "Shards",
]  # fmt: skip
