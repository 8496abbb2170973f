"""Convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from foedus.models.seeded import check_width, image_shape, seeded


def cnn(classes: int = 10, *, inputs: int | Sequence[int] = (1, 28, 28), seed: int = 0) -> nn.Module:
    """The CNN of the FedAvg paper: 28 x 28 grey images to (N, classes) logits; 1,663,370 parameters for ten classes.

    Two 5x5 convolutions with 32 and 64 channels (SAME padding), each with ReLU and 2x2 max pooling, then 512
    units with ReLU, then the classes. ``inputs`` is (channels, height, width), at least 4 x 4, or the number of
    pixels of a square grey image. It takes images flat (N, 784) or as (N, 1, 28, 28).
    Source: McMahan et al., 2017, arXiv:1602.05629, section 3. Errors: ``BadInput`` for fewer than one class or a
    shape that is not that of an image.

    >>> sum(p.numel() for p in cnn().parameters())
    1663370
    """
    check_width("cnn: classes", classes)
    channels, height, width = image_shape("cnn: inputs", inputs, smallest=4)
    return seeded(
        lambda: nn.Sequential(
            nn.Flatten(),  # with Unflatten: both shapes become one, and any other is an error, never a wrong batch
            nn.Unflatten(1, (channels, height, width)),
            nn.Conv2d(channels, 32, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 512),
            nn.ReLU(),
            nn.Linear(512, classes),
        ),
        seed,
    )
