"""What sources that read files have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from foedus.core.errors import BadInput

T = TypeVar("T")


def existing_file(path: Any, expected: str) -> Path:
    """The file, or ``BadInput`` that says what was expected."""
    file = _path(path)
    if not file.is_file():
        raise BadInput(f"{file} is not a file: path must be {expected}")
    return file


def existing_folder(path: Any, expected: str) -> Path:
    """The folder, or ``BadInput`` that says what was expected."""
    folder = _path(path)
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: path must be {expected}")
    return folder


def naming(where: Path, make: Callable[[], T]) -> T:
    """What is made, or a ``BadInput`` that also names the file."""
    try:
        return make()
    except BadInput as e:
        raise BadInput(f"{where}: {e}") from e


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"path must be the name of a file or folder, got {path!r}")
    return Path(path).expanduser()
