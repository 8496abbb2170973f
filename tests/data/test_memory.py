"""What a header promises is compared with what is there before memory is taken for it. Every file here is small."""

import gzip
import io
import os
import socket
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.lib import format as npy

from foedus.core.errors import BadInput
from foedus.data import load, memory
from foedus.data.files import read_bytes

MIB = 2**20


@pytest.fixture
def small(monkeypatch):
    """Packed files may become a mebibyte, or ten times their size."""
    monkeypatch.setattr(memory, "PACKED_BYTES", MIB)
    monkeypatch.setattr(memory, "PACKED_TIMES", 10)


def entry(shape, held, dtype="<f4"):
    """An array of this many bytes whose header says this shape."""
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue() + bytes(held)


def archive(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in entries.items():
            z.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("shape", [(10**10,), (2**40, 2**40), (3,), (0,)])
def test_an_array_is_as_large_as_its_header_says(tmp_path, shape):
    path = archive(tmp_path / "a.npz", x=entry(shape, 16), y=entry((4,), 32, "<i8"))
    with pytest.raises(BadInput, match=r"a\.npz: array 'x' is damaged: its header says .* bytes, and it has 16$"):
        load("npz", path=path)


def test_an_archive_does_not_become_far_more_than_it_is(tmp_path, small):
    path = archive(tmp_path / "a.npz", x=entry((2, MIB // 4), 2 * MIB), y=entry((2,), 16, "<i8"))
    with pytest.raises(
        BadInput, match=r"array 'x' has .* bytes and unpacks to 0\.00195 GiB or more: .*store it unpacked"
    ):
        load("npz", path=path)


def test_what_packs_well_and_is_small_or_packs_a_little_is_taken(tmp_path, small):
    (tmp_path / "zeros.gz").write_bytes(gzip.compress(bytes(MIB)))
    (tmp_path / "noise.gz").write_bytes(gzip.compress(noise := os.urandom(3 * MIB)))
    assert read_bytes(tmp_path / "zeros.gz") == bytes(MIB)
    assert read_bytes(tmp_path / "noise.gz") == noise


@pytest.mark.parametrize("name", ["t.csv.gz", "train-images-idx3-ubyte.gz"])
def test_a_gzip_is_given_up_on_the_way(tmp_path, small, name):
    (tmp_path / name).write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * MIB))
    for labels in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / labels).write_bytes(struct.pack(">2I", 0x801, 1) + b"1")
    source = {"path": tmp_path} if "idx" in name else {"path": tmp_path / name, "target": "b"}
    with pytest.raises(BadInput, match=rf"{name} has .* bytes and unpacks to"):
        load("idx" if "idx" in name else "csv", **source)


def test_parquet_metadata_is_added_up_before_anything_is_read(tmp_path, small):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"a": pa.array(np.zeros(2 * MIB, np.int8)), "y": pa.array(np.zeros(2 * MIB, np.int8))}), path
    )
    with pytest.raises(BadInput, match=r"t\.parquet has .* bytes and unpacks to 0\.00391 GiB or more"):
        load("parquet", path=path, target="y")


def test_no_more_is_read_than_there_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    (tmp_path / "t.csv").write_text("a,y\n" + "1,2\n" * 300)
    with pytest.raises(BadInput, match=r"t\.csv takes .* of memory, and this process can have"):
        load("csv", path=tmp_path / "t.csv", target="y")


def test_memory_that_runs_out_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.ones((4, 2)), y=np.arange(4))

    def full(*args, **options):
        raise MemoryError

    monkeypatch.setattr(npy, "read_array", full)
    with pytest.raises(BadInput, match=r"a\.npz: array 'x' does not fit in memory"):
        load("npz", path=tmp_path / "a.npz")


@pytest.mark.parametrize(("source", "options"), [("csv", {"target": "y"}), ("parquet", {"target": "y"}), ("npz", {})])
def test_what_has_no_end_is_refused_at_once(tmp_path, source, options):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "socket"))
        for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path / "socket", "a socket"), ("/dev/zero", "a device")):
            with pytest.raises(BadInput, match=f"is {kind}"):
                load(source, path=path, **options)


def test_what_torch_says_of_memory_is_known():
    assert memory.is_shortage(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not memory.is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
