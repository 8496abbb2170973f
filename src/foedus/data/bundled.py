"""Data sets that come with scikit-learn: small, real, and there without a network. Its only import is in this file."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays


def digits(test: float | None = 0.2) -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, flat (64,), scaled to [0, 1]; ten classes.

    ``test`` is the fraction held out, always the same rows and in proportion to the classes, or None.
    Source: Alpaydin and Kaynak, 1998, UCI Optical Recognition of Handwritten Digits (its test part).
    """
    from sklearn.datasets import load_digits  # here, since it takes a second that other sources need not wait

    bunch = load_digits()
    data = arrays(bunch.data / 16.0, bunch.target, test=test, classes=10, name="digits")  # pixels count 0 .. 16
    return replace(data, class_names=tuple(str(n) for n in bunch.target_names))


def breast_cancer(test: float | None = 0.2) -> Dataset:
    """569 tumours by 30 measurements of their cell nuclei; label 0 is malignant, 1 benign.

    Every column is standardised by the mean and deviation of the training rows alone, so no test row leaks.
    ``test`` is the fraction held out, always the same rows and in proportion to the classes, or None.
    Source: Wolberg, Street and Mangasarian, 1995, UCI Breast Cancer Wisconsin (Diagnostic).
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    data = arrays(bunch.data, bunch.target, test=test, classes=2, name="breast-cancer")
    assert isinstance(data.x, Tensor)
    assert data.test_x is None or isinstance(data.test_x, Tensor)
    x = data.x.double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    return replace(
        data,
        x=((x - mean) / deviation).to(torch.float32),
        test_x=None if data.test_x is None else ((data.test_x.double() - mean) / deviation).to(torch.float32),
        class_names=tuple(str(n) for n in bunch.target_names),
    )
