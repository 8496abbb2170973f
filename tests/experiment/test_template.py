"""The file to start from: names of the data are values in it, and nothing else."""

import csv
import tomllib

import pytest

from foedus.experiment import parse, starter

NASTY = [
    'a"b',
    "a\\",
    "'''",
    '"""',
    "#x",
    "a\nname = 'x'\n[stop]\nafter_commits = 1\n",
    "a\r\n[evaluate]\r\n",
    "\x7f\x85\u2028\u202e\x1b[31m",
    "= {",
    "os.path:join",
    "é ß 漢 😀",
]


def table(folder, columns, name="t.csv"):
    rows = [[f"unique {i}", "same", i % 3, i % 2, i * 7 % 5] for i in range(30)]
    with open(folder / name, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([columns, *rows])
    return folder / name


@pytest.mark.parametrize("nasty", NASTY)
def test_names_of_columns_stand_in_quotes_only(tmp_path, nasty):
    name = nasty.strip()
    file = table(tmp_path, [f"{nasty}gnu", f"{nasty}yak", f"site {name}", f"label {name}", "x"])
    text = starter(file, tmp_path / "t.toml")
    found = tomllib.loads(text)
    assert set(found) == {"data", "model", "runtime", "evaluate", "sweep"}
    assert found["data"] == {
        "source": "csv",
        "path": "t.csv",
        "target": f"label {name}",
        "node": f"site {name}",
        "drop": [f"{nasty}gnu", f"{nasty}yak"],
        "test": False,
        "holdout": 0.25,
    }
    comments = "".join(line.partition("  # ")[2] for line in text.splitlines())
    assert not any(c in comments for c in (f"{name} ", "gnu", "yak"))
    assert all(c.isprintable() or c == "\n" for c in text)  # what hides does not hide in the file either


def test_so_does_a_cell_that_is_in_every_row(tmp_path):
    rows = "".join(f'"v\nname = ""x""",{i % 5},{i % 2}\n' for i in range(40))
    (tmp_path / "t.csv").write_text("k,x,label\n" + rows)
    text = starter(tmp_path / "t.csv", tmp_path / "t.toml")
    assert "name" not in tomllib.loads(text)
    assert tomllib.loads(text)["data"]["drop"] == ["k"]


@pytest.mark.parametrize(
    "name", ["a\n[stop]\nafter_commits = 1\n#.csv", 'a"b.csv', "a\u202ecsv.csv", "file:a%20b.csv", "\udcff b.csv"]
)
def test_so_does_the_name_of_the_file(tmp_path, name):
    file = table(tmp_path, ["a", "b", "site", "label", "x"], name)
    text = starter(file, tmp_path / "t.toml")
    assert set(tomllib.loads(text)) == {"data", "model", "runtime", "evaluate", "sweep"}
    e = parse(text.partition("[sweep]")[0] + "[program.fedavg]\nrounds = 1\n", folder=tmp_path)
    assert e.data().nodes == 3
    assert e.tables.data.source.options["path"] == file
