"""Linear models."""

from __future__ import annotations

from torch import nn

from foedus.models.seeded import check_width, seeded


def linear(inputs: int, outputs: int = 1, *, seed: int = 0) -> nn.Module:
    """Linear regression, for the loss ``mse``: (N, inputs) to (N, outputs), (inputs + 1) * outputs parameters.

    Errors: ``BadInput`` for a width below 1.

    >>> sum(p.numel() for p in linear(13).parameters())
    14
    """
    check_width("linear: inputs", inputs)
    check_width("linear: outputs", outputs)
    return seeded(lambda: nn.Linear(inputs, outputs), seed)


def logistic(inputs: int, classes: int, *, seed: int = 0) -> nn.Module:
    """Softmax regression, for the loss ``cross_entropy``: (N, inputs) to (N, classes) logits.

    ``classes=1`` gives one logit: with the loss ``bce`` that is binary logistic regression on labels 0 and 1.
    It has (inputs + 1) * classes parameters. Errors: ``BadInput`` for a width below 1.

    >>> sum(p.numel() for p in logistic(784, 10).parameters())
    7850
    """
    check_width("logistic: inputs", inputs)
    check_width("logistic: classes", classes)
    return seeded(lambda: nn.Linear(inputs, classes), seed)
