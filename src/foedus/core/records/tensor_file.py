"""Opening a safetensors file, whatever bytes its name has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import safetensors


@contextmanager
def opened(path: Path, framework: str) -> Iterator[Any]:
    """The file as ``safetensors.safe_open`` gives it, whose tensors are of torch (``"pt"``) or NumPy (``"np"``).

    Errors: ``safetensors.SafetensorError``, ``OSError``.
    """
    with ExitStack() as stack:
        name = str(path)
        try:
            name.encode()
        except UnicodeEncodeError:  # the library takes no name that is not UTF-8; only Linux has such
            name = f"/proc/self/fd/{stack.enter_context(open(path, 'rb')).fileno()}"
        yield stack.enter_context(safetensors.safe_open(name, framework=framework))
