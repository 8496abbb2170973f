"""Networks as ONNX files: another program gives the same answers, for any number of rows."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import foedus as fd
from foedus import models
from foedus.core.errors import BadInput
from foedus.models import to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

IMAGES = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NETWORKS = {
    "mlp": (lambda: models.mlp(5, 4, 3), torch.rand(7, 5), 1),
    "cnn": (models.cnn, IMAGES, 3),
    "resnet": (lambda: models.resnet(1, 4, width=4), IMAGES[:, :, :9, :11], 2),
    "char_lstm": (lambda: models.char_lstm(9, hidden=8), torch.arange(7 * 5).view(7, 5) % 9, 2),
}


def answer(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["x"]
    return torch.from_numpy(session.run(["y"], {"x": x.numpy()})[0])


def test_the_terminal_stays_quiet(tmp_path):
    # In a process of its own: torch's loggers hold on to the terminal they find at their start, and speak once.
    code = (
        "import sys, torch, foedus as fd\n"
        "class Branch(torch.nn.Module):\n"
        "    def forward(self, x): return x if float(x.sum()) > 0 else -x\n"
        "for name, module in [('good', torch.nn.Linear(3, 2)), ('bad', Branch())]:\n"
        "    try: fd.models.to_onnx(module, torch.rand(1, 3), sys.argv[1] + '/' + name)\n"
        "    except fd.BadInput: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert os.listdir(tmp_path) == ["good"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_answers_for_another_number_of_rows(tmp_path, name, capfd):
    make, x, example = NETWORKS[name]
    module = make()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_onnx(module, x[:example], path) == path
    assert "".join(capfd.readouterr()) == ""
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert module.training  # as it was
    model = fd.Model(module)
    x_seen = x.float() / 255 if x.dtype == torch.uint8 else x
    for rows in (1, 7):
        torch.testing.assert_close(answer(path, x_seen[:rows]), model.outputs(x[:rows]), rtol=0, atol=1e-5)


def test_dropout_is_gone_and_the_log_is_as_before(tmp_path):
    module, x = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)), torch.rand(4, 3)
    path = to_onnx(module, x, str(tmp_path / "m.onnx"))
    torch.testing.assert_close(answer(path, x), module.eval()(x), rtol=0, atol=1e-5)
    assert logging.getLogger("foedus").isEnabledFor(logging.WARNING)


class Branch(nn.Module):
    """Its path depends on the numbers: no fixed graph can say that."""

    def forward(self, x):
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize(
    ("module", "x", "name", "says"),
    [
        (nn.Linear(3, 2), torch.rand(2, 4), "m.onnx", r"cannot take the example of shape \(2, 4\)"),
        (nn.Linear(3, 2), torch.rand(0, 3), "m.onnx", "at least one row"),
        (nn.Linear(3, 2), [1.0], "m.onnx", "a tensor with at least one row"),
        (nn.Linear(3, 2), torch.rand(2, 3), "nowhere/m.onnx", "there is no folder .*nowhere"),
        (nn.Linear(3, 2), torch.rand(2, 3), ".", "is a folder: give the name of a file"),
        (Branch(), torch.rand(2, 3), "m.onnx", "cannot be exported to ONNX"),
        ("a", torch.rand(2, 3), "m.onnx", r"such as run\.model\(\), got a str"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(tmp_path, module, x, name, says, capfd):
    with pytest.raises(BadInput, match=says) as e:
        to_onnx(module, x, tmp_path / name)
    assert "\n" not in str(e.value)
    assert os.listdir(tmp_path) == []
    assert "".join(capfd.readouterr()) == ""


def test_without_the_extra_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # that is how Python marks what cannot be imported
    with pytest.raises(BadInput, match=r'needs onnxscript: pip install "foedus\[onnx\]"'):
        to_onnx(nn.Linear(3, 2), torch.rand(1, 3), tmp_path / "m.onnx")
