"""Networks for other programs to run."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from foedus.core.errors import BadInput
from foedus.core.types.model import as_input


def to_onnx(module: nn.Module, example_x: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write the module, in evaluation mode, as an ONNX file that takes any number of rows; where it was written.

    ``example_x`` (N, ...) is a batch for it, of which type and shape count; the file's input ``x`` is float32 where it
    is an image (for uint8 pixels, give x / 255), int64 or int32 where it is tokens. The output is ``y``. The file
    appears whole or not at all.
    Needs ``pip install "foedus[onnx]"``. Errors: ``BadInput`` where that is missing, for a folder that does not exist,
    and for a module that cannot take the example or cannot be exported.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise BadInput(f'to_onnx needs {" and ".join(missing)}: pip install "foedus[onnx]"')
    if not isinstance(module, nn.Module):
        raise BadInput(f"to_onnx needs a torch.nn.Module such as run.model(), got a {type(module).__name__}")
    if not isinstance(example_x, Tensor) or example_x.dim() < 1 or not len(example_x):
        raise BadInput("to_onnx needs an example of what the module takes: a tensor with at least one row")
    path = Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} to write {path.name} into")
    if path.is_dir():
        raise BadInput(f"{path} is a folder: give the name of a file, such as {path / 'model.onnx'}")
    module = copy.deepcopy(module).eval()
    # Two rows: a size of one may be taken for a constant.
    x = as_input(example_x)[:2]
    x = x if len(x) == 2 else torch.cat([x, x])
    try:
        with torch.no_grad():
            module(x)
    except Exception as e:
        raise BadInput(f"the module cannot take the example of shape {tuple(x.shape)} {x.dtype}: {_reason(e)}") from e
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        made = Path(folder) / path.name
        try:
            with _quiet():
                torch.onnx.export(
                    module,
                    (x,),
                    made,
                    input_names=["x"],
                    output_names=["y"],
                    dynamic_shapes=({0: torch.export.Dim("rows")},),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
        except Exception as e:
            raise BadInput(f"the module cannot be exported to ONNX: {_reason(e)}") from e
        os.replace(made, path)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns and prints of its own insides, in several ways, and of packages that nobody asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(e: Exception) -> str:
    return f"{type(e).__name__}: " + (str(e).strip().splitlines() or ["no message"])[0]
