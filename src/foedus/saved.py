"""A run's folder read and written: what ``run.json`` says of it, and its models.

A folder holds ``run.json`` (what it was), ``config.toml`` (if it came from a file), ``history.jsonl`` and
``ledger.jsonl`` (a line a commit), ``checkpoint.safetensors``, and at the end ``model.safetensors`` and
``best.safetensors``: the module's tensors by name, with the layout of the flat vector in the metadata.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import safetensors

from foedus.core.errors import BadInput
from foedus.core.records.checkpoint import CHECKPOINT, HISTORY, Checkpoint, read_history
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.folder import ABOUT, LEDGER, RunFolder
from foedus.core.records.ledger import Costs, Ledger
from foedus.core.records.lock import in_use
from foedus.core.records.run import Described, Record, Run

if TYPE_CHECKING:
    from torch import Tensor

    from foedus.core.types.model import Model

CONFIG = "config.toml"
MODEL, BEST = "model.safetensors", "best.safetensors"

TOLD = 10_000
"""Nodes of which ``run.json`` tells rows and labels one by one."""

R = TypeVar("R", bound=Run)

_NOTHING = np.empty(0, dtype=np.float32)

STUDY = "study.json"
"""What a folder of several runs has."""


def about(run: Run) -> dict[str, Any]:
    """What ``run.json`` says."""
    few = run.nodes <= TOLD
    prepared = run.preparation
    return {
        "program": {"name": run.name, "text": repr(run.program)},
        "runtime": {"name": type(run.runtime).__name__, "text": repr(run.runtime)},
        "status": run.status,
        "seed": run.seed,
        "nodes": run.nodes,
        "node_names": list(run.node_names) if run.node_names is not None and few else None,
        "sizes": run.sizes if few else None,
        "rows": sum(run.sizes),
        "label_counts": run.label_counts if few else None,
        "class_names": None if run.class_names is None else list(run.class_names),
        "evaluated_on": asdict(run.evaluated_on),
        "objective": run.objective,
        "rounds": len(run.history),
        "best": None if run.best is None else asdict(run.best),
        "sha256": run.sha256,
        "parameters": run.vector.numel(),
        "origin": run.origin,
        "notices": run.notices,
        "preparation": None if prepared is None else {"lines": list(prepared.lines), "bytes": prepared.bytes},
        "node_metrics": run.node_metrics if few else None,
        "staleness": run.staleness,
        "ledger": run.ledger.as_tree() if few else {**run.ledger.as_tree(), "nodes": {}},
    }


def as_json(fields: dict[str, Any]) -> bytes:
    """One object, indented, that ends with a new line."""
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def save(run: Run, folder: RunFolder) -> None:
    """Write what a run leaves besides its checkpoint and its lines. Errors: ``StorageFailed``."""
    if run._model is not None and run.history:
        folder.write(MODEL, model_file(run._model, run.vector))
        if run.best is not None:
            folder.write(BEST, model_file(run._model, run.best_vector))
    folder.write(ABOUT, as_json(about(run)))


def model_file(model: Model, vector_D: Tensor) -> bytes:
    """A safetensors file of the module's parameters and buffers by name, with the flat vector's layout as metadata."""
    import safetensors.torch

    module = model.copy_of(vector_D)
    tensors = {name: t.detach().contiguous().clone() for name, t in module.state_dict().items()}
    slots = [[s.name, s.start, list(s.shape)] for s in model.layout.slots]
    layout = {"slots": slots, "parameters": model.layout.parameters, "buffers": model.layout.buffers}
    return safetensors.torch.save(tensors, metadata={"layout": json.dumps(layout)})


def read_vector(path: Path) -> np.ndarray:
    """The flat vector (D,) of a ``model.safetensors``. Errors: ``BadInput``."""
    try:
        with safetensors.safe_open(path, framework="np") as f:
            layout = json.loads((f.metadata() or {})["layout"])
            pieces = [f.get_tensor(name).reshape(-1) for name, _, _ in layout["slots"]]
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, OSError) as e:
        raise BadInput(f"{path} is damaged or not a model of a run ({type(e).__name__}: {e})") from e
    return np.concatenate(pieces)


def told(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Origin and notices of a run that is to be resumed; nothing if they cannot be read, for it can do without."""
    try:
        read = msgspec.json.decode((folder / ABOUT).read_bytes())
        return read["origin"], read["notices"]
    except (OSError, LookupError, TypeError, ValueError):
        return {}, []


def commits(folder: Path) -> int:
    """How many commits a folder has a line of history for."""
    return (folder / HISTORY).read_bytes().count(b"\n") if (folder / HISTORY).exists() else 0


def load(path: str | Path, kind: type[R] = Run) -> R:  # type: ignore[assignment]
    """The run in a folder: its history, costs and vectors, without program, data or module.

    Errors and states are those of ``glance``.
    """
    import torch

    run = glance(path, kind)
    run.vector, run.best_vector = torch.as_tensor(run.vector), torch.as_tensor(run.best_vector)
    return run


def glance(path: str | Path, kind: type[R] = Run) -> R:  # type: ignore[assignment]
    """The same to be shown, with arrays of NumPy for vectors: to look at a run that has ended takes no torch.

    A run that is still going on, or that was killed, is read as its files have it: ``status`` says ``"running"`` or
    ``"killed"``. Errors: ``BadInput`` if there is no run, or its files are damaged.
    """
    folder = Path(path)
    if not (folder / ABOUT).is_file():
        what = "is not a folder" if not folder.is_dir() else f"holds no run: {ABOUT} is missing"
        raise BadInput(f"{folder} {what}; name the folder that a run was written to")
    try:
        read = msgspec.json.decode((folder / ABOUT).read_bytes())
        history = read_history(folder) if (folder / HISTORY).exists() else []
        status = read["status"]
        if status == "running" and not in_use(folder):
            status = "killed"
        vector, best = _vectors(folder)
        return kind(
            program=Described(**read["program"]),
            vector=vector,
            history=history,
            ledger=_ledger(folder, read, history),
            best=None if read["best"] is None else Record(**read["best"]),
            best_vector=best,
            status=status,
            seed=read["seed"],
            nodes=read["nodes"],
            sizes=read["sizes"] or [read["rows"]],
            label_counts=read["label_counts"],
            evaluated_on=EvaluatedOn(**read["evaluated_on"]),
            objective=read["objective"],
            runtime=Described(**read["runtime"]),
            out=folder,
            node_metrics=read["node_metrics"],
            staleness=None if read["staleness"] is None else {int(k): v for k, v in read["staleness"].items()},
            config=(folder / CONFIG).read_text(encoding="utf-8") if (folder / CONFIG).exists() else None,
            origin=read["origin"],
            notices=read["notices"],
            preparation=None if read["preparation"] is None else _Prepared(**read["preparation"]),
            node_names=None if read["node_names"] is None else tuple(read["node_names"]),
            class_names=None if read["class_names"] is None else tuple(read["class_names"]),
        )
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, OSError) as e:
        raise BadInput(f"{folder / ABOUT} is damaged or of another version ({type(e).__name__}: {e})") from e


def _vectors(folder: Path) -> tuple[Any, Any]:
    """The last model and the best: of the end, or else of the last checkpoint."""
    if (folder / MODEL).exists():
        last = read_vector(folder / MODEL)
        return last, read_vector(folder / BEST) if (folder / BEST).exists() else last
    if not (folder / CHECKPOINT).exists():
        return _NOTHING, _NOTHING
    tree = Checkpoint.load(folder).tree
    last = np.asarray(tree["state"].w) if "w" in tree["state"] else _NOTHING
    return last, last if tree["best_w"] is None else np.asarray(tree["best_w"])


class _Prepared(msgspec.Struct):
    lines: list[str]
    bytes: int


def _ledger(folder: Path, read: dict[str, Any], history: list[Record]) -> Ledger:
    """The books as of the last line of the ledger; those by node as of the end, if there was one."""
    ledger = Ledger()
    tree = read["ledger"]
    ledger.nodes = {int(k): Costs(**v) for k, v in tree["nodes"].items()}
    ledger.per_node = bool(ledger.nodes)
    lines = (folder / LEDGER).read_bytes().split(b"\n")[:-1] if (folder / LEDGER).exists() else []
    if lines:
        last = msgspec.json.decode(lines[-1])
        last.pop("round")
        ledger.total = Costs(**last)
    if history:
        ledger.virtual_s, ledger.wall_s = history[-1].virtual_s, history[-1].wall_s
    return ledger
