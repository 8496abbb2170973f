"""What it says of a file where it stands: ``site-1/data.csv`` is site-1's, ``hospital=n/part.parquet`` has a column."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from foedus.core.errors import BadInput
from foedus.core.text import readable
from foedus.data.tables.files import Paths, stem

_NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""How a folder is named whose files have no value of the column."""


@dataclass(frozen=True)
class Stand:
    """Of a file: the folder that tells it from others, and columns that the names of folders give it.

    ``site`` is the first folder that not all files are in; None where all are in one, or where columns are given.
    """

    site: str | None = None
    columns: tuple[tuple[str, str | None], ...] = ()


def layout(path: Paths, files: Sequence[Path]) -> list[Stand]:
    """Where each of these files, which were found at a path, stands.

    Folders ``name=value`` count below a folder that was named, before a pattern's first ``*``, or below what all files
    of a list share: what is above says nothing of the rows.
    """
    if not files:
        return []
    shared = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    base = _base(path)
    base = shared if base is None else base.absolute()
    found = []
    for file in files:
        folders = file.parent.absolute().relative_to(base).parts if file.absolute().is_relative_to(base) else ()
        named = [folder.partition("=") for folder in folders if "=" in folder[1:]]
        columns = tuple((readable(n), None if v == _NOTHING else readable(unquote(v))) for n, _, v in named)
        apart = file.parent.absolute().relative_to(shared).parts
        found.append(Stand(readable(apart[0]) if apart and not columns else None, columns))
    return found


def is_folder(path: Paths) -> bool:
    """Whether a path names one folder, in which the files are."""
    return isinstance(path, str | os.PathLike) and Path(path).expanduser().is_dir()


class Standing(Protocol):
    """A file, and where it stands."""

    @property
    def path(self) -> Path: ...
    @property
    def stand(self) -> Stand: ...


def named_after(path: Paths, parts: Sequence[Standing]) -> list[str]:
    """The node of each file where none is said: of a folder's folders the folder, else the file, told apart if need be.

    Errors: ``BadInput`` for two files that would be one node.
    """
    sites = [p.stand.site for p in parts]
    if is_folder(path) and all(site is not None for site in sites):
        return [site or "" for site in sites]
    files = [p.path for p in parts]
    names = [stem(f) for f in files]
    if len(set(names)) == 1 and len({f.parent.name for f in files}) == len(files):
        return [readable(f.parent.name) for f in files]
    if len(set(names)) < len(names):
        names = [f"{readable(f.parent.name)}/{stem(f)}" for f in files]
    if twice := next((n for n, times in Counter(names).items() if times > 1), None):
        raise BadInput(f"two files would be the node {twice!r}: a node is named after its file, rename one of them")
    return names


def _base(path: Paths) -> Path | None:
    """The folder that was named, or that a pattern begins with; None for a list and a single file."""
    if not isinstance(path, str | os.PathLike):
        return None
    given = Path(os.fspath(path)).expanduser()
    if given.is_dir():
        return given
    if given.exists() or not has_magic(str(given)):
        return None
    parts = given.parts
    first = next(i for i, part in enumerate(parts) if has_magic(part))
    return Path(*parts[:first]) if first else Path()
