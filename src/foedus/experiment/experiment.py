"""An experiment: everything that a run takes, from one file."""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

import foedus.models
from foedus.attacks import Adversary
from foedus.core.coordination.runtime import Runtime
from foedus.core.errors import BadInput
from foedus.core.records.checkpoint import Checkpoint
from foedus.core.records.run import Record
from foedus.core.types.data import FederatedDataset, row_shape
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster
from foedus.data import Dataset, Natural, Table
from foedus.data.sources import SOURCES
from foedus.experiment import user_code
from foedus.experiment.problems import BadExperiment
from foedus.experiment.tables import Program, Tables, Tracker, cohort_of
from foedus.plain.kinds import parameters, shape
from foedus.plain.names import among
from foedus.sampling import Cohort, StopRule
from foedus.sampling.stopping import settled
from foedus.training import Run, check, train

if TYPE_CHECKING:
    from foedus.experiment.document import Document


_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

SHOWN = 12
"""Names of nodes that an error lists."""


@dataclass(frozen=True)
class Experiment:
    """What a file says. Data and model are made when they are asked for; all else is there.

    ``tables`` holds the file's tables as objects. ``document`` knows where in the file they stand, so that what turns
    out to be wrong only with the data still has its place.
    """

    tables: Tables
    document: Document | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.tables.name

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.tables.seed

    @property
    def names_code(self) -> bool:
        """Whether the file names code to import."""
        return self._own_code() or (self.document is not None and bool(self.document.imported))

    @property
    def program(self) -> Program:
        """Who does what, and when."""
        return self.tables.program

    @property
    def runtime(self) -> Runtime:
        """Where it runs."""
        return self.tables.runtime

    @property
    def stop(self) -> tuple[StopRule, ...]:
        """What ends it early."""
        return self.tables.stop

    @property
    def track(self) -> tuple[Tracker, ...]:
        """Where records go."""
        return self.tables.track

    def data(self) -> FederatedDataset:
        """Load the data set and divide it. Errors: ``BadExperiment`` with the place in the file."""
        t = self.tables.data
        with self._placed("data", "source"):
            whole = t.source.function(**self._options())
            undivided = t.nodes is not None and "nodes" not in t.source.options
            as_it_is = (t.split, t.holdout, t.root) == (None, None, None) and not undivided
            if isinstance(whole, FederatedDataset) and as_it_is:
                return whole
            if not isinstance(whole, Dataset | Table):
                raise BadInput(f"{t.source.name} must return a foedus Dataset, it returned a {type(whole).__name__}")
        split = t.split
        if split is None:
            if whole.node is None:
                with self._placed("data", "split"):
                    raise BadInput(f"missing: {t.source.name} does not say whose each row is, so say how to divide it")
            split = Natural()
        seed = self.seed if t.seed is None else t.seed
        with self._placed("data", "split"):
            return whole.split(split, nodes=t.nodes, seed=seed, holdout=t.holdout, root=t.root)

    def model(self, data: FederatedDataset) -> Model:
        """Make the model for this data. Errors: ``BadExperiment`` with the place in the file."""
        models: Any = foedus.models
        t = self.tables.model
        loss = t.loss if t.loss is not None else "mse" if data.classes is None else "cross_entropy"
        with self._placed("model", "network"):
            module = self._module(data, loss)
        if t.warm_start is not None:
            with self._placed("model", "warm_start"):
                module = models.warm_start(module, t.warm_start)
        if t.freeze:
            with self._placed("model", "freeze"):
                module = models.freeze(module, *t.freeze)
        with self._placed("model", "loss"):
            return Model(module, loss=loss, metrics=t.metrics)

    def adversary(self, data: FederatedDataset) -> Adversary | None:
        """Who is dishonest among these nodes; None if nobody is. Errors: ``BadExperiment`` with its place."""
        t = self.tables.adversary
        if t is None:
            return None
        with self._placed("adversary", "nodes"):
            made = Adversary(ids_of(cohort_of(t.nodes), data), t.attack, t.start)
            made.members(data.nodes, self.seed)
        with self._placed("adversary", "attack"):
            made.fitted(data)
        return made

    def check(self, data: FederatedDataset) -> None:
        """Whatever can be known to be wrong before anything runs. Errors: ``BadExperiment`` with its place."""
        model = self.model(data)
        with self._placed("model"):
            check(self.program, model, data)
        with self._placed("stop"):
            for rule in self.stop:
                settled(rule, model.measures)
        self.adversary(data)

    def train(
        self,
        *,
        out: str | Path | None = None,
        resume: bool | Run | Checkpoint = False,
        accept_changes: bool = False,
        progress: bool | Callable[[Record], None] | None = None,
        stop: Sequence[StopRule] = (),
        data: FederatedDataset | None = None,
        config: str | None = None,
    ) -> Run:
        """Run it. ``data`` saves loading it anew where several experiments share it, ``stop`` adds to the file's rules;
        the rest is as in ``train``.
        """
        t = self.tables
        data = self.data() if data is None else data
        more: dict[str, Any] = {"track": t.track} if t.track else {}
        if (adversary := self.adversary(data)) is not None:
            more["adversary"] = adversary
        return train(
            t.program,
            self.model(data),
            data,
            runtime=t.runtime,
            seed=t.seed,
            out=out,
            resume=resume,
            accept_changes=accept_changes,
            stop=(*t.stop, *stop),
            evaluate_every=t.evaluate.every,
            evaluate_at=t.evaluate.at or "program",
            evaluate_nodes=t.evaluate.nodes,
            checkpoint_every=t.checkpoint.every,
            per_node=t.ledger.per_node,
            config=config,
            progress=progress,
            **more,
        )

    def _options(self) -> dict[str, Any]:
        """The source's options. Where one takes anything, an import path stands for your own object.

        A class or a function is called without arguments; what they make cannot be written down, so the text is kept.
        """
        source, folder = self.tables.data.source, self.tables.folder
        takes = parameters(source.function)

        def own(name: str, value: Any) -> Any:
            anything = name in takes and shape(takes[name].hint).anything
            if not (anything and isinstance(value, str) and _IMPORT_PATH.fullmatch(value)):
                return value
            if self.document is not None:
                self.document.may_import(value)
            return user_code.made(value, folder, of_rows=source.function in SOURCES.values())

        return {name: own(name, value) for name, value in source.options.items()}

    def _module(self, data: FederatedDataset, loss: Any) -> nn.Module:
        network = self.tables.model.network
        if isinstance(network.function, nn.Module):
            return copy.deepcopy(network.function)  # what is done to it is this run's affair
        outputs = 1 if loss == "bce" else data.classes
        if data.classes is None:
            outputs = math.prod(data.y.shape[1:])
        row = row_shape(data.x)
        known: dict[str, Any] = {"classes": outputs, "outputs": outputs}
        takes = parameters(network.function)
        if "inputs" in takes and "inputs" not in network.options:
            if len(row) > 1 and not shape(takes["inputs"].hint).items and takes["inputs"].required:
                raise BadInput(
                    f"{network.name} takes flat rows, and a row of the data has shape {row}: "
                    f"give inputs = {math.prod(row)} if it flattens them itself, or choose another network"
                )
            known["inputs"] = row[0] if len(row) == 1 else row
        options = ({"seed": self.seed} if "seed" in takes else {}) | dict(network.options)
        filled = {k: v for k, v in known.items() if k in takes and k not in options}
        try:
            module = network.function(**filled, **options)
        except BadInput:
            # What was given may say the sizes already, as mlp's widths do: then what may be None is not filled in.
            kept = {k: v for k, v in filled.items() if takes[k].default is not None}
            module = None
            if kept != filled:
                with contextlib.suppress(BadInput):
                    module = network.function(**kept, **options)
            if module is None:
                raise
        if not isinstance(module, nn.Module):
            raise BadInput(f"{network.name} must return a torch.nn.Module, it returned a {type(module).__name__}")
        return module

    @contextlib.contextmanager
    def _placed(self, *path: str) -> Iterator[None]:
        """Says of what goes wrong inside where in the file it comes from."""
        try:
            yield
        except BadExperiment:
            raise
        except BadInput as e:
            if self.document is None:
                raise
            raise BadExperiment([self.document.problem(path, e)]) from e
        except Exception as e:
            # Of foedus's own functions any other error is a bug, whose traceback is needed.
            if self.document is None or not self._own_code():
                raise
            first = (str(e).strip().splitlines() or ["no message"])[0]
            raise BadExperiment([self.document.problem(path, f"{type(e).__name__}: {first}")]) from e

    def _own_code(self) -> bool:
        source, network = self.tables.data.source, self.tables.model.network
        given = [source.name, network.name, *(v for v in source.options.values() if isinstance(v, str))]
        return any(_IMPORT_PATH.fullmatch(name) for name in given)


def ids_of(nodes: Cohort | tuple[int | str, ...], roster: Roster) -> Cohort | tuple[int, ...]:
    """The same with ids in the place of names. Errors: ``BadInput`` for a name that no node has."""
    if not isinstance(nodes, tuple):
        return nodes
    names = roster.node_names or ()

    def id_of(node: int | str) -> int:
        if isinstance(node, int):
            return node
        if node not in names:
            there = among(node, names, most=SHOWN) if names else f"nodes have ids here, 0..{roster.nodes - 1}"
            raise BadInput(f"there is no node {node!r}; {there}")
        return names.index(node)

    return tuple(map(id_of, nodes))
