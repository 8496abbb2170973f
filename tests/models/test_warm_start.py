"""First weights from a file or a state dict."""

import logging
import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.errors import BadInput
from foedus.models import mlp, resnet, warm_start


def normed():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def state(module):
    return {name: t.detach().clone() for name, t in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(t, b[name]) for name, t in a.items()) and a.keys() == b.keys()


@pytest.fixture
def trained():
    module = normed()
    module(torch.randn(9, 4))  # moves the statistics and counts the batch
    return state(module)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".SafeTensors", "in memory"])
def test_from_every_source_to_the_bit(tmp_path, trained, suffix):
    source = trained
    if suffix != "in memory":
        source = tmp_path / f"model{suffix}"
        (safetensors.torch.save_file if suffix.lower() == ".safetensors" else torch.save)(trained, source)
    module = normed()
    assert warm_start(module, source) is module
    assert same(state(module), trained)
    assert int(module[1].num_batches_tracked) == 1
    assert all(p.requires_grad for p in module.parameters())
    assert same(state(fd.Model(module).module), trained)
    assert same(state(warm_start(normed(), source if suffix == "in memory" else str(source))), trained)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4), st.sampled_from([torch.float16, torch.bfloat16, torch.float64])
)
def test_numbers_of_another_width_are_converted(widths, dtype):
    source = {name: t.to(dtype) for name, t in state(mlp(*widths, seed=1)).items()}
    module = warm_start(mlp(*widths), source)
    assert same(state(module), {name: t.float() for name, t in source.items()})


def test_the_source_is_copied(trained):
    module = warm_start(normed(), trained)
    trained["0.weight"].zero_()
    assert module[0].weight.abs().sum() > 0


def wrong(trained):
    return {
        "0.weight": trained["0.weight"],
        "0.bais": trained["0.bias"],
        "1.num_batches_tracked": torch.tensor(1.5),
        "2.weight": torch.zeros(2, 4),
        "extra": torch.zeros(1),
    }


WRONG = [
    "missing: 0.bias, 1.weight, 1.bias, 1.running_mean, 1.running_var, 2.bias;",
    "unexpected: 0.bais (did you mean '0.bias'?), extra;",
    "of another shape: 1.num_batches_tracked is () float32, must be () int64, "
    "2.weight is (2, 4) float32, must be (2, 3) float32",
]


def test_all_that_does_not_fit_is_said_at_once_and_nothing_is_taken(trained):
    module = normed()
    before = state(module)
    with pytest.raises(BadInput, match=r"strict=False\) takes what fits") as e:
        warm_start(module, wrong(trained))
    for said in WRONG:
        assert said in str(e.value)
    assert "\n" not in str(e.value)
    assert same(state(module), before)


def test_not_strict_takes_what_fits_and_says_what_it_left(trained, caplog):
    module = normed()
    before = state(module)
    with caplog.at_level(logging.WARNING, "foedus"):
        assert warm_start(module, wrong(trained), strict=False) is module
    assert same(state(module), before | {"0.weight": trained["0.weight"]})
    assert "took 1 of the module's 9 tensors" in caplog.text
    assert all(said in caplog.text for said in WRONG)
    caplog.clear()
    warm_start(module, trained, strict=False)
    assert not caplog.text


def test_not_strict_still_needs_something_that_fits():
    with pytest.raises(BadInput, match="missing: weight, bias; unexpected: w; nothing fits"):
        warm_start(nn.Linear(2, 1), {"w": torch.ones(1, 2)}, strict=False)


def test_one_tensor_under_two_names_needs_one_of_them(tmp_path):
    # safetensors writes shared memory once.
    def tied(seed):
        torch.manual_seed(seed)
        module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        module["b"].weight = module["a"].weight
        return module

    safetensors.torch.save_model(tied(1), str(tmp_path / "tied.safetensors"))
    module = warm_start(tied(2), tmp_path / "tied.safetensors")
    assert same(state(module), state(tied(1)))
    assert module["b"].weight is module["a"].weight


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return path


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("boom",))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("w.safetensors", b"not one", "w.safetensors is not a safetensors file"),
        ("w.safetensors", b"", "is not a safetensors file"),
        ("w.safetensors", {"weight": torch.ones(2)}, "is not a safetensors file"),
        ("w.pt", b"not one", "is not what torch.save writes"),
        ("w.pt", pickle.dumps({"weight": [1.0]}), "is not what torch.save writes"),
        ("w.pt", b"PK\x03\x04 and no archive", "is not what torch.save writes"),
        ("w.pt", Bomb(), "holds more than tensors.*was not loaded.*safetensors"),
        ("w.pt", nn.Linear(2, 1), "holds more than tensors"),
        ("w.pth", torch.ones(2), "holds a Tensor, a state dict is needed"),
        ("w.pth", {}, "is empty"),
        ("w.pt", {"epoch": 3, "model": {"weight": torch.ones(1, 2)}}, r"'epoch': a int, 'model': a dict.*\['model'\]"),
        ("w.safetensor", b"", r"no file of weights \(did you mean '\.safetensors'\?\); it must end in .*\.pt, \.pth"),
        ("w.npz", b"", r"no file of weights; it must end in \.safetensors"),
    ],
)
def test_a_file_that_is_not_what_it_seems(tmp_path, name, content, says, capfd):
    with pytest.raises(BadInput, match=says) as e:
        warm_start(nn.Linear(2, 1), write(tmp_path / name, content))
    assert "\n" not in str(e.value)
    assert "boom" not in capfd.readouterr().out


def test_an_archive_at_the_end_of_something_else_is_refused(tmp_path):
    path = write(tmp_path / "w.pt", state(nn.Linear(2, 1)))
    path.write_bytes(pickle.dumps("anything") + path.read_bytes())
    with pytest.raises(BadInput, match=r"is not what torch\.save writes"):
        warm_start(nn.Linear(2, 1), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.trace(nn.Linear(2, 1), torch.ones(1, 2)).save(tmp_path / "w.pt")
    with pytest.raises(BadInput, match="is a TorchScript program"):
        warm_start(nn.Linear(2, 1), tmp_path / "w.pt")


def test_a_damaged_archive(tmp_path):
    path = write(tmp_path / "w.pt", state(nn.Linear(64, 64)))
    whole = path.read_bytes()
    at = whole.index(b"data.pkl") + 40
    path.write_bytes(whole[:at] + b"\xff" * 60 + whole[at + 60 :])
    with pytest.raises(BadInput, match="is damaged"):
        warm_start(nn.Linear(64, 64), path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (3, "needs a file or a state dict, got a int"),
        (nn.Linear(2, 1), r"got a module: give module\.state_dict\(\)"),
        ({}, "the state dict is empty"),
        ({"weight": [1.0]}, "must hold tensors by name; it holds 'weight': a list"),
    ],
)
def test_other_sources(source, says):
    with pytest.raises(BadInput, match=says):
        warm_start(nn.Linear(2, 1), source)


def test_a_missing_file_and_a_wrapped_model(tmp_path):
    write(tmp_path / "model.pt", {"weight": torch.ones(1)})
    with pytest.raises(BadInput, match=r"there is no file .*modl\.pt \(did you mean 'model\.pt'\?\)"):
        warm_start(nn.Linear(2, 1), tmp_path / "modl.pt")
    with pytest.raises(BadInput, match="there is no file"):
        warm_start(nn.Linear(2, 1), tmp_path / "nowhere" / "model.pt")
    with pytest.raises(BadInput, match="got a Model: start before you wrap it"):
        warm_start(fd.Model(nn.Linear(2, 1)), {})


def test_a_run_goes_on_from_where_another_ended():
    module = resnet(1, 2, width=2)
    again = warm_start(resnet(1, 2, width=2, seed=1), fd.Model(module).copy_of(fd.Model(module).initial).state_dict())
    assert torch.equal(fd.Model(again).initial, fd.Model(module).initial)
