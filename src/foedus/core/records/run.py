"""Run: the record of it all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foedus.core.errors import BadInput
from foedus.core.records.curves import Curves
from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.history import History
from foedus.core.records.judged import Judged

if TYPE_CHECKING:
    from torch import Tensor, nn

    from foedus.core.records.ledger import Ledger
    from foedus.core.types.metric import Metric
    from foedus.core.types.model import Model


_FIELDS = ("loss", "accuracy", "auc", "rmse", "train_loss")

GROWN = 1000.0
"""By how much a loss is larger at the end than at the beginning where nobody would call that learning."""


@dataclass(frozen=True)
class Record:
    """One commit. Costs are cumulative since the start of the run, as in ``Costs``.

    ``loss``, ``accuracy``, ``auc`` and ``rmse`` are measured as ``Run.evaluated_on`` says, and ``None`` where this
    commit was not evaluated or the metric does not apply. All other metrics of the model are in ``metrics`` by name,
    as far as they are defined, and so are other numbers, such as ``staleness_mean`` and ``staleness_max`` of the
    updates since the last commit. ``measured(name)`` looks in both places.
    ``train_loss`` is the mean that nodes reported while they trained, ``epochs`` the rows they trained on divided by
    the rows there are, ``cohort`` how many answers were used since the last commit. ``median_s`` is the virtual time
    after which the median node of each cohort was done: what ``virtual_s`` would be if nobody waited for stragglers.
    On the real clock ``virtual_s`` is 0, and time is ``wall_s``. ``late``, ``refused``, ``failed`` and ``lost`` count
    the jobs whose answer was not used, by why. ``suspects`` is what a robust rule said of each node since the last
    commit, by id: ``(left_out, distance)``, see ``Suspicion``. ``main`` is the name of the metric that the run is
    judged by, where this commit was evaluated.
    """

    round: int
    loss: float | None = None
    accuracy: float | None = None
    auc: float | None = None
    rmse: float | None = None
    train_loss: float | None = None
    cohort: int = 0
    epochs: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    messages: int = 0
    compute_s: float = 0.0
    wire_s: float = 0.0
    waiting_s: float = 0.0
    virtual_s: float = 0.0
    wall_s: float = 0.0
    median_s: float = 0.0
    serial_s: float = 0.0
    late: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0
    metrics: dict[str, int | float] = field(default_factory=dict)
    suspects: dict[int, tuple[float, float]] = field(default_factory=dict)
    main: str | None = None

    def measured(self, name: str) -> float | None:
        """The value of a metric by its name; None where it was not measured."""
        value = getattr(self, name) if name in _FIELDS else self.metrics.get(name)
        return None if value is None else float(value)

    @property
    def clock_s(self) -> float:
        """Seconds since the run began: virtual ones, or those of the wall clock where nothing is simulated."""
        return self.virtual_s or self.wall_s


class Suspect(NamedTuple):
    """What a robust rule said of one node over a run.

    ``rounds``    in how many commits it was seen.   ``left_out``  the mean share of its updates that was left out.
    ``distance``  the median of its distances, each against the median of all nodes in that round: see ``Suspicion``.
    """

    node: int
    rounds: int
    left_out: float
    distance: float


@dataclass(frozen=True)
class Described:
    """A program or runtime of which only the name and the text are known: that of a run read from its folder."""

    name: str
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(repr=False)
class Run:
    """What ``train`` returns.

    ``vector``   the final model, flat float32: parameters in ``module.parameters()`` order, then float buffers.
    ``history``  one ``Record`` a commit.   ``best``  the ``Record`` of the round whose model is kept
    beside the last: that in which the run is judged, with its quality as measured on rows that had no say in the
    choice; where the halves of a hold-out chose two rounds, that of the first half's choice, with their mean.
    ``checkpoint``  the last commit, whole; ``train(..., resume=run)`` goes on from it.
    ``evaluated_on``  which rows the quality in ``history`` was measured on, where, and with whose models.
    ``metrics``  what its quality is measured by, the main metric first; none of a run that says nothing of it.
    ``curves``  ROC and calibration curve, and who was taken for whom, at the ``"judged"`` point and of the ``"last"``
    evaluation, as far as the metrics have them measured.
    ``usual``  what the metrics would be of one answer for all rows, the classes' shares or the targets' mean among the
    rows that are trained on; None where that is not known.
    ``objective``  what a node counts in what the program minimises: ``"rows"``, as many as it has, or ``"nodes"``, all
    alike; None where the program does not say, or minimises nothing together.
    ``judged``  the point at which the run is judged, what was measured there, and how far that may be off; None where
    nothing was evaluated.
    ``node_metrics``  what the nodes found when they last evaluated the model: for every metric a value a node.
    ``node_rows``    on how many rows each node evaluated it; ``node_rarest``  how many of these are of the class that
    it has fewest of (None where they are not counted by class). ``node_deviations``  how groups of them move each
    value, by metric, as in ``Measured``; empty where there are many nodes.
    ``node_everybody``  where nodes have models of their own, how good each is on everybody's rows, as ``node_metrics``.
    ``staleness``  of a program that absorbs updates as they arrive: how many updates had each staleness.
    ``dishonest``  ids of the nodes that an adversary of the run's made so; no rule and no program knows them.
    ``config``   the resolved file that the run was made from (TOML).   ``origin``  versions, CPU, data.
    ``notices``  what a reader should know, such as that a resumed run went on with another torch.
    ``status``   ``"finished"``, ``"stopped"`` (by a rule), ``"interrupted"``, ``"diverged"`` or ``"failed"``.
    """

    program: Any
    vector: Tensor
    history: History
    ledger: Ledger
    best: Record | None
    best_vector: Tensor
    status: str
    seed: int
    nodes: int
    sizes: list[int]
    label_counts: list[list[int]] | None
    evaluated_on: EvaluatedOn
    runtime: Any
    out: Path | None = None
    checkpoint: Any = None
    node_metrics: dict[str, list[float | None]] | None = None
    node_rows: list[int] | None = None
    node_rarest: list[int | None] | None = None
    node_deviations: list[dict[str, bytes]] | None = None
    node_everybody: dict[str, list[float | None]] | None = None
    staleness: dict[int, int] | None = None
    config: str | None = None
    origin: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    preparation: Any = None
    node_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    objective: str | None = None
    metrics: tuple[Metric, ...] = ()
    usual: dict[str, float] | None = None
    curves: dict[str, Curves | None] = field(default_factory=dict)
    judged: Judged | None = None
    dishonest: tuple[int, ...] = ()
    _model: Model | None = None

    def __post_init__(self) -> None:
        self.history = History(self.history)

    def __repr__(self) -> str:
        return f"Run({self.name!r}: {self.status} after {len(self.history)} rounds, seed {self.seed})"

    @property
    def name(self) -> str:
        """The program's class name."""
        return self.program.name if isinstance(self.program, Described) else type(self.program).__name__

    @property
    def grown(self) -> tuple[float, float] | None:
        """The first loss and the last, where the last is a thousand times the first or more: the run has diverged,
        though all its numbers are finite. The evaluated loss, or where that was not done twice, the one in training.
        """
        for series in ([r.loss for r in self.history], [r.train_loss for r in self.history]):
            known = [x for x in series if x is not None]
            if len(known) > 1:
                first, last = known[0], known[-1]
                return (first, last) if first > 0 and last >= GROWN * first else None
        return None

    @property
    def suspects(self) -> list[Suspect]:
        """What a robust rule said of each node over all rounds, the most suspicious first; empty without such a rule.

        In the order of the share that was left out of what they sent, then of how far off they were.
        """
        said: dict[int, list[tuple[float, float]]] = {}
        for record in self.history:
            for node, told in record.suspects.items():
                said.setdefault(node, []).append(told)
        found = [
            Suspect(node, len(told), fmean(x for x, _ in told), median(x for _, x in told))
            for node, told in said.items()
        ]
        return sorted(found, key=lambda s: (-s.left_out, -s.distance, s.node))

    @property
    def sha256(self) -> str:
        """Of the final model's bytes (little-endian float32)."""
        return hashlib.sha256(np.asarray(self.vector).tobytes()).hexdigest()

    def model(self, which: str = "last") -> nn.Module:
        """The trained module: ``"last"`` or ``"best"``."""
        if self._model is None:
            raise BadInput(
                "this run was read from its folder, which holds the model's numbers but not its code: put them into "
                "your own module, foedus.models.warm_start(module, folder / 'model.safetensors')"
            )
        if which not in ("last", "best"):
            raise BadInput(f"which model: 'last' or 'best'; got {which!r}")
        return self._model.copy_of(self.vector if which == "last" else self.best_vector)

    def state_dict(self, which: str = "last") -> dict[str, Tensor]:
        """The trained module's parameters and buffers by name."""
        return dict(self.model(which).state_dict())


def grew(first: float, last: float) -> str:
    """What is said of a run whose loss has grown a thousandfold, though it is finite."""
    return (
        f"the loss grew from {first:.3g} to {last:.3g}: the run diverged, though its numbers are finite. Lower the "
        "learning rate (lr), or gamma, or compress less"
    )
