"""Hugging Face data sets on disk, written by the real library."""

import io
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Picture

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import IID, Natural, load

hf = pytest.importorskip("datasets")

COLUMNS = {
    "a": np.arange(6) / 3,
    "b": np.arange(6),
    "pixels": np.arange(12, dtype=np.uint8).reshape(6, 2).tolist(),
    "grid": np.arange(24.0).reshape(6, 2, 2).tolist(),
    "tokens": np.arange(18).reshape(6, 3).tolist(),
    "label": [0, 1, 0, 2, 0, 1],
    "target": np.linspace(0, 1, 6),
    "who": list("bbaaba"),
    "ragged": [[1], [1, 2], [], [1], [1], [1]],
    "gaps": [1, None, 3, 4, 5, 6],
}
FEATURES = {
    "a": hf.Value("float64"),
    "b": hf.Value("int32"),
    "pixels": hf.Sequence(hf.Value("uint8")),
    "grid": hf.Array2D((2, 2), "float32"),
    "tokens": hf.Sequence(hf.Value("int64")),
    "label": hf.ClassLabel(names=["cat", "dog", "emu"]),
    "target": hf.Value("float32"),
    "who": hf.Value("string"),
    "ragged": hf.Sequence(hf.Value("int64")),
    "gaps": hf.Value("int64"),
}


@pytest.fixture(autouse=True, scope="module")
def quiet():
    hf.disable_progress_bars()
    yield
    hf.enable_progress_bars()


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whoever opens a connection fails."""

    def refuse(self, address):
        raise AssertionError(f"went online, to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def numbers(tmp_path):
    hf.Dataset.from_dict(COLUMNS, features=hf.Features(FEATURES)).save_to_disk(tmp_path / "numbers")
    return tmp_path / "numbers"


@pytest.fixture
def pair(tmp_path):
    whole = hf.Dataset.from_dict(COLUMNS, features=hf.Features(FEATURES))
    parts = {"train": whole.select(range(4)), "test": whole.select([4, 5]), "extra": whole.select([0])}
    hf.DatasetDict(parts).save_to_disk(tmp_path / "pair")
    return tmp_path / "pair"


def picture(n, shape=(4, 5, 3)):
    return Picture.fromarray(np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8))


def pictures(folder, images):
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=["x", "y"])})
    columns = {"image": images, "label": [i % 2 for i in range(len(images))]}
    hf.Dataset.from_dict(columns, features=features).save_to_disk(folder / "photos")
    return folder / "photos"


# -- numbers -----------------------------------------------------------------------------------------------------


def test_class_labels_have_names(numbers):
    data = load("huggingface", path=numbers, x="pixels")
    assert repr(data) == "Dataset('numbers': 6 rows of (2,), 3 classes, no test rows)"
    assert (data.y.tolist(), data.class_names) == ([0, 1, 0, 2, 0, 1], ("cat", "dog", "emu"))


@pytest.mark.parametrize(
    ("column", "dtype"), [("pixels", torch.uint8), ("grid", torch.float32), ("tokens", torch.int64)]
)
def test_lists_keep_their_type(numbers, column, dtype):
    data = load("huggingface", path=numbers, x=column)
    assert data.x.dtype == dtype
    assert data.x.tolist() == COLUMNS[column]


def test_several_columns_are_features(numbers):
    data = load("huggingface", path=numbers, x=["b", "a"], y="target", node="who")
    assert data.x.dtype == torch.float32
    assert torch.equal(data.x, torch.tensor([[i, i / 3] for i in range(6)], dtype=torch.float64).float())
    assert (data.classes, data.feature_names) == (None, ("b", "a"))
    assert data.y.tolist() == pytest.approx(COLUMNS["target"].tolist())
    fed = data.split(Natural(), holdout=0.3)
    assert fed.node_names == ("a", "b")
    assert load("huggingface", path=numbers, x="b").x.tolist() == [[float(i)] for i in range(6)]


def test_splits(pair):
    data = load("huggingface", path=pair, x="tokens")
    assert data.x.tolist() == COLUMNS["tokens"][:4]
    assert data.test_x.tolist() == COLUMNS["tokens"][4:]
    assert data.test_y.tolist() == [0, 1]
    assert load("huggingface", path=pair, x="tokens", test=None).test_x is None
    other = load("huggingface", path=pair, x="tokens", train="test", test="extra")
    assert (other.x.tolist(), other.test_x.tolist()) == (COLUMNS["tokens"][4:], COLUMNS["tokens"][:1])


def test_a_fraction(numbers, pair):
    assert len(load("huggingface", path=numbers, x="a", test=0.5).test_x) == 3
    assert len(load("huggingface", path=pair, x="a", test=0.25).test_x) == 1


# -- pictures ----------------------------------------------------------------------------------------------------


def test_pictures_are_read_when_asked_for(tmp_path):
    images = [picture(n) for n in range(6)]
    data = load("huggingface", path=pictures(tmp_path, images), x="image", test=1 / 3)
    assert repr(data) == "Dataset('photos': 4 rows of (3, 4, 5), 2 classes, 2 test rows)"
    whole = load("huggingface", path=tmp_path / "photos", x="image")
    expected = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in images])
    assert torch.equal(whole.x.gather(torch.arange(6)), expected)
    assert torch.equal(whole.x.gather(torch.tensor([4, 4, 1])), expected[[4, 4, 1]])
    assert torch.equal(
        torch.cat([data.x.gather(torch.arange(4)), data.test_x.gather(torch.arange(2))]).sort(0).values,
        expected.sort(0).values,
    )


def test_grey_pictures_have_one_channel_and_sizes_can_be_changed(tmp_path):
    path = pictures(tmp_path, [picture(n, (4, 5)) for n in range(3)])
    assert load("huggingface", path=path, x="image").x.gather(torch.tensor([0])).shape == (1, 1, 4, 5)
    assert load("huggingface", path=path, x="image", size=(8, 2)).x.gather(torch.tensor([0])).shape == (1, 1, 8, 2)


def test_workers_read_them_too(tmp_path):
    path = pictures(tmp_path, [picture(n) for n in range(8)])
    module = torch.nn.Sequential(ToFloat(), torch.nn.Flatten(), torch.nn.Linear(60, 2))
    data = load("huggingface", path=path, x="image").split(IID(), 2)
    program = fd.FedAvg(rounds=1, local=fd.LocalSGD(lr=0.01))
    shas = {fd.train(program, fd.Model(module), data, runtime=fd.Simulation(workers=n)).sha256 for n in (1, 2)}
    assert len(shas) == 1


class ToFloat(torch.nn.Module):
    def forward(self, x):
        return x.float()


def test_pictures_that_are_missing_or_of_another_size(tmp_path):
    path = pictures(tmp_path, [picture(0), picture(1, (7, 5, 3)), None])
    x = load("huggingface", path=path, x="image").x
    with pytest.raises(
        BadInput, match=r"'image' of row 1 is 7 x 5 \(height x width\), that of row 0 4 x 5: size=\(4, 5\) resizes them"
    ):
        x.gather(torch.tensor([0, 1]))
    with pytest.raises(BadInput, match="'image' of row 2 is missing: remove the row"):
        x.gather(torch.tensor([2]))
    assert load("huggingface", path=path, x="image", size=(4, 5)).x.gather(torch.tensor([0, 1])).shape == (2, 3, 4, 5)


# -- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "none"}, r"pair: there is no column 'none': there are a, b, "),
        ({"x": ["a", "none"]}, "there is no column 'none'"),
        ({"y": "none"}, "there is no column 'none'"),
        ({"node": "none"}, "there is no column 'none'"),
        ({"x": []}, r"x must be the name of a column, or several; got \[\]"),
        ({"x": "who"}, r"column 'who' holds no single numbers"),
        ({"x": ["a", "tokens"]}, "column 'tokens' holds no single numbers: it cannot be one feature of several"),
        ({"x": "ragged"}, "column 'ragged' holds lists of different lengths"),
        ({"x": "gaps"}, "pair: the data: x has 1 NaN or infinite values, the first in row 1"),
        ({"y": "who"}, "y holds text"),
        ({"test": "valid"}, "pair has no split 'valid': it has train, test, extra"),
        ({"train": "valid"}, "pair has no split 'valid'"),
        ({"test": 3.0}, "test must be a fraction between 0 and 1"),
        ({"size": 3}, r"size must be \(height, width\)"),
        ({"path": "hf://mnist"}, "is not a folder: path must be a folder that save_to_disk wrote"),
        ({"path": "mnist"}, "mnist is not a folder"),
    ],
)
def test_bad_options(pair, options, message):
    with pytest.raises(BadInput, match=message):
        load("huggingface", **({"path": pair, "x": "a"} | options))


def test_a_lone_data_set_has_no_splits(numbers):
    with pytest.raises(
        BadInput, match=r"numbers is a single Dataset and has no split 'valid': give a fraction, or None"
    ):
        load("huggingface", path=numbers, x="a", test="valid")


def test_a_folder_of_something_else(tmp_path, numbers):
    with pytest.raises(BadInput, match="is damaged, or not written by save_to_disk"):
        load("huggingface", path=tmp_path, x="a")
    (file,) = numbers.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="numbers is damaged, or not written by save_to_disk"):
        load("huggingface", path=numbers, x="a")


def test_without_the_library(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['datasets'] = None\n"
        "from foedus.data import load\n"
        f"try: load('huggingface', path={str(tmp_path)!r}, x='image')\n"
        "except ValueError as e: print(e)\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == f"{tmp_path} needs the library datasets: pip install 'foedus[huggingface]'", (
        done.stderr
    )


def test_only_formats_that_files_name_are_opened(tmp_path):
    """Pillow can open many more, some by other programs; a data set says nothing of which it holds."""
    told = io.BytesIO()
    picture(0).save(told, format="TGA")
    path = pictures(tmp_path, [{"bytes": told.getvalue(), "path": None}] * 4)
    with pytest.raises(BadInput, match=r"'image' of row 0: .* is no picture or a broken one"):
        load("huggingface", path=path, x="image")


def test_labels_of_text_and_gaps(tmp_path):
    for name, labels, message in (
        ("text", ["a", "b", "a"], r"y holds text|y holds 'a'"),
        ("gaps", ["a", None, "a"], r"column 'label' holds|y h"),
        ("large", np.array([2**63, 1, 2], np.uint64), r"y at \(0,\) is 9223372036854775808, beyond"),
    ):
        hf.Dataset.from_dict({"x": [1.0, 2.0, 3.0], "label": labels}).save_to_disk(tmp_path / name)
        with pytest.raises(BadInput, match=message):
            load("huggingface", path=tmp_path / name, x="x")
