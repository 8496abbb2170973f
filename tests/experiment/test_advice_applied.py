"""What an error recommends, given where the error was read, in that place's own syntax, does away with the error."""

import contextlib
import functools
import re
import shlex
import tomllib

import numpy as np
import pytest

import foedus as fd
from foedus.cli.entry import main
from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.experiment import parse
from foedus.experiment.advice import in_file, in_set
from foedus.experiment.document import parse_set
from foedus.plain.toml import inline, key

ROWS = [f"{i},{i % 7},{'uv'[i % 2]},{'no' if i % 3 else 'yes'},{i % 2}" for i in range(120)]
HEAD = "a,b,site,sick,y"


def table(change=lambda lines: lines, head=HEAD, rows=ROWS):
    return "\n".join([head, *change(list(rows))]) + "\n"


def with_cell(column, value, row=4):
    def change(lines):
        cells = lines[row].split(",")
        cells[column] = value
        lines[row] = ",".join(cells)
        return lines

    return change


def with_column(value):
    return lambda lines: [f"{line},{value(i)}" for i, line in enumerate(lines)]


PICTURES = {"x_test": np.zeros((4, 2), "f"), "y_test": np.arange(4) % 2}
CASES = {
    # what the file holds, its name, the source, its options
    "text among numbers": (table(with_cell(1, "high")), "t.csv", "csv", {"target": "y"}),
    "a comma as decimal mark": (table(with_cell(1, '"1,5"')), "t.csv", "csv", {"target": "y"}),
    "infinite": (table(with_cell(1, "1e40")), "t.csv", "csv", {"target": "y"}),
    "names": (table(with_column(lambda i: f"n{i}"), HEAD + ",who"), "t.csv", "csv", {"target": "y"}),
    "dates": (table(with_column(lambda i: f"2020-01-{i % 9 + 10}"), HEAD + ",day"), "t.csv", "csv", {"target": "y"}),
    "nothing": (table(with_column(lambda i: ""), HEAD + ",empty"), "t.csv", "csv", {"target": "y"}),
    "long": (table(with_column(lambda i: "x" * 300), HEAD + ",text"), "t.csv", "csv", {"target": "y"}),
    "refuse": (table(with_cell(1, "")), "t.csv", "csv", {"target": "y", "missing": "refuse"}),
    "latin-1": (table(with_cell(3, "jam\u00e9s")).encode("latin-1"), "t.csv", "csv", {"target": "y"}),
    "utf-16": (table().encode("utf-16"), "t.csv", "csv", {"target": "y"}),
    "no header": (table(head="1,2,3,4,5"), "t.csv", "csv", {"target": "column 5"}),
    "twice": (table(with_column(lambda i: f"k{i // 2}"), HEAD + ",key"), "t.csv", "csv", {"target": "y", "id": "key"}),
    "positive of three": (table(with_cell(4, "2")), "t.csv", "csv", {"target": "y", "positive": "1", "drop": ["sick"]}),
    "positive of amounts": (table(), "t.csv", "csv", {"target": "a", "positive": "3"}),
    "too many labels": (table(), "t.csv", "csv", {"target": "a", "task": "classification"}),
    "lists": ('{"a": [1], "b": 4, "y": 0}\n{"b": 3, "y": 1}\n' * 9, "t.jsonl", "jsonl", {"target": "y"}),
    "arrays": ({"Images": np.ones((20, 2), "f"), "labels": np.arange(20) % 2}, "t.npz", "npz", {}),
    "test rows": ({"x": np.ones((20, 2), "f"), "y": np.arange(20) % 2, **PICTURES}, "t.npz", "npz", {"test": 0.5}),
}  # fmt: skip
PYTHON = re.compile(r"\b\w+=(\(|'|\{|None|True|False)|\('|',\)|load\(|fd\.|IID\(\)")
"""What only Python writes so."""
MODEL = '\n[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 1\n'


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    """The source and the options of a data set that cannot be loaded with them."""
    monkeypatch.chdir(tmp_path)
    held, name, source, options = CASES[request.param]
    if isinstance(held, dict):
        np.savez(name, **held)
    else:
        (tmp_path / name).write_bytes(held if isinstance(held, bytes) else held.encode())
    return source, {"path": name, **options}


def error_of(load):
    try:
        load()
    except BadInput as e:
        return e
    return None


def advised(error):
    return [part for part in error.args if isinstance(part, Option)]


def check_each(options, error, written, load):
    """Every option of an error, as a place has written it, makes that error go; two that belong together, both."""
    together = {}
    for option in advised(error):
        given = written(option)
        together |= given
        # An identifier that is none is left out, as the error says, before its column is grouped by or dropped.
        base = {k: v for k, v in options.items() if not (k == "id" and option.name in ("group", "drop"))}
        again = [error_of(functools.partial(load, base | more)) for more in (given, together)]
        assert any(e is None or str(error) not in str(e) for e in again), option
    assert together


def test_in_python(case):
    source, options = case

    def load(options):
        fd.data.load(source, **options).split(fd.data.IID(), nodes=2)

    error = error_of(lambda: load(options))
    check_each(options, error, lambda o: eval(f"dict({o})"), load)


def experiment(source, options):
    lines = "\n".join(f"{key(k)} = {inline(v)}" for k, v in options.items())
    return f'[data]\nsource = "{source}"\n{lines}\nsplit = "iid"\nnodes = 2\n{MODEL}'


def test_in_a_file(case):
    source, options = case

    def load(options):
        parse(experiment(source, options)).data()

    wrong = error_of(lambda: load(options))
    assert not PYTHON.search(str(wrong)), wrong

    def written(option):
        line = in_file(option, {"data": options}, "data")
        assert line in str(wrong)
        return tomllib.loads(line)

    check_each(options, wrong.__cause__, written, load)


def test_by_set(case, capsys, monkeypatch, tmp_path):
    """What is given on the command line, errors advise to give there."""
    source, options = case
    (tmp_path / "e.toml").write_text(experiment("iris", {}))

    def run(options):
        sets = [f"--set=data.{k}={inline(v)}" for k, v in {"source": source, **options}.items()]
        monkeypatch.setattr("sys.argv", ["foedus", "data", "e.toml", *sets])
        with contextlib.suppress(SystemExit):
            main()
        if said := capsys.readouterr().err:
            raise BadInput(said)

    wrong = error_of(lambda: run(options))
    assert not PYTHON.search(re.sub(r"--set ('[^']*'|\S+)", "", str(wrong))), wrong
    cause = error_of(lambda: parse(experiment(source, options)).data()).__cause__

    def written(option):
        words = in_set(option, {"data": options})
        assert words in str(wrong)
        keys, value = parse_set(shlex.split(words)[1])
        assert keys == ["data", option.name]
        return {option.name: value}

    check_each(options, BadInput(*cause.args), written, run)
