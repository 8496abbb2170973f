"""The tables of an experiment file, as the classes whose fields are their keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from foedus.attacks import Attack, SignFlip
from foedus.core.coordination.runtime import Runtime
from foedus.core.coordination.session import EVALUATE_AT
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.data import FederatedDataset
from foedus.core.types.model import Model as CoreModel
from foedus.data.dataset import Dataset
from foedus.data.partitions import Natural, Partition
from foedus.data.sources import SOURCES
from foedus.data.tables import Table
from foedus.experiment.known import exports, known
from foedus.plain.build import a
from foedus.plain.kinds import Call, Kind, parameters, returned
from foedus.plain.names import written
from foedus.plain.toml import inline
from foedus.runtimes import Simulation
from foedus.sampling import Cohort, Fixed, Fraction, StopRule


class Program(Protocol):
    """Who does what, and when. Its argument is a ``Federation`` or a ``Peer``."""

    async def __call__(self, fed: Any) -> Tensor: ...


class Tracker(Protocol):
    """Where records go while a run is under way."""

    def open(self, about: Any) -> Any: ...


class Source(Call):
    """A function that loads a data set, and its options."""

    word = "data source"

    @classmethod
    def functions(cls) -> dict[str, Any]:
        return dict(SOURCES)

    @classmethod
    def misfit(cls, target: Any) -> str | None:
        return super().misfit(target) or _makes_other(target, (Dataset, Table, FederatedDataset), "a foedus Dataset")


class Network(Call):
    """A function that makes a module, or a class of modules, and its options.

    Parameters with the names in ``later`` need not be given: they are taken from the data and the experiment's seed.
    """

    word = "neural network"
    later = frozenset({"inputs", "classes", "outputs", "seed"})

    @classmethod
    def functions(cls) -> dict[str, Any]:
        return {
            written(f): f for name, f in exports().items() if name.startswith("foedus.models.") and _makes_module(f)
        }

    @classmethod
    def misfit(cls, target: Any) -> str | None:
        if isinstance(target, nn.Module):
            return None
        return super().misfit(target) or _makes_other(target, (nn.Module,), "a torch.nn.Module")


class Rule(Call):
    """An aggregator of which some things may be left open, here and in a rule inside it: ``f``, how many dishonest
    nodes it withstands, and the length ``radius`` or ``bound`` of an update that it takes as it is.
    """

    word = "aggregator"
    later = frozenset({"f", "radius", "bound"})

    @classmethod
    def functions(cls) -> dict[str, Any]:
        return known().candidates(Kind(Aggregator))

    @classmethod
    def misfit(cls, target: Any) -> str | None:
        return Kind(Aggregator).misfit(target)

    @property
    def ready(self) -> bool:
        """Whether it is an aggregator of the user's own, as it stands."""
        return not isinstance(self.function, type) and not inspect.isroutine(self.function)

    @property
    def open(self) -> frozenset[str]:
        """What is left open."""
        takes = () if self.ready else parameters(self.function)
        inside = (v.open for v in self.options.values() if isinstance(v, Rule))
        return self.later.intersection(takes).difference(self.options).union(*inside)

    def made(self, **given: Any) -> Aggregator:
        """The aggregator; ``given`` is what was left open, by name."""
        if self.ready:
            return self.function  # type: ignore[no-any-return]
        options = {k: v.made(**given) if isinstance(v, Rule) else v for k, v in self.options.items()}
        rest = {k: v for k, v in given.items() if k in parameters(self.function) and k not in options}
        return self.function(**options, **rest)  # type: ignore[no-any-return]


def _makes_other(target: Any, wanted: tuple[type, ...], what: str) -> str | None:
    """Why calling this would make something else; None if it may make what is wanted."""
    kinds = returned(target) if isinstance(target, type) or inspect.isroutine(target) else ()
    if not kinds or any(issubclass(k, wanted) or issubclass(w, k) for k in kinds for w in wanted):
        return None
    return f"it makes {a(kinds[0].__name__)}, not {what}"


def _makes_module(f: Any) -> bool:
    """Whether a function returns a module and is given none: a factory, rather than something done to a module."""
    if not inspect.isfunction(f):
        return False
    returned = inspect.get_annotations(f, eval_str=True).get("return")
    given = [p.hint for p in parameters(f).values()]
    return isinstance(returned, type) and issubclass(returned, nn.Module) and nn.Module not in given


@dataclass(frozen=True)
class Data:
    """Whose data. The options of the source stand in the same table. Without ``split``, ``nodes`` is one of them, too.

    ``source``   a data set by name, or a function of your own that returns a ``Dataset``.
    ``split``    how its rows are divided among nodes; by default by the source's node column, if it has one.
    ``nodes``    among how many.
    ``holdout``  the share of its rows that every node keeps apart, to evaluate with.
    ``root``     how many rows the coordinator holds itself, at no node, for rules that measure nodes by them.
    ``seed``     the seed of the division, by default the experiment's.
    """

    source: Source
    split: Partition | None = None
    nodes: int | None = None
    holdout: float | None = None
    root: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.nodes is not None and self.nodes < 1:
            raise BadInput(f"nodes must be at least 1, got {self.nodes}")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise BadInput(f"holdout is a share of the rows between 0 and 1, got {self.holdout}")
        if self.root is not None and self.root < 1:
            raise BadInput(f"root is a number of rows that the coordinator holds, from 1 up; got {self.root}")
        node = self.source.options.get("node")
        if self.split is not None and not isinstance(self.split, Natural) and node is not None:
            column = node.get("column") if isinstance(node, Mapping) else node
            left_out = f", and write drop = [{inline(column)}] so that it is not learned from,"
            raise BadInput(
                f"split would deal the rows out anew, and node = {inline(node)} says whose each row is. Remove split "
                "(and nodes) to keep these nodes; or remove node"
                f"{left_out if 'drop' in parameters(self.source.function) else ''} to deal the rows out"
            )
        ours = any(type(self.split) is export for export in exports().values())  # your own may know by itself
        if self.nodes is None and ours and not isinstance(self.split, Natural):
            raise BadInput(f"nodes is missing: {self.split} has to know among how many")


@dataclass(frozen=True)
class Model:
    """What is learned.

    ``network``     a network by name, or a function, a class of modules or a module of your own.
    ``loss``        cross_entropy, mse, bce, or a function of your own ``(output, target)``; by default cross_entropy
                    for classes and mse for a regression.
    ``metrics``     names (the page on models lists them), tables such as ``{ sensitivity = { threshold = 0.3 } }``, or
                    functions of your own ``(outputs, targets)``; the first is the main one. By default those that fit
                    the loss.
    ``freeze``      patterns of parameter names that are not trained.
    ``warm_start``  a file of weights to start from.
    """

    network: Network
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None
    metrics: tuple[str | dict[str, dict[str, float]] | Callable[[Tensor, Tensor], float], ...] | None = None
    freeze: tuple[str, ...] = ()
    warm_start: Path | None = None

    def __post_init__(self) -> None:
        # What a core Model says of these, it says of any module.
        CoreModel(nn.Linear(1, 1), "cross_entropy" if self.loss is None else self.loss, self.metrics)
        if self.warm_start is not None and not self.warm_start.exists():
            raise BadInput(f"warm_start: there is no {self.warm_start}")


@dataclass(frozen=True)
class Evaluate:
    """When the model is evaluated.

    ``every``  so many commits; the last round always is.
    ``at``     `"nodes"`: every node measures the model that it has, on the rows that it holds out. `"program"`: as the
               program has it, most on the data's test rows. Not given, a comparison chooses, and a single run is as the
               program has it.
    ``nodes``  so many commits, at every node on its own rows; 0 is never.
    """

    every: int = 1
    nodes: int = 0
    at: str | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise BadInput(f"every counts commits, from 1 up; got {self.every}")
        if self.at is not None and self.at not in EVALUATE_AT:
            raise BadInput(f"at is 'nodes' or 'program', got {self.at!r}")
        if self.nodes < 0:
            raise BadInput(f"nodes counts commits, from 1 up, or 0 for never; got {self.nodes}")


@dataclass(frozen=True)
class Checkpoint:
    """When a checkpoint is written.

    ``every``  so many commits.
    """

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise BadInput(f"every counts commits, from 1 up; got {self.every}")


@dataclass(frozen=True)
class Ledger:
    """What the costs are kept by.

    ``per_node``  by node as well as in total.
    """

    per_node: bool = False


WhichNodes = Cohort | float | int | tuple[int | str, ...]
"""How a file says which nodes are dishonest: a cohort, a share of all, how many, or a list of names and ids."""


@dataclass(frozen=True)
class Adversary:
    """Nodes that are dishonest, beside a program that knows nothing of them.

    ``nodes``   which: a share of them (`0.2`), how many (`4`), a list of their names or ids, or a cohort; what is not
                named is drawn once, by the experiment's seed.
    ``attack``  what they do.
    ``start``   the first job of a node, from 0, at which it does so; before that it is honest.
    """

    nodes: WhichNodes = 0.2
    attack: Attack = SignFlip()
    start: int = 0

    def __post_init__(self) -> None:
        cohort_of(self.nodes)
        if self.start < 0:
            raise BadInput(f"start counts the jobs of a node, from 0; got {self.start}")


def cohort_of(nodes: WhichNodes) -> Cohort | tuple[int | str, ...]:
    """The same where a number stands for a cohort. Errors: ``BadInput`` for one that cannot be."""
    try:
        return Fraction(nodes) if isinstance(nodes, float) else Fixed(nodes) if isinstance(nodes, int) else nodes
    except BadInput:
        raise BadInput(f"nodes is a share of all nodes (0.2), how many (4), or which; got {nodes}") from None


@dataclass(frozen=True)
class Trial:
    """What `foedus attack` tries on the program of the file: every attack under every rule.

    ``attacks``   what dishonest nodes do, one after the other; by default attacks of the literature, as far as they fit
                  the data.
    ``rules``     what the program's `aggregate` is replaced by. What is left open is filled in: `f`, the dishonest
                  nodes that a rule withstands, is how many there are; a `radius` or `bound` is the median length of
                  the first updates of honest nodes.
    ``programs``  whole programs to be tried beside the file's, where a program has to defend itself.
    ``nodes``     which are dishonest, as in `[adversary]`, whose nodes these are by default.
    ``f``         how many dishonest nodes rules are to withstand; by default as many as there are.
    ``seeds``     how many, from the experiment's up, or a list of them.
    ``within``    how far from the clean run a rule may be and still hold: of a metric from 0 to 1 by how much (0.03 are
                  3 points), of any other by what share.
    """

    attacks: tuple[Attack, ...] | None = None
    rules: tuple[Rule, ...] | None = None
    programs: tuple[Program, ...] = ()
    nodes: WhichNodes | None = None
    f: int | None = None
    seeds: int | tuple[int, ...] = 3
    within: float = 0.03

    def __post_init__(self) -> None:
        if self.nodes is not None:
            cohort_of(self.nodes)
        if self.f is not None and self.f < 0:
            raise BadInput(f"f counts dishonest nodes, from 0; got {self.f}")
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise BadInput(f"seeds is how many seeds, from 1 up, or a list of them; got {self.seeds}")
        if isinstance(self.seeds, tuple) and (not self.seeds or len(set(self.seeds)) < len(self.seeds)):
            raise BadInput(f"seeds are at least one, and each once; got {list(self.seeds)}")
        if not 0 < self.within < 1:
            raise BadInput(f"within is between 0 and 1, such as 0.03 for 3 points of accuracy; got {self.within}")
        if self.attacks == ():
            raise BadInput("attacks is empty: name at least one, or leave it out")


@dataclass(frozen=True)
class Tables:
    """A whole file.

    ``data``        whose data.
    ``model``       what is learned.
    ``program``     who does what, and when: exactly one.
    ``name``        what the experiment is called.
    ``seed``        of everything random.
    ``runtime``     where it runs.
    ``stop``        rules that end it early.
    ``evaluate``    when the model is evaluated.
    ``checkpoint``  when a checkpoint is written.
    ``ledger``      what the costs are kept by.
    ``track``       where else records go.
    ``adversary``   which nodes are dishonest, and what they do; by default none is.
    ``attack``      what `foedus attack` tries; no run is changed by it.
    ``folder``      where relative paths and modules of your own are looked for.
    """

    data: Data
    model: Model
    program: Program
    name: str = "experiment"
    seed: int = 0
    runtime: Runtime = Simulation()
    stop: tuple[StopRule, ...] = ()
    evaluate: Evaluate = Evaluate()
    checkpoint: Checkpoint = Checkpoint()
    ledger: Ledger = Ledger()
    track: tuple[Tracker, ...] = ()
    adversary: Adversary | None = None
    attack: Trial | None = None
    folder: Path = field(default=Path(), compare=False)


__all__ = [
    "Adversary", "Checkpoint", "Data", "Evaluate", "Ledger", "Model", "Network", "Program", "Rule", "Source", "Tables",
    "Tracker", "Trial",
]  # fmt: skip
