"""Residual networks for small images, with group norm.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from foedus.core.errors import BadInput
from foedus.models.seeded import check_width, image_shape, seeded


def resnet(
    channels: int | None = None,
    classes: int = 10,
    *,
    inputs: int | Sequence[int] | None = None,
    width: int = 16,
    blocks: int = 1,
    seed: int = 0,
) -> nn.Module:
    """A residual network of ``6 blocks + 2`` layers: images (N, channels, H, W), at least 8 x 8, to (N, classes).

    ``blocks`` 1, 2 and 3 are ResNet-8, -14 and -20. A 3x3 convolution, then three stages of that many blocks with
    ``width``, twice and four times as many channels, each stage at half the resolution of the one before, then the mean
    over the pixels and a linear layer. Shortcuts have no parameters. ``inputs`` is the shape of an image, (channels,
    height, width), or the number of pixels of a square grey image. It may stand for ``channels`` (3 where neither is
    given), and flat rows are then images too.

    It normalises within groups of an image's own channels instead of over the batch: what a batch norm learns of one
    node's mixture of classes is wrong at the next, and a row's output would depend on the other rows of its batch.
    Sources: He et al., 2015, arXiv:1512.03385, section 4.2; group norm: Wu and He, 2018, arXiv:1803.08494; why not
    batch norm on unequal nodes: Hsieh et al., 2020, arXiv:1910.00189, section 5.
    Errors: ``BadInput`` for a number below 1, a shape that is not that of an image, or channels given twice.

    >>> [sum(p.numel() for p in resnet(3, blocks=n).parameters()) for n in (1, 2, 3)]
    [75290, 172506, 269722]
    """
    image = None if inputs is None else image_shape("resnet: inputs", inputs, smallest=_SMALLEST)
    if image is not None:
        if channels not in (None, image[0]):
            raise BadInput(f"resnet: channels={channels!r}, but inputs has {image[0]}: give one of the two")
        channels = image[0]
    channels = check_width("resnet: channels", 3 if channels is None else channels)
    check_width("resnet: classes", classes)
    check_width("resnet: width", width)
    check_width("resnet: blocks", blocks)
    return seeded(lambda: _ResNet(channels, classes, width, blocks, image), seed)


_SMALLEST = 8


class _ResNet(nn.Module):
    def __init__(
        self, channels: int, classes: int, width: int, blocks: int, image: tuple[int, int, int] | None
    ) -> None:
        super().__init__()
        self.channels, self.image = channels, image
        self.stem = _conv(channels, width)
        self.norm = _norm(width)
        stages, before = [], width
        for stage in range(3):
            after = width * 2**stage
            stages.append(
                nn.Sequential(
                    *[_Block(before if i == 0 else after, after, halve=stage > 0 == i) for i in range(blocks)]
                )
            )
            before = after
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.image is not None and x.dim() == 2:
            x = x.unflatten(1, self.image)  # type: ignore[no-untyped-call]
        if x.dim() != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < _SMALLEST:
            raise BadInput(
                f"this resnet takes images (rows, {self.channels}, height, width) of at least "
                f"{_SMALLEST} x {_SMALLEST} pixels, got shape {tuple(x.shape)}"
            )
        y: Tensor = self.stages(F.relu(self.norm(self.stem(x))))
        return self.head(y.mean((2, 3)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two convolutions beside a shortcut: the identity; or every second pixel, with zeros for the new channels."""

    def __init__(self, before: int, after: int, halve: bool) -> None:
        super().__init__()
        self.step, self.new = (2 if halve else 1), after - before
        self.conv1, self.norm1 = _conv(before, after, self.step), _norm(after)
        self.conv2, self.norm2 = _conv(after, after), _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.new:
            x = F.pad(x[:, :, :: self.step, :: self.step], (0, 0, 0, 0, 0, self.new))
        return F.relu(x + y)


def _conv(before: int, after: int, step: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, stride=step, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # He et al., 2015, arXiv:1502.01852
    return conv


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)
