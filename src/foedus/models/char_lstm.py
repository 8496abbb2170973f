"""Networks that read characters.

Legend: N texts, T characters of each.
"""

from __future__ import annotations

from torch import Tensor, nn

from foedus.models.seeded import check_width, seeded


def char_lstm(classes: int = 80, *, embedding: int = 8, hidden: int = 256, layers: int = 2, seed: int = 0) -> nn.Module:
    """The next character, from those before it: integer tokens (N, T) to (N, classes) logits.

    ``classes`` is the size of the vocabulary (LEAF's Shakespeare has 80); tokens are 0 .. classes-1. An embedding of 8
    numbers, two LSTM layers of 256 units, and a linear layer on what they hold after the last character.
    Sources: McMahan et al., 2017, arXiv:1602.05629, section 3; Caldas et al., 2018, arXiv:1812.01097 (LEAF).

    With V characters it has 798,720 + 265 V parameters: torch's LSTM has two bias vectors a layer where one would do,
    2,048 more in all. McMahan et al. count 866,578 and do not say of how many characters; no V gives that here. 258
    characters (256 bytes and two marks), one bias vector, and an LSTM with peepholes (3 x 256 a layer) do.
    Errors: ``BadInput`` for a number below 1.

    >>> sum(p.numel() for p in char_lstm().parameters())
    819920
    """
    check_width("char_lstm: classes", classes)
    check_width("char_lstm: embedding", embedding)
    check_width("char_lstm: hidden", hidden)
    check_width("char_lstm: layers", layers)
    return seeded(lambda: _CharLSTM(classes, embedding, hidden, layers), seed)


class _CharLSTM(nn.Module):
    def __init__(self, classes: int, embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        held, _ = self.lstm(self.embedding(tokens))
        return self.head(held[:, -1])  # type: ignore[no-any-return]
