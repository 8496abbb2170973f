"""The user's own code by its import path: ``"package.module:Name"``."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from foedus.core.errors import BadInput
from foedus.plain.kinds import returned
from foedus.plain.names import among


def load(name: str, folder: Path) -> Any:
    """What the name after the colon is in the module before it. Nothing is called.

    The file's folder stays at the end of ``sys.path``, so that worker processes find the module too, and a file that
    lies there by accident takes the place of no other module.
    Errors: ``BadInput`` if there is no such module or name, if importing it fails, with what it raised, and for what is
    Python's own: no program, data set or network is, and a slip or a trick would call it.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not all(part.isidentifier() for part in f"{module_name}.{attribute}".split(".")):
        raise BadInput(f"{name!r} is no import path: write 'package.module:Name'")
    if _is_pythons(module_name) and not any(file.is_file() for file in _files(module_name, folder)):
        raise BadInput(_not_yours(name))
    found: Any = _import(module_name, folder)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [n for n in getattr(found, "__dict__", ()) if not n.startswith("_")]
            raise BadInput(f"{module_name} has no {part}; {among(part, known, 'it has', most=20)}")
        found = getattr(found, part)
    called = isinstance(found, type) or inspect.isfunction(found) or inspect.isbuiltin(found) or inspect.ismethod(found)
    if called and _is_pythons(str(getattr(found, "__module__", ""))):
        raise BadInput(_not_yours(name))
    return found


def made(name: str, folder: Path, of_rows: bool = False) -> Any:
    """An object of the user's: what a class or function of this name makes without arguments, or what has the name.

    It is looked at before it is called. ``of_rows``: it has to have rows, ``__len__`` and ``__getitem__``.
    Errors: those of ``load``, and ``BadInput`` for what takes arguments or makes something else.
    """
    found = load(name, folder)
    if not (isinstance(found, type) or inspect.isroutine(found)):
        if isinstance(found, ModuleType):
            raise BadInput(f"{name} is a module: name a class, a function or an object in it")
        return found
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise BadInput(f"{name} takes arguments, and here it is called without any: name a function of none") from None
    except ValueError:  # written in C, and tells nothing
        pass
    kinds = returned(found)
    if of_rows and kinds and not any(hasattr(k, "__getitem__") and hasattr(k, "__len__") for k in kinds):
        raise BadInput(f"{name} makes a {kinds[0].__name__}, which has no rows: it needs __len__ and __getitem__")
    return found()


def import_path(target: Any) -> str:
    """The import path of a class or function. Errors: ``BadInput`` if it can't be found by one, such as a lambda."""
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not module or not name or "<" in name:
        raise BadInput(f"{target!r} has no name to import it by: define it at the top of a module")
    if module == "__main__":
        raise BadInput(f"{name} is defined in the script that runs, so nobody else can import it: put it in a module")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not target:
        raise BadInput(f"{module}:{name} is not {target!r}, so it cannot be written by that name")
    return f"{module}:{name}"


def _is_pythons(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _not_yours(name: str) -> str:
    return f"{name} is Python's own, and nothing that an experiment could use: name something of yours"


def _files(module: str, folder: Path) -> list[Path]:
    """Where a folder would have a module."""
    place = folder.joinpath(*module.split("."))
    return [place.with_name(f"{place.name}.py"), place / "__init__.py"]


def _import(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is not None and (name == e.name or name.startswith(e.name + ".")):
            raise BadInput(f"there is no module {e.name}: looked in {folder} and where Python looks") from e
        raise BadInput(_what_happened(name, e)) from e
    except (Exception, SystemExit) as e:
        raise BadInput(_what_happened(name, e)) from e
    # Two files in two folders may each have a mine.py, and Python keeps only the first that it finds.
    here = [file.resolve() for file in _files(name, folder) if file.is_file()]
    file = getattr(module, "__file__", None)
    if here and (file is None or Path(file).resolve() not in here):
        where = f"from {file}" if file is not None else "as a part of Python"
        raise BadInput(f"another module {name} is loaded already, {where}: give the one in {folder} another name")
    return module


def _what_happened(name: str, e: BaseException) -> str:
    first = (str(e).strip().splitlines() or ["no message"])[0]
    place = ""
    if isinstance(e, SyntaxError):
        first, place = e.msg, f" ({Path(e.filename or name).name}, line {e.lineno})"
    else:
        frames = [f for f in traceback.extract_tb(e.__traceback__) if "importlib" not in f.filename]
        theirs = [f for f in frames if f.filename != __file__]
        if theirs:
            place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})"
    return f"importing {name} raised {type(e).__name__}: {first}{place}"
