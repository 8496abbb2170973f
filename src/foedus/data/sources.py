"""Data sets by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, overload

from foedus.core.errors import BadInput, did_you_mean
from foedus.data.bundled import breast_cancer, diabetes, digits, iris, wine
from foedus.data.dataset import Dataset
from foedus.data.huggingface import huggingface
from foedus.data.idx import idx
from foedus.data.images import images
from foedus.data.leaf import leaf
from foedus.data.libsvm import libsvm
from foedus.data.map_style import torch_dataset
from foedus.data.npz import npz
from foedus.data.shakespeare import shakespeare
from foedus.data.synthetic import synthetic
from foedus.data.tables.table import Table, arff, arrow, csv, excel, jsonl, orc, parquet

SOURCES: dict[str, Callable[..., Dataset | Table]] = {
    "digits": digits,
    "breast-cancer": breast_cancer,
    "wine": wine,
    "iris": iris,
    "diabetes": diabetes,
    "synthetic": synthetic,
    "shakespeare": shakespeare,
    "idx": idx,
    "npz": npz,
    "csv": csv,
    "parquet": parquet,
    "excel": excel,
    "jsonl": jsonl,
    "arff": arff,
    "arrow": arrow,
    "orc": orc,
    "leaf": leaf,
    "libsvm": libsvm,
    "images": images,
    "huggingface": huggingface,
    "torch": torch_dataset,
}


@overload
def load(name: Literal["csv", "parquet", "excel", "jsonl", "arff", "arrow", "orc"], **options: Any) -> Table: ...
@overload
def load(name: str, **options: Any) -> Dataset: ...
def load(name: str, **options: Any) -> Dataset | Table:
    """The data set of this name; the options are those of its source (docs/data.md lists both).

    Errors: ``BadInput`` for a name or an option that does not exist, and whatever the source says of its files.

    >>> load("digits")
    Dataset('digits': 1,438 rows of (64,), 10 classes, 359 test rows)
    >>> load("digit")
    Traceback (most recent call last):
    foedus.core.errors.BadInput: unknown data set 'digit': did you mean 'digits'? There are: digits, breast-cancer, ...
    """
    source = SOURCES.get(name) if isinstance(name, str) else None
    if source is None:
        raise BadInput(f"unknown data set {name!r}: {did_you_mean(str(name), SOURCES)}There are: {', '.join(SOURCES)}")
    parameters = inspect.signature(source).parameters
    for option in options:
        if option not in parameters:
            raise BadInput(
                f"data set {name!r} has no option {option!r}: {did_you_mean(option, parameters)}"
                f"It takes: {', '.join(parameters)}"
            )
    for required, p in parameters.items():
        if p.default is p.empty and required not in options:
            raise BadInput(f"data set {name!r} needs the option {required}: load({name!r}, {required}=...)")
    return source(**options)
