"""Our counter of operations against torch's own."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import foedus as fd
from foedus.core.types.flops import count_flops


class Products(nn.Module):
    """Matrix products in all their spellings."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.randn(6, 5))

    def forward(self, x):
        y = x @ self.a
        y = torch.addmm(torch.zeros(5), y, torch.randn(5, 5))
        y = torch.matmul(y, torch.randn(5, 3)).mm(torch.randn(3, 4))
        return torch.bmm(y.view(1, *y.shape), torch.randn(1, 4, 2)).flatten(1)


MODELS = {
    "mlp": (lambda: fd.models.mlp(6, 8, 3), (2, 6)),
    "2NN": (fd.models.two_nn, (1, 784)),
    "CNN": (fd.models.cnn, (1, 784)),
    "ResNet-8": (fd.models.resnet, (2, 3, 16, 16)),
    "grouped, strided": (lambda: nn.Conv2d(4, 8, 3, stride=2, groups=2), (1, 4, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 5)),
    "products": (Products, (3, 6)),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_agrees_with_torch(name):
    make, shape = MODELS[name]
    module, x = make(), torch.randn(*shape)
    with torch.no_grad():
        ours = count_flops(lambda: module(x))
        with FlopCounterMode(display=False) as theirs:
            module(x)
    assert ours == theirs.get_total_flops() > 0


def test_a_recurrence_is_its_matrix_products():
    # One layer, 7 steps, batch of 2: W_ih is (4h, i), W_hh is (4h, h), applied to each of 14 vectors.
    lstm = nn.LSTM(input_size=3, hidden_size=5, batch_first=True)
    assert count_flops(lambda: lstm(torch.randn(2, 7, 3))) == 2 * 14 * (20 * 3 + 20 * 5)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrences_without_bias_and_of_packed_texts(kind, gates, bias):
    net = kind(3, 5, bias=bias)
    of_a_step = 2 * gates * 5 * (3 + 5)
    assert count_flops(lambda: net(torch.randn(7, 2, 3))) == 14 * of_a_step
    packed = nn.utils.rnn.pack_sequence([torch.randn(7, 3), torch.randn(4, 3)])
    assert count_flops(lambda: net(packed)) == 11 * of_a_step


def test_attention_is_two_products():
    q, k, v = (torch.randn(1, 2, n, 8) for n in (5, 9, 9))
    flops = count_flops(lambda: nn.functional.scaled_dot_product_attention(q, k, v))
    assert flops == 2 * (2 * 2 * 5 * 9 * 8)


def test_a_run_does_not_import_torchs_compiler():
    code = (
        "import sys, foedus as fd\n"
        "d = fd.data.load('digits').split(fd.data.IID(), nodes=2)\n"
        "fd.train(fd.FedAvg(rounds=1), fd.Model(fd.models.logistic(64, 10)), d)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
