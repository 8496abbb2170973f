"""What became of a program under every attack and every rule: one cell for each two, with the runs of all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from foedus.core.records.run import Run
from foedus.core.types.metric import BOUNDED, SHARE
from foedus.report.summary import Metric, choose_metric
from foedus.report.units import finite

CLEAN = "clean"
"""What the column is called in which all nodes are honest."""

PLANTED = 0.1
"""A backdoor that opens for no more than this share of the rows that carry its trigger has not been planted."""


@dataclass(frozen=True)
class Plan:
    """What was to be tried.

    ``name``       what the experiment is called.
    ``program``    the file's program, in a word.
    ``rules``      the rows, in order, by name; ``settings`` says of each, and of each attack, what it is in full.
    ``attacks``    the columns, in order, without that of honest nodes.
    ``reference``  the row of the file as it is: its clean runs are what all else is measured against.
    ``nodes``, ``dishonest``  how many there are, and how many of them are dishonest.
    ``f``          how many dishonest nodes the rules are to withstand.
    ``within``     how far below the clean runs a rule may be and still hold: see ``Found.gap``.
    ``runs``       how many runs that is.
    ``unfit``      sentences about attacks that this data leaves no room for.
    """

    name: str
    program: str
    rules: tuple[str, ...]
    attacks: tuple[str, ...]
    reference: str
    nodes: int
    dishonest: int
    f: int
    seeds: tuple[int, ...]
    within: float
    runs: int
    settings: dict[str, str]
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tried:
    """One case: its run, if it got that far, and what ended it early."""

    run: Run | None = None
    reason: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Cell:
    """One rule under one attack.

    ``values``    the main metric when training was over, a run that got there.
    ``planted``   of an attack that aims at rows of its own, a backdoor's say: with which share it succeeds, a run.
    ``seconds``, ``nbytes``  what each run took on this machine, and sent.
    ``diverged``, ``failed``  runs that ended in numbers that are not finite, or otherwise.
    ``refused``   why the rule cannot be used at all.   ``reasons``  what ended runs early, each once.
    """

    values: tuple[float, ...] = ()
    planted: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    nbytes: tuple[float, ...] = ()
    diverged: int = 0
    failed: int = 0
    refused: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def broken(self) -> int:
        """Runs that were not brought to an end."""
        return self.diverged + self.failed

    @property
    def value(self) -> float | None:
        """The mean over seeds; None where a run was not brought to an end, or none is there."""
        return fmean(self.values) if self.values and not self.broken else None

    @property
    def open(self) -> float | None:
        """With which share of the rows that it aims at an attack succeeds, mean over seeds; None of one without aim."""
        return fmean(self.planted) if self.planted else None

    @property
    def costs(self) -> tuple[float, float] | None:
        """Seconds and bytes of a run: of all seeds the least time, which what else the machine did has lengthened
        least, and the mean of the bytes.
        """
        return (min(self.seconds), fmean(self.nbytes)) if self.seconds else None

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.values) + self.broken


@dataclass(frozen=True, eq=False)
class Found:
    """All cells, by rule and attack (or ``CLEAN``)."""

    plan: Plan
    metric: Metric | None
    cells: Mapping[tuple[str, str], Cell]

    def cell(self, rule: str, attack: str) -> Cell:
        """One of them; an empty one where nothing was run."""
        return self.cells.get((rule, attack), Cell())

    @cached_property
    def clean(self) -> float | None:
        """What the program reaches as its file has it, with honest nodes."""
        return self.cell(self.plan.reference, CLEAN).value

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns: honest nodes first."""
        return (CLEAN, *self.plan.attacks)

    def gap(self, value: float | None) -> float | None:
        """By how much a value is worse than clean: of a metric from 0 to 1 the difference, of any other its share of
        the clean value. Negative where it is better.
        """
        if value is None or self.clean is None or self.metric is None:
            return None
        worse = self.clean - value if self.metric.higher else value - self.clean
        return worse if self.bounded else worse / abs(self.clean) if self.clean else worse

    @property
    def bounded(self) -> bool:
        """Whether the metric lies between 0 and 1, so that differences of it mean something by themselves."""
        return self.metric is not None and self.metric.form in (SHARE, BOUNDED)

    def holds(self, rule: str, attack: str) -> bool | None:
        """Whether a rule withstands an attack: it stays within the plan's distance of clean, and lets no backdoor in.
        None where it was not tried.
        """
        cell = self.cell(rule, attack)
        if not cell.runs:
            return None
        gap = self.gap(cell.value)
        return gap is not None and gap <= self.plan.within and (cell.open is None or cell.open < PLANTED)

    def tried(self, rule: str) -> list[str]:
        """The columns in which the rule was run; of the reference, which is what clean means, without that of honest
        nodes.
        """
        return [a for a in self.columns if self.cell(rule, a).runs and (rule, a) != (self.plan.reference, CLEAN)]

    def under_attack(self, rule: str) -> bool:
        """Whether the rule was run under any attack."""
        return any(a != CLEAN for a in self.tried(rule))

    def refused(self, rule: str) -> str:
        """Why a rule cannot be used, whoever is dishonest; empty where it can."""
        return self.cell(rule, CLEAN).refused

    def worst(self, rule: str) -> str | None:
        """The column that is worst for a rule: an attack, or that of honest nodes; None where no attack was tried."""
        return max(self.tried(rule), key=lambda a: self.harm(rule, a)) if self.under_attack(rule) else None

    def lowest(self, rule: str) -> str | None:
        """The column in which a rule's metric is worst, whatever backdoors open; None where no attack was tried."""
        if not self.under_attack(rule):
            return None
        return max(self.tried(rule), key=lambda a: self._lost(self.cell(rule, a)))

    def _lost(self, cell: Cell) -> float:
        gap = self.gap(cell.value)
        return float("inf") if cell.broken or gap is None else gap

    def harm(self, rule: str, attack: str) -> float:
        """How bad an attack is for a rule: what it costs of the metric, or how far its backdoor opens, whichever is
        more; a run that diverges is worse than any.
        """
        cell = self.cell(rule, attack)
        return max(self._lost(cell), cell.open or 0.0)

    @cached_property
    def holding(self) -> tuple[str, ...]:
        """Rules that hold under every attack that was tried, and with honest nodes; best worst case first."""
        every = [a for a in self.plan.attacks if any(self.cell(r, a).runs for r in self.plan.rules)]
        rules = [r for r in self.plan.rules if every and all(self.holds(r, a) for a in (CLEAN, *every))]
        return tuple(sorted(rules, key=self._at_worst))

    @cached_property
    def best(self) -> str | None:
        """The rule whose worst case is best; None where none was tried under an attack."""
        return min(filter(self.under_attack, self.plan.rules), key=self._at_worst, default=None)

    def _at_worst(self, rule: str) -> float:
        return max(self.harm(rule, a) for a in self.tried(rule))

    def price(self, rule: str) -> tuple[float | None, float | None]:
        """How many times the seconds and the bytes of the reference a rule takes while all nodes are honest."""
        ours, theirs = self.cell(rule, CLEAN).costs, self.cell(self.plan.reference, CLEAN).costs
        if ours is None or theirs is None:
            return None, None
        seconds, nbytes = (o / t if t > 0 else None for o, t in zip(ours, theirs, strict=True))
        return seconds, nbytes


def found(plan: Plan, tried: Mapping[tuple[str, str], Sequence[Tried]]) -> Found:
    """What was found, of all cases by rule and attack."""
    metric = choose_metric([t.run for some in tried.values() for t in some if t.run is not None])
    return Found(plan, metric, {key: _cell(some, metric) for key, some in tried.items()})


def _cell(some: Sequence[Tried], metric: Metric | None) -> Cell:
    # One whose loss has grown a thousandfold, and is finite, has a value: what the attack has made of the model.
    diverged = [t for t in some if t.run is not None and t.run.status == "diverged"]
    failed = [t for t in some if t not in diverged and (t.run is None or t.run.status == "failed") and not t.refused]
    whole = [t.run for t in some if t.run is not None and t not in diverged and t not in failed]
    last = [v for run in whole if metric is not None and (v := _last(run, metric)) is not None]
    records = [run.history[-1] for run in whole]
    return Cell(
        values=tuple(last),
        planted=tuple(v for run in whole if (v := _planted(run)) is not None),
        seconds=tuple(r.wall_s for r in records),
        nbytes=tuple(float(r.bytes_up + r.bytes_down) for r in records),
        diverged=len(diverged),
        failed=len(failed),
        refused=next((t.reason for t in some if t.refused), ""),
        reasons=tuple(dict.fromkeys(t.reason for t in some if t.reason and not t.refused)),
    )


def _last(run: Run, metric: Metric) -> float | None:
    """What is measured last: the best round of a run under attack may be the one before the attack told."""
    return next((v for r in reversed(run.history) if (v := metric.of(r)) is not None), None)


def _planted(run: Run) -> float | None:
    return next((v for r in reversed(run.history) if (v := finite(r.metrics.get("attack_success"))) is not None), None)
