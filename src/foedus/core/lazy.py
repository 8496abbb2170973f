"""Packages whose names are imported when they are first asked for (PEP 562).

To import torch takes a second, scikit-learn and Matplotlib take one more. ``foedus --help`` needs none of them, and a
process that is started must set its death signal before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str], modules: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    ``homes``  names, separated by blanks, by the module that they come from.
    ``modules``  names of submodules that are there without an import of their own.

    The package repeats its names twice: for type checkers in a block that only they read, and in ``__all__``, which
    they read too. ``tests/test_lazy.py`` holds the three against each other.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    submodules = frozenset(modules.split())

    def get(name: str) -> Any:
        if name in submodules:
            return importlib.import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)  # next time it is there
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home, *submodules})

    return get, names
