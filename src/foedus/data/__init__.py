"""Whose data: sources of data sets, and the partitions that divide one among nodes."""

from foedus.core.data import FederatedDataset
from foedus.data.at_nodes import AtNodes
from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays
from foedus.data.joining import Joining
from foedus.data.map_style import torch_dataset
from foedus.data.noise import feature_noise
from foedus.data.partitions import (
    IID,
    Dirichlet,
    FeatureSkew,
    LabelSkew,
    Natural,
    Partition,
    QuantitySkew,
    Replicated,
    Shards,
)
from foedus.data.sources import load
from foedus.data.tables import Table, TableFile

__all__ = [
    "AtNodes", "Dataset", "Dirichlet", "FeatureSkew", "FederatedDataset", "IID", "Joining", "LabelSkew", "Natural",
    "Partition", "QuantitySkew", "Replicated", "Shards", "Table", "TableFile", "arrays", "feature_noise", "load",
    "torch_dataset",
]  # fmt: skip
