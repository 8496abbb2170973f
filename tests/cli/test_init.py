"""``foedus init`` and ``foedus data`` of a table: what is said is taken, what is doubtful is asked, everywhere."""

import csv
import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from foedus.cli.table_options import known


@pytest.fixture
def patients(tmp_path):
    """Four wards, of whose columns no name says which is what; ``grad`` is made of 0 to 4 and ``leidet`` of it."""
    r = np.random.default_rng(0)
    rows = []
    for i in range(320):
        k = int(r.integers(0, 4))
        grad = int(np.clip(round(r.normal(1 + 0.4 * k, 1)), 0, 4))
        chol = 0 if k == 2 else round(r.normal(230 + 8 * k, 40))
        rows.append(
            [f"p{i:04}", f"Haus {'ABCD'[k]}", round(r.normal(50 + 4 * k, 9)), chol, grad, "ja" if grad else "nein"]
        )
    with open(tmp_path / "t.csv", "w", newline="") as f:
        csv.writer(f).writerows([["Fall", "Ort", "Alter", "chol", "grad", "leidet"], *rows])
    return tmp_path / "t.csv"


def fields(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))["data"]


def test_a_question_is_asked_by_init_by_data_and_by_run(foedus, patients, tmp_path):
    said = foedus("init", "t.csv")
    assert said.status == 0
    assert "Choose where { choose = [ stands" in said.out
    data = fields(tmp_path / "t.toml")
    assert data["target"] == {"choose": ["leidet", "Ort", "grad"]}
    assert data["node"] == {"choose": ["Ort"]}
    assert (data["drop"], data["missing_values"]) == (["Fall"], {"chol": ["0"]})
    assert '# <- "grad" and "leidet" say the same: if one is to be learned, leave out the other' in said.out
    for command in ("data", "run"):
        said = foedus(command, "t.toml")
        assert said.status == 2
        assert "t.toml:8: data.target: an open question: which column is to be learned?" in said.err
        assert 'Write target = "leidet" or target = "Ort" or target = "grad"' in said.err
        assert 'data.node: an open question: which column says whose row each is? Write node = "Ort"' in said.err
    assert not (tmp_path / "runs").exists()
    answers = ["--set", "data.target=leidet", "--set", "data.node=Ort"]
    assert foedus("data", "t.toml", *answers).status == 0


def test_answers_given_to_init_are_looked_at_with_the_table(foedus, patients, tmp_path):
    said = foedus("init", "t.csv", "--target", "leidet", "--node", "Ort", "--drop", "Alter", "--missing", "chol=0")
    assert said.status == 0, said.err
    data = fields(tmp_path / "t.toml")
    assert (data["target"], data["node"], data["drop"]) == ("leidet", "Ort", ["Alter", "Fall", "grad"])
    assert "its value alone tells the target in 100 % of rows" in said.out
    assert 'chol = ["0"]           # <- as you said' in said.out
    assert "of 320 rows, 239 are trained on and 81 judge (held out by the nodes)" in said.out
    said = foedus("data", "t.toml")
    assert (said.status, "Haus C" in said.out) == (0, True)


def test_a_number_becomes_two_classes(foedus, patients, tmp_path):
    assert foedus("init", "t.csv", "--target", "grad", "--node", "Ort", "--positive", ">=2", "-o", "a.toml").status == 0
    assert fields(tmp_path / "a.toml")["positive"] == ">=2"
    assert 'metrics = ["auc"]' in (tmp_path / "a.toml").read_text()
    said = foedus("data", "a.toml")
    assert (said.status, "2 classes" in said.out) == (0, True), said.err
    assert foedus("init", "t.csv", "--target", "grad", "--node", "Ort", "-o", "b.toml").status == 0
    assert fields(tmp_path / "b.toml")["task"] == {"choose": ["classification", "regression"]}


def test_keys_of_the_file_are_set_from_the_start(foedus, patients, tmp_path):
    sets = ["--set", "data.split=iid", "--set", "data.nodes=3", "--set", "evaluate.nodes=1", "--set", "sweep.seed=[7]"]
    assert foedus("init", "t.csv", "--target", "leidet", *sets).status == 0
    file = tomllib.loads((tmp_path / "t.toml").read_text())
    assert (file["data"]["split"], file["data"]["nodes"], "node" in file["data"]) == ("iid", 3, False)
    assert (file["evaluate"]["nodes"], file["sweep"]["seed"]) == (1, [7])


def test_a_table_is_looked_at_with_the_same_options(foedus, patients):
    said = foedus("data", "t.csv", "--target", "leidet", "--node", "Ort")
    assert said.status == 0
    assert "drop: grad, its value alone tells the target in 100 % of rows" in said.out
    assert "what may stand for nothing in chol is only at Haus C" in said.out
    found = json.loads(foedus("data", "t.csv", "--json").out)
    assert [f["option"] for f in found["findings"] if "choose" in f] == ["target", "node"]


@pytest.mark.parametrize(
    ("command", "words"),
    {
        "no such column": (["init", "t.csv", "--target", "leidt"], ["no column 'leidt'", "did you mean 'leidet'"]),
        "a key without a table": (["init", "t.csv", "--set", "seed=1"], ["seed is in no table"]),
        "no such column to leave out": (["init", "t.csv", "--drop", "x"], ["drop: there is no column 'x'"]),
        "no table": (["init", "--target", "x"], ["target is an option of tables"]),
        "another section of a table": (["data", "t.csv", "--set", "model.network=mlp"], ["only what stands in [data]"]),
        "an option of tables for an experiment": (["data", "e.toml", "--node", "x"], ["--set data.node=..."]),
    }.values(),
)
def test_what_does_not_fit_says_what_to_do(foedus, patients, tmp_path, command, words):
    (tmp_path / "e.toml").write_text("[data]\n")
    said = foedus(*command)
    assert said.status == 2
    assert all(w in said.err for w in words), said.err
    assert not (tmp_path / "t.toml").exists()


@pytest.mark.parametrize(
    ("said", "read"),
    [("chol=0", {"chol": ["0"]}), ("<=5", {"*": "<=5"}), ("-9", {"*": "-9"}), ("a=b=c", {"a=b": ["c"]})],
)
def test_what_stands_for_nothing_is_of_a_column_or_of_all(said, read):
    found = known(missing=[said])["missing_values"]
    assert {k: v if k != "*" else v[-1] for k, v in found.items()} == read
    assert "*" not in found or "NA" in found["*"]


def test_help_waits_for_no_library_of_tables():
    code = (
        "import sys; sys.argv = ['foedus', 'init', '--help']\n"
        "from foedus.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('loaded', [m for m in ('pyarrow', 'numpy', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
