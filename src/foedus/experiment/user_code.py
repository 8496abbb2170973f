"""The user's own code by its import path: ``"package.module:Name"``."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from foedus.core.errors import BadInput
from foedus.plain.names import among


def load(name: str, folder: Path) -> Any:
    """What the name after the colon is in the module before it; the file's folder is searched first.

    The folder stays on ``sys.path``, as a script's does, so that worker processes find the module too.
    Errors: ``BadInput`` if there is no such module or name, or if importing it fails, with what it raised.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not all(part.isidentifier() for part in f"{module_name}.{attribute}".split(".")):
        raise BadInput(f"{name!r} is no import path: write 'package.module:Name'")
    found: Any = _import(module_name, folder)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [n for n in vars(found) if not n.startswith("_")]
            raise BadInput(f"{module_name} has no {part}; {among(part, known, 'it has')}")
        found = getattr(found, part)
    return found


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


def _import(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is not None and (name == e.name or name.startswith(e.name + ".")):
            raise BadInput(f"there is no module {e.name}: looked in {folder}, then where Python looks") from e
        raise BadInput(_what_happened(name, e)) from e
    except (Exception, SystemExit) as e:
        raise BadInput(_what_happened(name, e)) from e
    # Two files in two folders may each have a mine.py, and Python keeps only the first that it imported.
    here = [folder.joinpath(*name.split(".")).with_suffix(".py"), folder.joinpath(*name.split("."), "__init__.py")]
    file = getattr(module, "__file__", None)
    if file is not None and any(h.is_file() for h in here) and Path(file).resolve() not in [h.resolve() for h in here]:
        raise BadInput(f"another module {name} is loaded already, from {file}: give the one in {folder} another name")
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
