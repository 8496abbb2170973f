"""Every network: first weights from the seed alone, torch's generator untouched, bad widths named."""

import pytest
import torch

from foedus import models
from foedus.core.errors import BadInput
from foedus.core.model import Model

BUILDERS = {
    "linear": lambda **o: models.linear(4, **o),
    "logistic": lambda **o: models.logistic(4, 3, **o),
    "mlp": lambda **o: models.mlp(4, 8, 3, **o),
    "two_nn": lambda **o: models.two_nn(4, 3, **o),
    "cnn": lambda **o: models.cnn(**o),
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
