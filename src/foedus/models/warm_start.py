"""First weights from elsewhere: a file, or a state dict in memory."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from foedus.core.errors import BadInput
from foedus.core.records.tensor_file import opened
from foedus.core.types.model import check_shapes_known
from foedus.models.names import did_you_mean

log = logging.getLogger("foedus")


def warm_start(
    module: nn.Module, source: str | os.PathLike[str] | Mapping[str, Tensor], strict: bool = True
) -> nn.Module:
    """Give the module the parameters and buffers that ``source`` holds by name; the same module, changed.

    ``source``  a ``.safetensors`` file, a ``.pt`` or ``.pth`` file in which ``torch.save`` put a state dict, or a state
                dict. Numbers of another width are converted.
    ``strict``  every tensor must be there, and nothing else. False takes what fits by name and shape; what it left on
                either side is a warning of the logger ``foedus``.

    Prefer safetensors: such a file is numbers and nothing else, while a ``.pt`` file is a pickle, which can be made to
    run code. It is read with ``weights_only=True``, so that anything but tensors is refused.
    Errors: ``BadInput`` for a file that is not what it seems, and for names and shapes that do not fit, all at once;
    the module is then as it was.

    >>> from foedus.models import linear
    >>> warm_start(linear(2), {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.zeros(1)}).weight
    Parameter containing:
    tensor([[1., 2.]], requires_grad=True)
    """
    if not isinstance(module, nn.Module):
        raise BadInput(f"warm_start needs a torch.nn.Module, got a {type(module).__name__}: start before you wrap it")
    check_shapes_known(module)
    if isinstance(source, nn.Module):
        raise BadInput("warm_start needs a file or a state dict, got a module: give module.state_dict()")
    if isinstance(source, Mapping):
        given, origin = _tensors(source, "the state dict"), "the state dict"
    elif isinstance(source, str | os.PathLike):
        given, origin = _read(Path(source)), str(source)
    else:
        raise BadInput(f"warm_start needs a file or a state dict, got a {type(source).__name__}")
    # A module's extra state, which is anything but a tensor, is its own business.
    own = {name: t for name, t in module.state_dict(keep_vars=True).items() if isinstance(t, Tensor)}
    fits = [name for name, t in own.items() if name in given and _kind(t) == _kind(given[name])]
    trouble = _differences(own, given, fits)
    if trouble and (strict or not fits):
        advice = "in Python, warm_start(..., strict=False) takes what fits" if fits else "nothing fits"
        raise BadInput(f"{origin} does not fit the module: {trouble}; {advice}")
    with torch.no_grad():
        for name in fits:
            own[name].copy_(given[name])
    if trouble:
        log.warning("%s: took %d of the module's %d tensors; %s", origin, len(fits), len(own), trouble)
    return module


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor], fits: Sequence[str]) -> str:
    """What is missing, what is too much, what has another shape."""
    # One tensor under two names is there if one of them is.
    taken = {id(own[name]) for name in fits}
    missing = [name for name, t in own.items() if name not in given and id(t) not in taken]
    unexpected = [name for name in given if name not in own]
    other = [name for name in own if name in given and name not in fits]
    said = []
    if missing:
        said.append("missing: " + ", ".join(missing))
    if unexpected:
        said.append("unexpected: " + ", ".join(f"{n}{did_you_mean(n, missing)}" for n in unexpected))
    if other:
        said.append(
            "of another shape: " + ", ".join(f"{n} is {_show(given[n])}, must be {_show(own[n])}" for n in other)
        )
    return "; ".join(said)


def _kind(t: Tensor) -> tuple[torch.Size, bool]:
    return t.shape, t.is_floating_point()


def _show(t: Tensor) -> str:
    return f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"


def _read(path: Path) -> Mapping[str, Tensor]:
    readers = {".safetensors": _read_safetensors, ".pt": _read_torch, ".pth": _read_torch}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadInput(
            f"{path} is no file of weights{did_you_mean(path.suffix, readers)}; it must end in {', '.join(readers)}"
        )
    if not path.is_file():
        near = did_you_mean(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise BadInput(f"there is no file {path}{near}")
    return reader(path)


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        with opened(path, "pt") as f:
            return {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as e:
        raise BadInput(f"{path} is not a safetensors file: {e}") from e


def _read_torch(path: Path) -> Mapping[str, Tensor]:
    # What torch.save writes is a zip archive with one data.pkl. Nothing else is given to an unpickler at all.
    try:
        with path.open("rb") as file:
            whole = file.read(4) == b"PK\x03\x04"  # an archive at the end of something else is one to zipfile too
            names = zipfile.ZipFile(file).namelist() if whole else []
    except zipfile.BadZipFile:
        names = []
    if not any(name.endswith("/data.pkl") for name in names):
        raise BadInput(f"{path} is not what torch.save writes: save it again, torch.save(module.state_dict(), ...)")
    if any("/code/" in name for name in names):
        raise BadInput(f"{path} is a TorchScript program: save its numbers alone, torch.save(module.state_dict(), ...)")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise BadInput(
            f"{path} holds more than tensors, or is damaged, and was not loaded ({reason}): "
            "save a state dict, torch.save(module.state_dict(), ...), or better a safetensors file"
        ) from e
    return _tensors(held, str(path))


def _tensors(held: Any, origin: str) -> Mapping[str, Tensor]:
    if not isinstance(held, Mapping):
        raise BadInput(f"{origin} holds a {type(held).__name__}, a state dict is needed: module.state_dict()")
    if not held:
        raise BadInput(f"{origin} is empty")
    wrong = [name for name, t in held.items() if not isinstance(name, str) or not isinstance(t, Tensor)]
    if wrong:
        nested = [name for name in wrong if isinstance(held[name], Mapping)]
        advice = f": give the state dict inside it, such as [{nested[0]!r}]" if nested else ""
        raise BadInput(
            f"{origin} must hold tensors by name; it holds "
            + ", ".join(f"{name!r}: a {type(held[name]).__name__}" for name in wrong)
            + advice
        )
    return held
