"""idx files: read exactly, and refused with the file and the reason."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Shards, load

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 3, 5), dtype=np.uint8)
LABELS = np.array([3, 0, 1, 2, 0, 1, 2], dtype=np.uint8)


def encode(a, magic=None):
    magic = 0x0800 | a.ndim if magic is None else magic
    return struct.pack(f">{1 + a.ndim}I", magic, *a.shape) + a.tobytes()


def write(folder, dot="-", gz=False, **replaced):
    """The four files of a data set of seven training and two test images, some of them replaced by other bytes."""
    files = {
        "train-images": (3, encode(IMAGES)),
        "train-labels": (1, encode(LABELS)),
        "t10k-images": (3, encode(IMAGES[:2])),
        "t10k-labels": (1, encode(LABELS[1:3])),
    }
    for stem, (dimensions, content) in files.items():
        content = replaced.get(stem.replace("-", "_"), content)
        if content is not None:
            name = f"{stem}{dot}idx{dimensions}-ubyte"
            (folder / (name + ".gz" if gz else name)).write_bytes(gzip.compress(content) if gz else content)
    return folder


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_every_naming_reads_the_same(tmp_path, dot, gz):
    data = load("idx", path=write(tmp_path, dot, gz))
    assert np.array_equal(data.x.numpy(), IMAGES.reshape(7, 15).astype(np.float32) / np.float32(255))
    assert data.y.tolist() == LABELS.tolist()
    assert data.y.dtype == torch.int64
    assert data.test_x.shape == (2, 15)
    assert data.test_y.tolist() == [0, 1]
    assert data.classes == 4
    assert data.name == tmp_path.name


def test_images_keep_their_shape_when_asked(tmp_path):
    write(tmp_path)
    square, flat = load("idx", path=str(tmp_path), flat=False), load("idx", path=str(tmp_path), flat=True)
    assert square.x.shape == (7, 1, 3, 5)
    assert square.test_x.shape == (2, 1, 3, 5)
    assert torch.equal(square.x.flatten(1), flat.x)


def test_bytes_stay_bytes_when_asked(tmp_path):
    write(tmp_path)
    small, usual = load("idx", path=tmp_path, dtype="uint8"), load("idx", path=tmp_path)
    assert (small.x.dtype, small.test_x.dtype) == (torch.uint8, torch.uint8)
    assert np.array_equal(small.x.numpy(), IMAGES.reshape(7, 15))
    assert torch.equal(small.x.float() / 255, usual.x)
    assert load("idx", path=tmp_path, dtype="uint8", flat=False).x.shape == (7, 1, 3, 5)


def test_limit_keeps_the_first_rows_and_all_classes(tmp_path):
    data = load("idx", path=write(tmp_path, train_labels=encode(LABELS[::-1].copy())), limit=4)
    assert data.y.tolist() == [2, 1, 0, 2]
    assert data.x.shape == (4, 15)
    assert data.test_x.shape == (2, 15)
    assert data.classes == 4  # label 3 is beyond the limit


def test_plain_files_go_before_packed_ones(tmp_path):
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not looked at")
    assert len(load("idx", path=tmp_path)) == 7


def test_a_missing_file_lists_the_names_looked_for(tmp_path):
    write(tmp_path, t10k_labels=None)
    with pytest.raises(BadInput) as e:
        load("idx", path=tmp_path)
    assert str(e.value) == (
        f"{tmp_path} has no t10k-labels: looked for t10k-labels-idx1-ubyte, t10k-labels.idx1-ubyte, "
        "t10k-labels-idx1-ubyte.gz, t10k-labels.idx1-ubyte.gz"
    )


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"train_images": encode(LABELS)}, r"train-images-idx3-ubyte is truncated|magic number 0x00000801"),
        (
            {"train_labels": encode(IMAGES)},
            r"train-labels-idx1-ubyte starts with the magic number 0x00000803, expected 0x00000801",
        ),
        (
            {"train_images": encode(IMAGES, magic=0x0D03)},
            r"0x00000d03, expected 0x00000803 \(unsigned bytes in 3 dimensions\)",
        ),
        (
            {"train_images": encode(IMAGES)[:-1]},
            r"is truncated: its header says 7 x 3 x 5 = 105 bytes of data, it has 104",
        ),
        (
            {"train_images": encode(IMAGES) + b"!"},
            r"is too long: its header says 7 x 3 x 5 = 105 bytes of data, it has 106",
        ),
        ({"train_images": b"\0\0\x08"}, r"is truncated: it has 3 bytes, its header alone needs 16"),
        ({"t10k_labels": b""}, r"t10k-labels-idx1-ubyte is truncated: it has 0 bytes, its header alone needs 8"),
        ({"train_images": struct.pack(">4I", 0x803, *[2**32 - 1] * 3)}, r"is truncated: .* it has 0"),
        ({"t10k_images": encode(IMAGES[:0])}, r"t10k-images-idx3-ubyte is empty: its header says 0 x 3 x 5"),
        (
            {"train_labels": encode(LABELS[:6])},
            r"train-images-idx3-ubyte has 7 images but train-labels-idx1-ubyte has 6 labels",
        ),
        ({"t10k_images": encode(IMAGES[:2, :2])}, r"a test row of x has shape \(10,\), a training row \(15,\)"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, replaced, message):
    with pytest.raises(BadInput, match=message):
        load("idx", path=write(tmp_path, **replaced))


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"garbage" * 9,
        lambda b: b[: len(b) // 2],
        lambda b: b[:10] + b"\xff" + b[11:],  # no such kind of block
        lambda b: b[:-8] + bytes([b[-8] ^ 255]) + b[-7:],  # checksum
        lambda b: b"",
    ],
)
def test_damaged_gz(tmp_path, damage):
    write(tmp_path, gz=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    wrong = r"is damaged, it cannot be unpacked|is truncated|starts with the magic number"
    with pytest.raises(BadInput, match=rf"train-images-idx3-ubyte\.gz ({wrong})"):
        load("idx", path=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "no/such/folder"}, r"no/such/folder is not a folder: path must be the folder"),
        ({"path": 3}, r"path must be the name of a file or folder, got 3"),
        ({"limit": 0}, r"limit must be a positive integer or None, got 0"),
        ({"limit": 1.5}, r"limit must be a positive integer or None, got 1\.5"),
        ({"dtype": "float64"}, r"dtype must be \"float32\" or \"uint8\", got 'float64'"),
        ({"flat": "no"}, r"flat must be True or False, got 'no'"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        load("idx", **({"path": write(tmp_path)} | options))


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_by_shards_of_the_paper():
    data = load("idx", path=FASHION)
    assert repr(data) == "Dataset('fashion-mnist': 60,000 rows of (784,), 10 classes, 10,000 test rows)"
    assert data.y.bincount().tolist() == [6000] * 10
    assert data.test_y.bincount().tolist() == [1000] * 10
    assert data.y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert float(data.x.mean()) == pytest.approx(0.2860, abs=5e-5)  # the mean everyone normalises by
    fed = data.split(Shards(per_node=2), nodes=100)
    assert set(fed.sizes) == {600}
    assert max(sum(n > 0 for n in counts) for counts in fed.label_counts()) == 2  # 6000 = 20 shards: none is mixed
