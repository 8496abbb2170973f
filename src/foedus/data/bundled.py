"""Data sets that come with scikit-learn: small, real, and there without a network. Its only import is in this file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays


def digits(test: float | None = 0.2, test_seed: int = 0) -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, flat (64,), scaled to [0, 1]; ten classes.

    ``test`` is the fraction held out, in proportion to the classes, or None; ``test_seed`` picks the draw.
    Source: Alpaydin and Kaynak, 1998, UCI Optical Recognition of Handwritten Digits (its test part).
    """
    bunch = _bunch("digits")
    data = arrays(
        bunch.data / 16.0, bunch.target, test=test, test_seed=test_seed, classes=10, name="digits"
    )  # pixels count 0 .. 16
    return replace(data, class_names=tuple(str(n) for n in bunch.target_names))


def breast_cancer(test: float | None = 0.2, test_seed: int = 0) -> Dataset:
    """569 tumours by 30 measurements of their cell nuclei; label 0 is malignant, 1 benign.

    Columns are standardised by the training rows alone; ``test`` as for ``digits``.
    Source: Wolberg, Street and Mangasarian, 1995, UCI Breast Cancer Wisconsin (Diagnostic).
    """
    return _labelled("breast_cancer", "breast-cancer", test, test_seed)


def wine(test: float | None = 0.2, test_seed: int = 0) -> Dataset:
    """178 wines of three growers by 13 chemical measurements; the label is the grower, 0 to 2.

    Columns are standardised by the training rows alone; ``test`` as for ``digits``.
    Source: Aeberhard and Forina, 1991, UCI Wine.
    """
    return _labelled("wine", "wine", test, test_seed)


def iris(test: float | None = 0.2, test_seed: int = 0) -> Dataset:
    """150 irises of three species by length and width of sepals and petals.

    Columns are standardised by the training rows alone; ``test`` as for ``digits``.
    Source: Fisher, 1936, UCI Iris.
    """
    return _labelled("iris", "iris", test, test_seed)


def diabetes(test: float | None = 0.2, test_seed: int = 0) -> Dataset:
    """442 patients by ten measurements; the target, 25 to 346, measures how the disease has progressed in a year.

    A regression. Columns are standardised by the training rows alone; the target (N,) keeps its units, so that the
    error of a model can be read in them (its mean is 152, its deviation 77). ``test`` is the fraction of rows held
    out, or None; ``test_seed`` picks the draw.
    Source: Efron et al., 2004, Least Angle Regression, Annals of Statistics 32(2).
    """
    bunch = _bunch("diabetes", scaled=False)  # scikit-learn's own scaling would look at the test rows
    return _named(
        standardised(arrays(bunch.data, bunch.target, test=test, test_seed=test_seed, name="diabetes")), bunch
    )


def standardised(data: Dataset) -> Dataset:
    """Every column less its mean and over its deviation, both those of the training rows alone: no test row leaks.

    A column that never varies becomes 0.
    """
    assert isinstance(data.x, Tensor)
    x = data.x.double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    deviation[deviation == 0] = 1.0

    def scaled(x: Tensor) -> Tensor:
        return ((x.double() - mean) / deviation).to(torch.float32)

    return replace(data, x=scaled(data.x), test_x=scaled(data.test_x) if isinstance(data.test_x, Tensor) else None)


def _labelled(loader: str, name: str, test: float | None, test_seed: int) -> Dataset:
    bunch = _bunch(loader)
    classes = len(bunch.target_names)
    data = standardised(arrays(bunch.data, bunch.target, test=test, test_seed=test_seed, classes=classes, name=name))
    return _named(replace(data, class_names=tuple(str(n) for n in bunch.target_names)), bunch)


def _named(data: Dataset, bunch: Any) -> Dataset:
    return replace(data, feature_names=tuple(str(n) for n in np.asarray(bunch.feature_names)))


def _bunch(name: str, **options: Any) -> Any:
    from sklearn import datasets  # here, since it takes a second that other sources need not wait

    return getattr(datasets, f"load_{name}")(**options)
