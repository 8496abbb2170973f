"""A run's folder read and written: what ``run.json`` says of it, and its models.

A folder holds ``run.json`` (what it was), ``config.toml`` (if it came from a file), ``history.jsonl`` and
``ledger.jsonl`` (a line a commit), ``checkpoint.safetensors``, and at the end ``model.safetensors`` and
``best.safetensors``: the module's tensors by name, with the layout of the flat vector in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Sized
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import safetensors

from foedus.core.errors import BadInput
from foedus.core.records.appended import Mark, digest
from foedus.core.records.checkpoint import Checkpoint, models_in, there_is_one
from foedus.core.records.curves import Curves
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.folder import ABOUT, RunFolder
from foedus.core.records.history import History
from foedus.core.records.judged import Judged
from foedus.core.records.ledger import Costs, Ledger
from foedus.core.records.lines import HISTORY, LEDGER, LINES, belonging, each_line
from foedus.core.records.lock import in_use
from foedus.core.records.nearby import instead
from foedus.core.records.run import Described, Record, Run
from foedus.core.records.tensor_file import opened
from foedus.core.records.typed import as_record, as_type
from foedus.core.types.metric import Metric, named

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
        "metrics": [{k: getattr(m, k) for k in _Measure.__struct_fields__} for m in run.metrics],
        "usual": run.usual,
        "curves": {k: None if c is None else c.as_tree() for k, c in run.curves.items()},
        "objective": run.objective,
        "rounds": len(run.history),
        "best": None if run.best is None else asdict(run.best),
        "judged": None if run.judged is None else asdict(run.judged),
        "sha256": run.sha256,
        "parameters": run.vector.numel(),
        "origin": run.origin,
        "notices": run.notices,
        "preparation": None if prepared is None else {"lines": list(prepared.lines), "bytes": prepared.bytes},
        "node_metrics": run.node_metrics if few else None,
        "node_rows": run.node_rows if few else None,
        "node_rarest": run.node_rarest if few else None,
        "node_deviations": run.node_deviations if few else None,
        "node_everybody": run.node_everybody if few else None,
        "staleness": run.staleness,
        "dishonest": list(run.dishonest),
        "ledger": run.ledger.as_tree() if few else {**run.ledger.as_tree(), "nodes": {}},
        "config": None if run.config is None else digest(run.config.encode()),
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
    folder.write(ABOUT, as_json(about(run) | {"lines": folder.marks() if run.history else None}))


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
        with opened(path, "np") as f:
            layout = json.loads((f.metadata() or {})["layout"])
            pieces = [f.get_tensor(name).reshape(-1) for name, _, _ in layout["slots"]]
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, OSError) as e:
        raise BadInput(f"{path} is damaged or not a model of a run ({type(e).__name__}: {e})") from e
    return np.concatenate(pieces)


class _Named(msgspec.Struct):
    name: str
    text: str


class _Prepared(msgspec.Struct):
    lines: list[str]
    bytes: int


class _Measure(msgspec.Struct):
    name: str
    label: str
    higher: bool
    form: str

    def metric(self) -> Metric:
        """The metric, whose function, if it was one of the user's own, is not in the folder."""
        known = named(self.name)
        return known if known.pooled else Metric(self.name, None, self.higher, self.label, self.form)


class _Books(msgspec.Struct):
    total: Costs
    nodes: dict[int, Costs]
    virtual_s: float
    wall_s: float
    median_s: float = 0.0


class About(msgspec.Struct):
    """``run.json``: see ``about``. ``lines`` are the marks of the files of lines, once the run has ended."""

    program: _Named
    runtime: _Named
    status: str
    seed: int
    nodes: int
    node_names: list[str] | None
    sizes: list[int] | None
    rows: int
    label_counts: list[list[int]] | None
    class_names: list[str] | None
    evaluated_on: EvaluatedOn
    objective: str | None
    rounds: int
    best: dict[str, Any] | None
    sha256: str
    parameters: int
    origin: dict[str, str]
    notices: list[str]
    preparation: _Prepared | None
    node_metrics: dict[str, list[float | None]] | None
    staleness: dict[int, int] | None
    ledger: _Books
    judged: Judged | None = None
    node_rows: list[int] | None = None
    node_rarest: list[int | None] | None = None
    node_deviations: list[dict[str, bytes]] | None = None
    node_everybody: dict[str, list[float | None]] | None = None
    config: str | None = None
    lines: dict[str, Mark] | None = None
    metrics: list[_Measure] | None = None
    usual: dict[str, float] | None = None
    curves: dict[str, Curves | None] | None = None
    dishonest: list[int] = []

    def __post_init__(self) -> None:
        """Errors: ``ValueError`` for lists of which one has something for each node, or class, and another has not."""
        nodes: dict[str, list[Any] | None] = {
            "node_names": self.node_names,
            "sizes": self.sizes,
            "label_counts": self.label_counts,
        }
        classes: dict[str, list[Any] | None] = {"class_names": self.class_names}
        classes |= {f"label_counts[{node}]": row for node, row in enumerate(self.label_counts or ())}
        widths = {len(row) for row in self.label_counts or ()}
        for lists, expected in ((nodes, {self.nodes}), (classes, widths)):
            for name, values in lists.items():
                if values is not None and expected and expected != {len(values)}:
                    raise ValueError(
                        f"field {name} has {len(values)} values, expected {' or '.join(map(str, expected))}"
                    )
        by_node: dict[str, Sized] = {"node_rows": self.node_rows or (), "node_rarest": self.node_rarest or ()}
        by_node |= {f"node_metrics.{name}": found for name, found in (self.node_metrics or {}).items()}
        by_node |= {f"node_everybody.{name}": found for name, found in (self.node_everybody or {}).items()}
        for name, found in by_node.items():
            if len(found) > self.nodes:  # there are fewer where nodes have joined since
                raise ValueError(f"field {name} has {len(found)} values, expected {self.nodes}")


def read_about(folder: Path) -> About:
    """What ``run.json`` of a folder says. Errors: ``BadInput`` that names the field which is not what it must be."""
    path = folder / ABOUT
    try:
        return as_type(About, msgspec.json.decode(path.read_bytes()))
    except (ValueError, OSError, RecursionError) as e:
        raise BadInput(
            f"{path} is damaged or of another version: {e}; restore it from a copy, or remove it: "
            "resuming the run writes it anew"
        ) from e


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
        raise no_run(folder)
    read = read_about(folder)
    history = History(_each(folder, HISTORY, read))
    ledger = _ledger(folder, read)
    if history:
        ledger.virtual_s, ledger.wall_s = history[-1].virtual_s, history[-1].wall_s
    vector, best = _vectors(folder, ended=read.status != "running")
    return kind(
        program=Described(read.program.name, read.program.text),
        vector=vector,
        history=history,
        ledger=ledger,
        best=_best(folder, read),
        best_vector=best,
        status="killed" if read.status == "running" and not in_use(folder) else read.status,
        seed=read.seed,
        nodes=read.nodes,
        sizes=read.sizes or [read.rows],
        label_counts=read.label_counts,
        evaluated_on=read.evaluated_on,
        objective=read.objective,
        usual=read.usual,
        curves=read.curves or {},
        metrics=tuple(m.metric() for m in read.metrics or ()),
        judged=read.judged,
        runtime=Described(read.runtime.name, read.runtime.text),
        out=folder,
        node_metrics=read.node_metrics,
        node_rows=read.node_rows,
        node_rarest=read.node_rarest,
        node_deviations=read.node_deviations,
        node_everybody=read.node_everybody,
        staleness=read.staleness,
        dishonest=tuple(read.dishonest),
        config=_config(folder),
        origin=read.origin,
        notices=read.notices,
        preparation=read.preparation,
        node_names=None if read.node_names is None else tuple(read.node_names),
        class_names=None if read.class_names is None else tuple(read.class_names),
    )


def no_run(folder: Path) -> BadInput:
    """The error for a place that holds no run and no comparison; it says what may have been meant."""
    what = f"holds no run: {ABOUT} is missing" if folder.is_dir() else "is not a folder"
    return BadInput(f"{folder} {what}; {instead(folder, (ABOUT, STUDY))}")


def _config(folder: Path) -> str | None:
    try:
        return (folder / CONFIG).read_text(encoding="utf-8") if (folder / CONFIG).exists() else None
    except (OSError, ValueError) as e:
        raise BadInput(f"{folder / CONFIG} cannot be read as text: {e}; restore it from a copy") from e


def _best(folder: Path, read: About) -> Record | None:
    try:
        return None if read.best is None else as_record(read.best)
    except ValueError as e:
        raise BadInput(f"{folder / ABOUT} is damaged: best: {e}; restore it from a copy") from e


def _each(folder: Path, name: str, read: About) -> list[Any]:
    """What a file of lines says; that of a run which has ended is what it was then. Errors: ``BadInput``."""
    path = folder / name
    mark = (read.lines or {}).get(name) if read.status != "running" else None
    data = belonging(path, mark) if mark is not None else path.read_bytes() if path.exists() else b""
    return list(each_line(path, data, LINES[name]))


def _vectors(folder: Path, ended: bool) -> tuple[Any, Any]:
    """The last model and the best: of the end, or of the last checkpoint."""
    if ended and (folder / MODEL).exists():
        last = read_vector(folder / MODEL)
        return last, read_vector(folder / BEST) if (folder / BEST).exists() else last
    if not there_is_one(folder):
        return _NOTHING, _NOTHING
    found = models_in(folder)
    if found is not None:
        return found
    tree = Checkpoint.load(folder).tree
    last = np.asarray(tree["state"].w) if "w" in tree["state"] else _NOTHING
    return last, last if tree["best_w"] is None else np.asarray(tree["best_w"])


def _ledger(folder: Path, read: About) -> Ledger:
    """The books as of the last line of the ledger; those by node as of the end, if there was one."""
    ledger = Ledger()
    ledger.nodes = read.ledger.nodes
    ledger.per_node = bool(ledger.nodes)
    lines = _each(folder, LEDGER, read)
    if lines:
        ledger.total = lines[-1]
    return ledger
