"""Files are written whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from foedus.core.errors import BadInput, trouble


def write_whole(file: Path, content: bytes, what: str) -> Path:
    """Write the file, with its folder where that is missing: a reader never finds half of it. Errors: ``BadInput``."""
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as e:
        with suppress(OSError):
            part.unlink()
        raise BadInput(f"{what} cannot be written to {file}: {trouble(e)}") from e
    return file
