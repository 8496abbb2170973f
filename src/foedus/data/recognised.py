"""Which source reads what a path names: by how names end and how files begin. Nothing large is read, or imported."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from foedus.core.records.folder import ABOUT
from foedus.data.files import kind_of
from foedus.data.tables.formats import FORMATS, SUFFIXES, format_of

IMAGES = (".png", ".jpg", ".jpeg")
LIBSVM = (".libsvm", ".svmlight", ".svm", ".libsvm.gz", ".svmlight.gz", ".svm.gz")
_SPARSE = re.compile(rb"[-+]?[\d.]+([eE][-+]?\d+)?([ \t]+(qid:)?\d+:[-+\d.eEnaif]+)+[ \t]*(#.*)?\r?\n")
_LEAF = re.compile(rb'\s*\{.*"(user_data|num_samples|users)"\s*:', re.DOTALL)
BEGINNING = 1 << 16
"""Bytes of a file that are looked at."""
MOST = 10_000
"""Files of a folder that are looked at."""


def source_of(path: Path) -> str | None:
    """The source that reads a file or folder; None for what none does. Runs and hidden folders are passed over.

    >>> source_of(Path("hospitals.xlsx")), source_of(Path("digits.npz")), source_of(Path("thesis.pdf"))
    ('excel', 'npz', None)
    """
    files = list(_inside(path))
    names = [f.name.lower() for f in files]
    if not path.is_dir():
        return _of_file(path)
    tables = [f for f, name in zip(files, names, strict=True) if name.endswith(SUFFIXES)]
    if tables:
        return _of_file(min(tables))
    if any("-idx" in n or ".idx" in n for n in names):
        return "idx"
    if any(n.endswith(LIBSVM) for n in names):
        return "libsvm"
    if any(n.endswith(IMAGES) for n in names):
        return "images"
    return "leaf" if any(_is_leaf(f) for f in files if f.name.lower().endswith(".json")) else None


def _of_file(file: Path) -> str | None:
    name = file.name.lower()
    if name.endswith(".npz"):
        return "npz"
    if name.endswith(LIBSVM):
        return "libsvm"
    if name.endswith(".json"):
        return "leaf" if _is_leaf(file) else None
    form = format_of(file)
    if form is FORMATS["csv"]:
        if _SPARSE.match(_beginning(file)):
            return "libsvm"
        return "csv" if name.endswith(form.suffixes) else None
    return form.source


def _is_leaf(file: Path) -> bool:
    return _LEAF.match(_beginning(file)) is not None


def _beginning(file: Path) -> bytes:
    if kind_of(file) != "a file":
        return b""
    try:
        with file.open("rb") as f:
            return f.read(BEGINNING)
    except OSError:  # whoever reads it says so
        return b""


def has_text(path: Path) -> bool:
    """Whether LEAF's files, or one of them, hold text: as far as the beginning of the first one shows."""
    first = min(_inside(path), key=lambda f: not f.name.lower().endswith(".json"))
    return re.search(rb'"x"\s*:\s*\[\s*"', _beginning(first)) is not None


def _inside(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    return itertools.islice(_files(path), MOST)


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        if ABOUT in names:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(here, name) for name in sorted(names))
