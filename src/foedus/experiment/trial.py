"""Trials: a file's program under every attack and every rule, as the cases of a study; beside runs of honest nodes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from foedus import attacks as known_attacks
from foedus.aggregators import TrimmedMean
from foedus.attacks import Attack
from foedus.core.errors import BadInput
from foedus.core.types.data import ROOT, FederatedDataset
from foedus.experiment.builder import ATTACK, FileBuilder
from foedus.experiment.document import SWEEP, Document, from_file
from foedus.experiment.experiment import Experiment, ids_of
from foedus.experiment.lengths import typical_length
from foedus.experiment.problems import BadExperiment
from foedus.experiment.sweep import Case, drawn_anew
from foedus.experiment.tables import Adversary, Program, Rule, Trial, cohort_of
from foedus.plain.places import Path
from foedus.programs import ClippedGossip, Gossip, RobustGossip
from foedus.report.attack.found import CLEAN, Plan

USUAL_ATTACKS = ("LabelFlip", "SignFlip", "Gaussian", "ModelReplacement", "IPM", "ALIE", "MinMax", "Mimic", "Backdoor")
"""What is tried where a file names no attack."""

USUAL_RULES: tuple[Any, ...] = (
    "mean", "median", "trimmed_mean", "geometric_median", "krum", "multi_krum", "centered_clipping",
    {"nnm": {"then": "trimmed_mean"}}, "norm_bound",
)  # fmt: skip
"""What is tried where a file names no rule, as a file writes it."""

RULES = ("aggregate", "rule")
"""What programs call the field that holds their rule."""

DEFENDED = {Gossip: (ClippedGossip, RobustGossip)}
"""Programs that do what another does and defend themselves: they are tried beside it where a file names none."""


@dataclass(frozen=True)
class Row:
    """A program by the name of its rule; ``attacked``: it is not there to compare with alone."""

    name: str
    program: Program
    attacked: bool = True


def trials(
    path: str | FilePath, sets: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> tuple[list[Case], Plan]:
    """The cases of a file's ``[attack]`` by seed, rule and attack, and what they are for. ``options`` are fields of
    that table, from elsewhere.

    Errors: ``BadExperiment`` with what is wrong, each with its place.
    """
    document = from_file(path, sets)
    for key, value in (options or {}).items():
        document.set((ATTACK, key), value, f"--{key}")
    if SWEEP in document.raw:
        wrong = "foedus attack varies the attack, the rule and the seed: take [sweep] out, and run it by foedus run"
        raise BadExperiment([document.problem((SWEEP,), wrong)])
    experiment = document.experiment()
    data = experiment.data()
    experiment.check(data)
    return _Trials(document, experiment, experiment.tables.attack or Trial(), data).cases()


@dataclass(frozen=True)
class _Trials:
    document: Document
    experiment: Experiment
    asked: Trial
    data: FederatedDataset

    def cases(self) -> tuple[list[Case], Plan]:
        seeds = self._seeds()
        dishonest = max(self._dishonest(seed) for seed in seeds)
        f = dishonest if self.asked.f is None else self.asked.f
        rows = self._rows(f)
        found, unfit = self._attacks()
        attacks = dict(zip(names(found), found, strict=True))
        cases = []
        for seed in seeds:
            seeded = self._with_seed(seed, len(seeds) > 1)
            for row in rows:
                cases.append(_case(seeded, row, CLEAN, None))
                if row.attacked:
                    cases += [_case(seeded, row, name, self._adversary(a)) for name, a in attacks.items()]
        told = {row.name: repr(_what_differs(row.program, self.experiment.program)) for row in rows}
        plan = Plan(
            name=self.experiment.name,
            program=repr(self.experiment.program),
            rules=tuple(told),
            attacks=tuple(attacks),
            reference=rows[0].name,
            nodes=self.data.nodes,
            dishonest=dishonest,
            f=f,
            seeds=seeds,
            within=self.asked.within,
            runs=len(cases),
            settings=told | {name: repr(a) for name, a in attacks.items()},
            unfit=tuple(unfit),
        )
        return cases, plan

    # -- who, and how often ----------------------------------------------------------------------------------------

    def _seeds(self) -> tuple[int, ...]:
        first, seeds = self.experiment.seed, self.asked.seeds
        return tuple(range(first, first + seeds)) if isinstance(seeds, int) else seeds

    def _with_seed(self, seed: int, several: bool) -> Experiment:
        here = self.document.copy()
        here.set(("seed",), seed, self.document.where((ATTACK, "seeds")))
        return drawn_anew(here, several)

    def _adversary(self, attack: Attack) -> Adversary:
        """The file's adversary with this attack, at the nodes that are to be tried."""
        its = self.experiment.tables.adversary or Adversary()
        return replace(its, attack=attack, nodes=its.nodes if self.asked.nodes is None else self.asked.nodes)

    def _dishonest(self, seed: int) -> int:
        with self._placed((ATTACK if self.asked.nodes is not None else "adversary", "nodes")):
            nodes = ids_of(cohort_of(self._adversary(Attack()).nodes), self.data)
            return len(known_attacks.Adversary(nodes).members(self.data.nodes, seed))

    # -- attacks ---------------------------------------------------------------------------------------------------

    def _attacks(self) -> tuple[list[Attack], list[str]]:
        """The attacks; and of the usual ones, that nobody asked for by name, which do not fit this data, and why."""
        if self.asked.attacks is not None:
            for i, attack in enumerate(self.asked.attacks):
                with self._placed((ATTACK, "attacks", i)):
                    attack.fitted(self.data)
            return _each_once(self.asked.attacks), []
        its = self.experiment.tables.adversary
        found, unfit = [] if its is None else [its.attack], []
        for attack in (getattr(known_attacks, name)() for name in USUAL_ATTACKS):
            try:
                attack.fitted(self.data)
            except BadInput as e:
                unfit.append(f"{type(attack).__name__} is left out: {e}")
                continue
            if attack not in found:
                found.append(attack)
        return found, unfit

    # -- rules -----------------------------------------------------------------------------------------------------

    def _rows(self, f: int) -> list[Row]:
        """The program as the file has it first; then it under each rule, and the programs that stand beside it."""
        program, asked = self.experiment.program, self.asked
        wanted = [*self._under_rules(f), *asked.programs]
        if asked.rules is None and not asked.programs:
            wanted += _defended(program, f)
        if not wanted:
            raise BadExperiment([self.document.problem(("program",), _without_rule(program))])
        # Without a list of rules the file's own is one of those that are tried.
        if asked.rules is None and program not in wanted:
            wanted.insert(0, program)
        programs = _each_once([program, *wanted])
        named = names([_what_differs(p, program) for p in programs])
        return [Row(n, p, p in wanted) for n, p in zip(named, programs, strict=True)]

    def _under_rules(self, f: int) -> list[Program]:
        """The program under each rule that is asked for, or under the usual ones where it has a place for a rule."""
        program, asked = self.experiment.program, self.asked
        field = _field_of(program)
        if asked.rules is not None and field is None:
            raise BadExperiment([self.document.problem((ATTACK, "rules"), _without_rule(program))])
        rules = asked.rules
        if rules is None:
            rules = () if asked.programs or field is None else _usual_rules(self.data.size(ROOT) > 0)
        given: dict[str, Any] = {"f": f}
        if any(rule.open - {"f"} for rule in rules):
            length = typical_length(self.experiment, self.data, str(field))
            given |= {"radius": length, "bound": length}
        made: list[Program] = []
        for i, rule in enumerate(rules):
            with self._placed((ATTACK, "rules", i)):
                made.append(replace(program, **{str(field): rule.made(**given)}))  # type: ignore[type-var]
        return made

    @contextlib.contextmanager
    def _placed(self, path: Path) -> Iterator[None]:
        try:
            yield
        except BadExperiment:
            raise
        except BadInput as e:
            raise BadExperiment([self.document.problem(path, e)]) from e


def _case(seeded: Experiment, row: Row, attack: str, adversary: Adversary | None) -> Case:
    tables = replace(seeded.tables, program=row.program, adversary=adversary, attack=None)
    group = f"{row.name}, {attack}"
    settings = {"rule": row.name, "attack": attack, "seed": seeded.seed}
    return Case(f"{group}, seed={seeded.seed}", group, settings, replace(seeded, tables=tables), group)


def _field_of(program: Any) -> str | None:
    """What a program calls the place of its rule; None where it has none."""
    there = {field.name for field in dataclasses.fields(program)} if dataclasses.is_dataclass(program) else set()
    return next((name for name in RULES if name in there), None)


def _what_differs(program: Any, of: Any) -> Any:
    """What tells a row from others: its rule, if all else is as in the file's program ``of``; or the whole program."""
    field = _field_of(program)
    return getattr(program, field) if field is not None and type(program) is type(of) else program


def _defended(program: Any, f: int) -> list[Program]:
    """Programs that defend themselves, with whatever they have in common with this one, set to withstand f nodes."""
    made: list[Any] = []
    for cls in DEFENDED.get(type(program), ()):
        takes = {field.name for field in dataclasses.fields(cls)}
        shared = {x.name: getattr(program, x.name) for x in dataclasses.fields(program) if x.name in takes}
        made.append(cls(**shared, **({"f": f} if "f" in takes else {"rule": TrimmedMean(f)})))
    return made


def _without_rule(program: Any) -> str:
    return (
        f"{type(program).__name__} has no place for a rule ({' or '.join(RULES)}): name whole programs to be tried "
        "beside it, such as programs = [{ basgd = { rounds = 30 } }] under [attack]"
    )


def _usual_rules(root: bool) -> tuple[Rule, ...]:
    """``root``: the coordinator holds rows of its own, with which one rule more can do something."""
    builder, named = FileBuilder(FilePath()), [*USUAL_RULES, *(["fltrust"] if root else [])]
    rules: tuple[Rule, ...] = builder.build(tuple[Rule, ...], named, (ATTACK, "rules"))
    assert not builder.problems, builder.problems
    return rules


def _each_once(values: Sequence[Any]) -> list[Any]:
    return [v for i, v in enumerate(values) if v not in values[:i]]


def names(values: Sequence[Any]) -> list[str]:
    """A name for each, all different: that of its class and of what is inside it, or else all that it says.

    >>> from foedus import Mean, TrimmedMean
    >>> names([Mean(), TrimmedMean(f=1), TrimmedMean(f=2)])
    ['Mean', 'TrimmedMean(f=1)', 'TrimmedMean(f=2)']
    """
    short = [_short(v) for v in values]
    often = Counter(short)
    return [s if often[s] == 1 else repr(v) for s, v in zip(short, values, strict=True)]


def _short(value: Any) -> str:
    inside = [v for name in ("then", "attack", "rule") if (v := getattr(value, name, None)) is not None]
    return type(value).__name__ + (f"({', '.join(map(_short, inside))})" if inside else "")
