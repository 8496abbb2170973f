"""Whose data: sources of data sets, and the partitions that divide one among nodes."""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset
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

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.core.types.data": "FederatedDataset",
        "foedus.data.at_nodes": "AtNodes",
        "foedus.data.dataset": "Dataset",
        "foedus.data.from_arrays": "arrays",
        "foedus.data.joining": "Joining",
        "foedus.data.map_style": "torch_dataset",
        "foedus.data.noise": "feature_noise",
        "foedus.data.partitions": (
            "IID Dirichlet FeatureSkew LabelSkew Natural Partition QuantitySkew Replicated Shards"
        ),
        "foedus.data.sources": "load",
        "foedus.data.tables": "Table TableFile",
    },
)
