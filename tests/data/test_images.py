"""Picture folders: pixels exactly, classes and nodes from the folders, broken files named."""

import logging
import struct

import numpy as np
import pytest
import torch
from PIL import Image

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import Natural, load, memory
from foedus.data.pillow import FORMATS


def picture(n, shape=(4, 6, 3)):
    return np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8)


def save(root, name, n, shape=(4, 6, 3)):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(n, shape)).save(file)


@pytest.fixture
def zoo(tmp_path):
    root = tmp_path / "zoo"
    for n, name in enumerate(["dog/b.png", "cat/a.png", "dog/a.png", "cat/c.png", "emu/e.png"]):
        save(root, name, n)
    return root


ORDER = [1, 3, 2, 0, 4]  # cat/a, cat/c, dog/a, dog/b, emu/e


@pytest.mark.parametrize("in_memory", [True, False])
def test_pixels_and_classes_in_the_order_of_names(zoo, in_memory):
    data = load("images", path=zoo, in_memory=in_memory)
    assert repr(data) == "Dataset('zoo': 5 rows of (3, 4, 6), 3 classes, no test rows)"
    assert data.class_names == ("cat", "dog", "emu")
    assert data.y.tolist() == [0, 0, 1, 1, 2]
    x = data.x if in_memory else data.x.gather(torch.arange(5))
    assert x.dtype == torch.uint8
    assert torch.equal(x, torch.stack([torch.from_numpy(picture(n)).permute(2, 0, 1) for n in ORDER]))
    assert isinstance(data.x, torch.Tensor) is in_memory


def test_small_data_are_kept_and_large_ones_are_read_when_asked_for(zoo, monkeypatch):
    assert isinstance(load("images", path=zoo).x, torch.Tensor)
    monkeypatch.setattr("foedus.data.images.MEMORY", 5 * 3 * 4 * 6 - 1)
    assert not isinstance(load("images", path=zoo).x, torch.Tensor)
    assert isinstance(load("images", path=zoo, grey=True).x, torch.Tensor)


def test_grey_and_resized(zoo):
    grey = load("images", path=zoo, grey=True)
    assert torch.equal(grey.x[0, 0], torch.from_numpy(np.array(Image.fromarray(picture(1)).convert("L"))))
    small = load("images", path=zoo, size=(2, 3))
    assert small.x.shape == (5, 3, 2, 3)
    assert (small.x.float().mean() - load("images", path=zoo).x.float().mean()).abs() < 5
    save(zoo, "emu/large.png", 9, (8, 8, 3))
    assert load("images", path=zoo, size=[2, 3]).x.shape == (6, 3, 2, 3)


def test_all_kinds_of_pictures(tmp_path):
    flat = np.full((4, 6, 3), 90, np.uint8)
    (tmp_path / "a").mkdir()
    for suffix in ("png", "jpg", "JPEG", "bmp", "webp", "gif"):
        Image.fromarray(flat).save(tmp_path / "a" / f"rgb.{suffix}")
    Image.fromarray(flat).quantize().save(tmp_path / "a" / "palette.png")
    Image.fromarray(flat).convert("RGBA").save(tmp_path / "a" / "alpha.png")
    Image.fromarray(flat[:, :, 0]).save(tmp_path / "a" / "grey.png")
    data = load("images", path=tmp_path)
    assert len(data) == 9
    assert (data.x.int() - 90).abs().max() <= 3  # lossy formats


def test_a_fraction_is_held_out_whether_in_memory_or_not(zoo):
    held, asked = (load("images", path=zoo, test=0.4, in_memory=m) for m in (True, False))
    assert (len(held.test_x), len(asked.test_x)) == (2, 2)
    assert torch.equal(asked.x.gather(torch.arange(3)), held.x)
    assert torch.equal(asked.test_x.gather(torch.arange(2)), held.test_x)
    assert torch.equal(asked.test_y, held.test_y)


def test_folders_train_and_test(tmp_path):
    for n, name in enumerate(["train/b/1.png", "train/a/1.png", "test/b/1.png", "test/c/1.png"]):
        save(tmp_path, name, n)
    data = load("images", path=tmp_path)
    assert (data.y.tolist(), data.test_y.tolist(), data.class_names) == ([0, 1], [1, 2], ("a", "b", "c"))
    assert torch.equal(data.test_x[0], torch.from_numpy(picture(2)).permute(2, 0, 1))
    with pytest.raises(BadInput, match=r"has test rows of its own, in test/: leave out test"):
        load("images", path=tmp_path, test=0.5)


def test_a_class_may_be_called_train(tmp_path):
    for n, name in enumerate(["train/1.png", "car/1.png"]):
        save(tmp_path, name, n)
    assert load("images", path=tmp_path).class_names == ("car", "train")


@pytest.mark.parametrize("parts", [False, True])
def test_a_folder_for_each_node(tmp_path, parts):
    root = tmp_path / "train" if parts else tmp_path
    for n, name in enumerate(["rome/dog/1.png", "oslo/cat/1.png", "rome/cat/1.png", "rome/cat/2.png"]):
        save(root, name, n)
    if parts:
        save(tmp_path, "test/bonn/dog/1.png", 9)
    data = load("images", path=tmp_path, node="folder")
    fed = data.split(Natural(), holdout=0.3)
    assert fed.node_names == ("oslo", "rome")
    assert [a + b for a, b in zip(fed.sizes, fed.holdout_sizes, strict=True)] == [1, 3]
    assert data.y.tolist() == [0, 0, 0, 1]
    assert (data.test_x is not None) is parts


def test_other_files_are_counted(zoo, caplog):
    (zoo / "readme.txt").write_text("hello")
    (zoo / "cat" / "labels.csv").write_text("a,b")
    (zoo / "cat" / ".DS_Store").write_text("hidden files are not worth a word")
    with caplog.at_level(logging.WARNING, "foedus"):
        assert len(load("images", path=zoo)) == 5
    assert caplog.messages == [f"{zoo}: files left out that are no pictures: 2"]


def test_training_reads_pictures_when_asked_for_in_workers_too(zoo):
    torch.manual_seed(0)
    module = torch.nn.Sequential(ToFloat(), torch.nn.Flatten(), torch.nn.Linear(72, 3))
    shas = set()
    for in_memory, workers in ((True, 1), (False, 2)):
        data = load("images", path=zoo, in_memory=in_memory).split(fd.data.IID(), 2)
        run = fd.train(
            fd.FedAvg(rounds=2, local=fd.LocalSGD(lr=0.01)), fd.Model(module), data,
            runtime=fd.Simulation(workers=workers),
        )  # fmt: skip
        shas.add(run.sha256)
    assert len(shas) == 1


class ToFloat(torch.nn.Module):
    def forward(self, x):
        return x.float()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_broken_picture_is_named(zoo, in_memory):
    content = (zoo / "dog" / "a.png").read_bytes()
    (zoo / "dog" / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"dog/a\.png is no picture or a broken one .*: repair or remove it"):
        load("images", path=zoo, in_memory=in_memory).x.gather(torch.tensor([2]))


def test_text_that_calls_itself_a_picture_is_named(zoo):
    (zoo / "dog" / "a.png").write_text("not at all")
    with pytest.raises(BadInput, match=r"dog/a\.png is no picture or a broken one"):
        load("images", path=zoo, in_memory=False)


def test_deep_pictures_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tmp_path / "a" / "deep.png")
    with pytest.raises(BadInput, match=r"deep\.png has more than 8 bits a channel \(mode I;16\)"):
        load("images", path=tmp_path)


def test_sizes_that_differ_are_named(zoo):
    save(zoo, "emu/large.png", 9, (8, 7, 3))
    with pytest.raises(
        BadInput, match=r"cat/a\.png is 4 x 6 \(height x width\), .*emu/large\.png is 8 x 7; size=\(4, 6\) resizes them"
    ):
        load("images", path=zoo)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "no/such"}, r"no/such is not a folder: path must be the folder that holds a folder for each class"),
        ({"size": 32}, r"size must be \(height, width\) in pixels, or None; got 32"),
        ({"size": (0, 3)}, r"size must be .*got \(0, 3\)"),
        ({"node": "cat"}, r'node must be "folder" .*got \'cat\''),
        ({"grey": 1}, r"grey must be True or False, got 1"),
        ({"in_memory": 1}, r"in_memory must be True, False or None, got 1"),
        ({"test": 2.0}, r"test must be a fraction between 0 and 1 such as 0\.2, or None; got 2\.0"),
        ({"node": "folder"}, r"a\.png is not where it should be: .*zoo must hold node/class/picture\.png"),
    ],
)
def test_bad_options(zoo, options, message):
    with pytest.raises(BadInput, match=message):
        load("images", **({"path": zoo} | options))


def test_pictures_where_they_should_not_be(zoo):
    save(zoo, "stray.png", 1)
    with pytest.raises(BadInput, match=r"stray\.png is not where it should be: .* must hold class/picture\.png"):
        load("images", path=zoo)
    (zoo / "empty").mkdir()
    with pytest.raises(BadInput, match=r"has no pictures: expected class/picture\.png, with one of \.png"):
        load("images", path=zoo / "empty")


def test_only_the_format_that_a_suffix_names_is_opened(zoo):
    """Pillow can open many more than these, some by other programs."""
    Image.new("RGB", (6, 4)).save(zoo / "dog" / "a.png", format="JPEG")
    with pytest.raises(BadInput, match=r"dog/a\.png is a JPEG file, not PNG: name it after what it is, or remove it"):
        load("images", path=zoo)
    Image.new("RGB", (6, 4)).save(zoo / "dog" / "a.png", format="TGA")  # which has no beginning of its own
    with pytest.raises(BadInput, match=r"dog/a\.png is no picture or a broken one"):
        load("images", path=zoo)
    (zoo / "dog" / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n")
    with pytest.raises(BadInput, match=r"dog/a\.png is a PostScript file, not PNG"):
        load("images", path=zoo)


def test_every_suffix_opens_its_format(tmp_path):
    (tmp_path / "a").mkdir()
    for suffix, name in FORMATS.items():
        Image.new("RGB", (6, 4), (9, 9, 9)).save(tmp_path / "a" / f"p{suffix}", format=name)
    assert len(load("images", path=tmp_path)) == len(FORMATS)


def test_a_picture_that_says_it_has_a_billion_pixels_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (1, 1)).save(tmp_path / "a" / "p.bmp")
    content = bytearray((tmp_path / "a" / "p.bmp").read_bytes())
    content[18:26] = struct.pack("<ii", 32_000, 32_000)  # width and height, of one pixel
    (tmp_path / "a" / "p.bmp").write_bytes(content)
    with pytest.raises(BadInput, match=r"p\.bmp says that it has more than 89,478,485 pixels"):
        load("images", path=tmp_path)


def test_pictures_that_are_to_be_in_memory_have_to_fit(zoo, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(BadInput, match=r"zoo with in_memory=True takes .* of memory"):
        load("images", path=zoo, in_memory=True)
