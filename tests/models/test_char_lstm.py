"""The next character from those before it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.types.model import Model
from foedus.models import char_lstm


def count(classes, embedding, hidden, layers, biases):
    gates = 4 * hidden
    lstm = sum(gates * ((embedding if i == 0 else hidden) + hidden + biases) for i in range(layers))
    return classes * embedding + lstm + (hidden + 1) * classes


@pytest.mark.parametrize(("classes", "embedding", "hidden", "layers"), [(80, 8, 256, 2), (90, 8, 256, 2), (5, 3, 4, 1)])
def test_parameters_by_the_formula(classes, embedding, hidden, layers):
    module = char_lstm(classes, embedding=embedding, hidden=hidden, layers=layers)
    assert sum(p.numel() for p in module.parameters()) == count(classes, embedding, hidden, layers, biases=2)


def test_the_sum_of_the_paper():
    # As the docstring says: torch's own count, and what is left of 866,578 is that of 258 characters and peepholes.
    assert count(80, 8, 256, 2, biases=2) == 798_720 + 265 * 80
    assert all(count(v, 8, 256, 2, biases=2) != 866_578 for v in range(1, 1000))
    assert count(258, 8, 256, 2, biases=1) + 2 * 3 * 256 == 866_578


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.sampled_from([torch.int64, torch.int32]))
def test_tokens_to_logits(rows, length, dtype):
    module = char_lstm(7, hidden=6)
    tokens = torch.arange(rows * length).view(rows, length).remainder(7).to(dtype)
    assert module(tokens).shape == (rows, 7)
    assert torch.equal(module(tokens), module(tokens.long()))


def test_every_character_counts_and_other_rows_do_not():
    module = char_lstm(7, hidden=6)
    tokens = torch.tensor([[1, 2, 3, 4]])
    out = module(tokens)
    for place in range(4):
        other = tokens.clone()
        other[0, place] = 6
        assert not torch.equal(module(other), out)
    torch.testing.assert_close(module(torch.tensor([[6, 6, 0, 0], [1, 2, 3, 4]]))[1:], out)


def test_its_operations_are_those_of_its_matrix_products():
    model = Model(char_lstm(80))
    x = torch.zeros(1, 20, dtype=torch.int64)
    assert model.flops(x) == 2 * (20 * 1024 * (8 + 3 * 256) + 256 * 80)
    assert model.classes(x) == 80
