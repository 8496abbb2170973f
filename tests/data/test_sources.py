"""Data sets by name: what is not there is said with what is."""

import inspect
import subprocess
import sys

import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.sources import SOURCES


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, r"unknown data set 'digit': did you mean 'digits'\? There are: digits, breast-cancer, wine, "),
        ("Breast_Cancer", {}, r"did you mean 'breast-cancer'\?"),
        ("xyzzy", {}, r"unknown data set 'xyzzy': There are: digits, breast-cancer, wine, "),
        (3, {}, r"unknown data set 3: There are"),
        ("digits", {"tests": 0.1}, r"'digits' has no option 'tests': did you mean 'test'\? It takes: test, test_seed$"),
        ("idx", {"folder": "."}, r"'idx' has no option 'folder': It takes: path, flat, limit, dtype$"),
        ("idx", {}, r"'idx' needs the option path: load\('idx', path=\.\.\.\)"),
        ("digits", {"test": 2.0}, r"test must be .*got 2\.0"),
    ],
)
def test_bad_input(name, options, message):
    with pytest.raises(BadInput, match=message):
        load(name, **options)


def test_every_source_says_what_it_takes():
    for name, source in SOURCES.items():
        assert inspect.getdoc(source), name
        for parameter in inspect.signature(source).parameters.values():
            assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY), (name, parameter)
            assert parameter.annotation is not parameter.empty, (name, parameter)


def test_heavy_libraries_are_imported_only_when_their_data_are_asked_for():
    code = (
        "import sys\n"
        "import numpy, torch\n"
        "before = set(sys.modules)\n"
        "import foedus.data, foedus.models\n"
        "heavy = ('sklearn', 'datasets', 'PIL', 'scipy')\n"
        "assert not [m for m in set(sys.modules) - before if m.split('.')[0] in heavy]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
