"""Which source reads a path: by names and beginnings, and nothing large is imported for it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from foedus.data.recognised import source_of

LEAF = json.dumps({"users": ["u"], "num_samples": [1], "user_data": {"u": {"x": [[1.0]], "y": [0]}}})
FILES = {
    "t.csv": "a,b\n1,2\n",
    "t.TSV": "a\tb\n1\t2\n",
    "t.csv.gz": "",
    "t.xlsx": "",
    "t.jsonl": "{}",
    "t.arff": "@data",
    "t.feather": "",
    "t.orc": "",
    "a.npz": "",
    "a.svm": "",
    "a9a": "-1 3:1 11:1 14:1 \n+1 5:1\n",
    "a9a.txt": "-1 3:1 11:1\n",
    "l.json": LEAF,
}
EXPECTED = {
    "t.csv": "csv", "t.TSV": "csv", "t.csv.gz": "csv", "t.xlsx": "excel", "t.jsonl": "jsonl", "t.arff": "arff",
    "t.feather": "arrow", "t.orc": "orc", "a.npz": "npz", "a.svm": "libsvm", "a9a": "libsvm", "a9a.txt": "libsvm",
    "l.json": "leaf",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert source_of(tmp_path / name) == EXPECTED[name]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a/t.csv": "a\n1\n", "a/p.png": ""}, "csv"),
        ({"train/d.json": LEAF, "test/d.json": LEAF}, "leaf"),
        ({"train-images-idx3-ubyte.gz": ""}, "idx"),
        ({"cat/1.png": "", "dog/2.JPG": ""}, "images"),
        ({"x/bonn.svm": "", "readme.md": ""}, "libsvm"),
        ({"runs/r/run.json": "{}", "runs/r/history.jsonl": "", "runs/r/run.png": "", "runs/r/more/x.csv": ""}, None),
        ({".venv/share/t.csv": "a\n1\n", "cat/1.png": ""}, "images"),
        ({"package.json": "{}", "readme.md": "x"}, None),
        ({}, None),
    ],
)
def test_a_folder(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert source_of(tmp_path) == expected


@pytest.mark.parametrize(("name", "text"), [("notes", "1 fine day at 10:30\n"), ("x.json", "[1]"), ("x.pkl", "a")])
def test_what_no_source_reads(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert source_of(tmp_path / name) is None
    assert source_of(tmp_path / "nothing" / name) is None


def test_looking_imports_no_large_library(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.arange(3))
    code = (
        "import sys, pathlib\n"
        "from foedus.data.recognised import source_of\n"
        "from foedus.data.npz_file import roles\n"
        "import foedus.experiment.template, foedus.experiment.instead\n"
        f"assert source_of(pathlib.Path({str(tmp_path / 'a.npz')!r})) == 'npz'\n"
        f"roles(pathlib.Path({str(tmp_path / 'a.npz')!r}))\n"
        "large = {'torch', 'sklearn', 'pyarrow', 'openpyxl', 'matplotlib'} & {m.split('.')[0] for m in sys.modules}\n"
        "assert not large, large\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
