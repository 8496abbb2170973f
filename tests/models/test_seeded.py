"""Every network: first weights from the seed alone, torch's generator untouched, bad widths named."""

import pytest
import torch

from foedus import models
from foedus.core.errors import BadInput
from foedus.core.types.model import Model

BUILDERS = {
    "linear": lambda **o: models.linear(4, **o),
    "logistic": lambda **o: models.logistic(4, 3, **o),
    "mlp": lambda **o: models.mlp(4, 8, 3, **o),
    "two_nn": lambda **o: models.two_nn(4, 3, **o),
    "cnn": lambda **o: models.cnn(**o),
    "resnet": lambda **o: models.resnet(width=4, **o),
    "char_lstm": lambda **o: models.char_lstm(5, hidden=4, **o),
}


def vector(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_weights_depend_on_the_seed_alone(build):
    torch.manual_seed(1)
    first = vector(build())
    torch.manual_seed(2)
    assert torch.equal(vector(build()), first)
    assert torch.equal(vector(build(seed=0)), first)
    other = vector(build(seed=1))
    assert not torch.equal(other, first)
    assert not (first == 0).all()


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_the_global_generator_is_left_alone(build):
    before = torch.get_rng_state()
    build(seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_it_is_a_plain_module_that_a_model_takes(build):
    module = build()
    assert Model(module).layout.size == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize("seed", [0.5, True, "0"])
def test_bad_seed(build, seed):
    with pytest.raises(BadInput, match=f"seed must be an integer, got {seed!r}"):
        build(seed=seed)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.linear(0), r"linear: inputs must be a positive integer, got 0"),
        (lambda: models.linear(3, -1), r"linear: outputs must be a positive integer, got -1"),
        (lambda: models.logistic(2.0, 3), r"logistic: inputs must be a positive integer, got 2\.0"),
        (lambda: models.logistic(2, 0), r"logistic: classes must be a positive integer, got 0"),
        (lambda: models.two_nn(inputs="784"), r"two_nn: inputs must be a positive integer, got '784'"),
        (lambda: models.two_nn(classes=True), r"two_nn: classes must be a positive integer, got True"),
        (lambda: models.cnn(0), r"cnn: classes must be a positive integer, got 0"),
        (lambda: models.cnn(inputs=(3, 2, 32)), r"cnn: inputs: images need at least 4 x 4 pixels, got 2 x 32"),
        (
            lambda: models.cnn(inputs=30),
            r"cnn: inputs: 30 pixels are no square grey image.*\(channels, height, width\)",
        ),
        (lambda: models.cnn(inputs=(28, 28)), r"cnn: inputs must be \(channels, height, width\).*got \(28, 28\)"),
        (lambda: models.cnn(inputs="784"), r"cnn: inputs must be \(channels, height, width\).*got '784'"),
        (lambda: models.cnn(inputs=-4), r"cnn: inputs: -4 pixels"),
        (lambda: models.cnn(inputs=(1, 28.0, 28)), r"cnn: inputs: height must be a positive integer, got 28\.0"),
        (lambda: models.resnet(0), r"resnet: channels must be a positive integer, got 0"),
        (lambda: models.resnet(3, 0), r"resnet: classes must be a positive integer, got 0"),
        (lambda: models.resnet(width=0), r"resnet: width must be a positive integer, got 0"),
        (lambda: models.resnet(blocks=1.5), r"resnet: blocks must be a positive integer, got 1\.5"),
        (lambda: models.resnet(inputs=(3, 7, 8)), r"resnet: inputs: images need at least 8 x 8 pixels, got 7 x 8"),
        (lambda: models.resnet(1, inputs=(3, 8, 8)), r"channels=1, but inputs has 3: give one"),
        (lambda: models.char_lstm(0), r"char_lstm: classes must be a positive integer, got 0"),
        (lambda: models.char_lstm(hidden=0), r"char_lstm: hidden must be a positive integer, got 0"),
        (lambda: models.char_lstm(layers=0), r"char_lstm: layers must be a positive integer, got 0"),
        (lambda: models.char_lstm(embedding="8"), r"char_lstm: embedding must be a positive integer, got '8'"),
        (lambda: models.mlp(inputs=4), r"mlp needs inputs and outputs beside hidden.*inputs 4, outputs None"),
        (lambda: models.mlp(hidden=[4]), r"mlp needs inputs and outputs beside hidden.*inputs None, outputs None"),
        (lambda: models.mlp(4, 2, hidden=[4]), r"mlp: give the widths once"),
        (lambda: models.mlp(widths=[4, 2], inputs=4, outputs=2), r"mlp: give the widths once"),
        (lambda: models.mlp(inputs=4, hidden=16, outputs=2), r"mlp: hidden must be a list such as .*, got 16"),
        (lambda: models.mlp(inputs=4, hidden=[0], outputs=2), r"mlp: width 1 must be a positive integer, got 0"),
        (lambda: models.mlp(inputs=(4,), outputs=2), r"mlp: width 0 must be a positive integer, got \(4,\)"),
        (lambda: models.mlp(64, 0, 10), r"mlp: width 1 must be a positive integer, got 0"),
        (lambda: models.mlp([64, 10]), r"mlp needs at least two widths"),
        (lambda: models.mlp(64), r"mlp needs at least two widths.*got \[64\]"),
        (lambda: models.mlp(), r"mlp needs at least two widths.*got \[\]"),
        (lambda: models.mlp(64, 10, widths=[64, 10]), r"mlp: give the widths once"),
        (lambda: models.mlp(widths=64), r"mlp: widths must be a list such as \[64, 32, 10\], got 64"),
    ],
)
def test_bad_widths(build, message):
    with pytest.raises(BadInput, match=message):
        build()
