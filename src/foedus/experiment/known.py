"""What a file can name: whatever foedus's packages export (``__all__``). There is no list of names."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

import foedus
from foedus.plain.names import written
from foedus.plain.registry import Registry

JOINERS = {"__main__", "cli", "core", "demo", "experiment", "plain", "report", "testing", "training"}
"""Parts of foedus that hold nothing a file could name. Every other package is searched."""

INSIDE = ("data.partitions",)
"""Packages inside packages that are searched too."""


@functools.cache
def exports() -> dict[str, Any]:
    """Everything that the packages export, by its full name."""
    found: dict[str, Any] = {}
    packages = [m.name for m in pkgutil.iter_modules(foedus.__path__) if m.ispkg and m.name not in JOINERS]
    for package in (*packages, *INSIDE):
        module = importlib.import_module(f"foedus.{package}")
        for name in getattr(module, "__all__", ()):
            try:
                found[f"{module.__name__}.{name}"] = getattr(module, name)
            except ImportError:  # what it needs is not installed
                continue
    return found


@functools.cache
def known() -> Registry:
    """The registry of files."""
    entries = []
    for full, export in exports().items():
        own = full.rpartition(".")[2]
        is_instance = not isinstance(export, type) and not hasattr(export, "__origin__")
        entries.append((written(export) if isinstance(export, type) else own.lower() if is_instance else own, export))
    return Registry(entries, tables="foedus.experiment.tables")


def forget() -> None:
    """Look at the packages anew."""
    exports.cache_clear()
    known.cache_clear()
