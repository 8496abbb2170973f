"""Packages whose names are imported when they are asked for have the names that they say, and no others."""

import ast
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import foedus as fd

ROOT = Path(fd.__file__).parent
LAZY = sorted(
    ".".join(("foedus", *p.parent.relative_to(ROOT).parts))
    for p in ROOT.rglob("__init__.py")
    if "lazily(" in p.read_text(encoding="utf-8")
)
HEAVY = ("torch", "sklearn", "matplotlib", "networkx")


def for_type_checkers(package):
    """Name -> (module, its name there), as mypy and editors read it."""
    tree = ast.parse(Path(importlib.import_module(package).__file__).read_text(encoding="utf-8"))
    [block] = [n for n in tree.body if isinstance(n, ast.If)]
    return {a.asname or a.name: (n.module, a.name) for n in block.body for a in n.names}


def test_these_packages_are_lazy():
    assert {"foedus", "foedus.runtimes", "foedus.data", "foedus.experiment", "foedus.report"} <= set(LAZY)


@pytest.mark.parametrize("package", LAZY)
def test_every_name_is_there_and_is_what_type_checkers_think_it_is(package):
    module = importlib.import_module(package)
    eager = for_type_checkers(package)
    for name in module.__all__:
        assert getattr(module, name) is not None, name
        assert name in dir(module), name
    for name, (home, there) in eager.items():
        found = getattr(importlib.import_module(home), there)
        assert getattr(module, name) is found, name
        assert module.__getattr__(name) is found, name
    assert {*eager} - {"__version__"} <= {*module.__all__}
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'no_such'"):
        _ = module.no_such


@pytest.mark.parametrize("package", LAZY)
def test_no_module_is_called_like_something_else_of_its_package(package):
    """Whoever imports the module first would find it in the other's place."""
    module = importlib.import_module(package)
    for name in {*for_type_checkers(package), *module.__all__}:
        if (Path(module.__file__).parent / f"{name}.py").exists():
            assert getattr(module, name).__name__ == f"{package}.{name}"


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_to_import_foedus_imports_nothing_heavy_and_any_order_gives_the_same():
    code = f"""
import sys, foedus as fd
print([m for m in {HEAVY} if m in sys.modules])
import foedus.training, foedus.report.document, foedus.runtimes.processes
print(fd.train.__module__, callable(fd.report.page), fd.runtimes.Processes is fd.Processes, fd.__version__)
from foedus import *
print(train is fd.train, FedAvg is fd.FedAvg, data is fd.data)
"""
    assert run(code) == f"[]\nfoedus.training True True {fd.__version__}\nTrue True True\n"


COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "help of a command": ["run", "--help"],
    "init": ["init", "-o", "FOLDER/a.toml"],
    "init of a table": ["init", "FOLDER/t.csv", "-o", "FOLDER/b.toml"],
    "show": ["show", "FOLDER/run"],
    "show as JSON": ["show", "FOLDER/run", "--json"],
    "show of a run that was killed": ["show", "FOLDER/killed"],
    "help of data": ["data", "-h"],
    "completion": [],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run and a table."""
    folder = tmp_path_factory.mktemp("light")
    data = fd.data.load("breast-cancer").split(fd.data.IID(), nodes=3)
    model = fd.Model(fd.models.mlp(30, 4, 2))
    fd.train(fd.FedAvg(rounds=2), model, data, out=folder / "run")
    shutil.copytree(folder / "run", folder / "killed")
    for name in ("model.safetensors", "best.safetensors"):
        (folder / "killed" / name).unlink()
    about = folder / "killed" / "run.json"
    about.write_text(about.read_text().replace('"finished"', '"running"'))
    (folder / "t.csv").write_text("a,b,node,y\n1,2,x,yes\n2,3,x,no\n3,1,z,yes\n4,2,z,no\n")
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_train_nothing_import_nothing_heavy(name, folder):
    arguments = [a.replace("FOLDER", str(folder)) for a in COMMANDS[name]]
    code = f"""
import os, sys
if not {arguments}:
    os.environ.update(_FOEDUS_COMPLETE="complete_bash", COMP_WORDS="foedus ru", COMP_CWORD="1")
sys.argv = ["foedus", *{arguments}]
from foedus.cli import main
try:
    main()
finally:
    print([m for m in {HEAVY} if m in sys.modules])
"""
    out = run(code).splitlines()
    assert out[-1] == "[]"
    assert len(out) > 1  # it said something
