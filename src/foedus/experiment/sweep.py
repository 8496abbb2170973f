"""Sweeps: a grid over any fields of a file becomes an experiment for each of its points."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from foedus.core.errors import BadInput, plain_name
from foedus.core.time.cost import Network
from foedus.experiment.document import SWEEP, Document, from_file, from_text
from foedus.experiment.experiment import Experiment
from foedus.experiment.problems import BadExperiment, Problem
from foedus.network import by_name
from foedus.plain.build import given
from foedus.plain.places import Path, dotted
from foedus.runtimes import Simulation

MOST = 10_000
"""Cases of a sweep. More is a slip of the keyboard rather than a plan."""

SEED = ("seed",)
TEST_SEED = "test_seed"
NETWORK = ("runtime", "simulation", "network")


@dataclass(frozen=True)
class Case:
    """One point of a sweep.

    ``label``     what differs: ``"lr=0.1, seed=2"``; the experiment's name if nothing does.
    ``group``     the same without the seed: cases of one group are repetitions, of which one takes mean and spread.
    ``settings``  the fields that differ, by dotted path, with their values as the file has them.
    ``subject``   the group without the network, where cases differ in it: what is compared on each of them.
    ``network``   the network in a word, where cases differ in it.
    """

    label: str
    group: str
    settings: dict[str, Any]
    experiment: Experiment
    subject: str = ""
    network: str | None = None


@dataclass(frozen=True)
class _Axis:
    keys: tuple[str, ...]  # the field
    place: Path  # the list in the file
    values: list[Any]


def expand(path: str | FilePath, sets: Sequence[str] = ()) -> list[Case]:
    """The cases of a file's ``[sweep]``, the last key varying fastest; one case if it has none.

    Errors: ``BadExperiment`` with what is wrong with any of the cases, each problem once.
    """
    return _cases(from_file(path, sets))


def expand_all(paths: Sequence[str | FilePath], sets: Sequence[str] = ()) -> list[Case]:
    """The cases of several files. Of more than one file, labels begin with the experiment's name.

    Errors: ``BadExperiment`` with what is wrong with any of the files.
    """
    found: list[list[Case]] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found.append(expand(path, sets))
        except BadExperiment as e:
            problems += [p for p in e.problems if p not in problems]
    if problems:
        raise BadExperiment(problems)
    if len(found) == 1:
        return found[0]
    names = [cases[0].experiment.name for cases in found]
    cases = []
    for i, (name, some) in enumerate(zip(names, found, strict=True)):
        called = name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}"
        cases += [
            replace(
                c,
                label=_under(called, c.label, name),
                group=_under(called, c.group, name),
                subject=_under(called, c.subject, name),
            )
            for c in some
        ]
    return cases


def on_networks(cases: Sequence[Case], networks: Sequence[str]) -> list[Case]:
    """Every case once on each of these networks, the network varying fastest; names are those of ``network.PRESETS``.

    Of one network there is nothing to tell apart, and labels stay what they are. Errors: ``BadExperiment`` for a case
    that is not simulated, or whose file sweeps the network itself; ``BadInput`` for a network that there is not.
    """
    models = {name: by_name(name) for name in networks}
    problems: list[Problem] = []
    found = []
    for case in cases:
        runtime = case.experiment.runtime
        if not isinstance(runtime, Simulation):
            problems.append(
                _problem(
                    case,
                    NETWORK[:1],
                    f"{type(runtime).__name__} runs in real time, on the network that is there: only a simulation can "
                    "be put on others; leave --networks out, or the runtime",
                )
            )
        elif case.network is not None:
            problems.append(_problem(case, (SWEEP,), "the file sweeps the network already: leave --networks out"))
        else:
            found += [_on(case, runtime, name, model, len(models) > 1) for name, model in models.items()]
    if problems:
        raise BadExperiment(list(dict.fromkeys(problems)))
    return found


def _on(case: Case, runtime: Simulation, name: str, model: Network, told: bool) -> Case:
    e = case.experiment
    placed = replace(
        case,
        settings=case.settings | {dotted(NETWORK): name},
        experiment=replace(e, tables=replace(e.tables, runtime=replace(runtime, network=model))),
    )
    if not told:
        return placed
    word = f"network={name}"
    return replace(placed, label=f"{case.label}, {word}", group=f"{case.group}, {word}", network=name)


def _problem(case: Case, path: Path, message: str) -> Problem:
    document = case.experiment.document
    return document.problem(path, message) if document is not None else Problem(case.label, dotted(path), message)


def _under(called: str, label: str, name: str) -> str:
    return called if label == name else f"{called}: {label}"


def expand_text(
    text: str, sets: Sequence[str] = (), *, origin: str = "experiment.toml", folder: str | FilePath = "."
) -> list[Case]:
    """The same for a text."""
    return _cases(from_text(text, origin, FilePath(folder), sets))


def _cases(document: Document) -> list[Case]:
    axes = _axes(document)
    names = _names(axes)
    shown = [_shown(axis.values) for axis in axes]
    cases: list[Case] = []
    problems: list[Problem] = []
    for point in itertools.product(*(range(len(axis.values)) for axis in axes)):
        here = document.copy()
        # Whole tables first: a longer path reaches into what a shorter one put there.
        for axis, i in sorted(zip(axes, point, strict=True), key=lambda pair: len(pair[0].keys)):
            try:
                here.set(axis.keys, copy.deepcopy(axis.values[i]), document.where((*axis.place, i)))
            except BadInput as e:
                problems.append(document.problem(axis.place, e))
        try:
            experiment = drawn_anew(here, any(axis.keys == SEED and len(axis.values) > 1 for axis in axes))
        except BadExperiment as e:
            problems += e.problems
            continue
        # A program is known by its own name.
        words = [
            _program(s[i], experiment.program) if n == "program" else f"{n}={s[i]}"
            for n, s, i in zip(names, shown, point, strict=True)
        ]
        group = [w for w, axis in zip(words, axes, strict=True) if axis.keys != SEED]
        subject = [w for w, axis in zip(words, axes, strict=True) if axis.keys not in (SEED, NETWORK)]
        networks = [s[i] for s, axis, i in zip(shown, axes, point, strict=True) if axis.keys == NETWORK and len(s) > 1]
        cases.append(
            Case(
                ", ".join(words) or experiment.name,
                ", ".join(group) or experiment.name,
                {dotted(axis.keys): axis.values[i] for axis, i in zip(axes, point, strict=True)},
                experiment,
                ", ".join(subject) or experiment.name,
                networks[0] if networks else None,
            )
        )
    if problems:
        raise BadExperiment(document.in_order(problems))
    return cases


def drawn_anew(document: Document, several: bool) -> Experiment:
    """The experiment of one point. In a sweep over ``several`` seeds each draws its own test rows, where a fraction of
    the data is drawn and the file does not say by which seed: else all seeds would be judged on the rows that one draw
    happened to pick. Whose rows are whose, and what nodes hold out, goes by the seed anyway.
    """
    experiment = document.experiment()
    source = experiment.tables.data.source
    drawn = isinstance(source.options.get("test"), float) and TEST_SEED in source.options
    if not several or not drawn:
        return experiment
    table = document.raw["data"]
    named = table["source"]  # its options stand beside its name, or in a table of its own
    place = ("data",) if isinstance(named, str) else ("data", "source", str(next(iter(named))))
    options = table if isinstance(named, str) else named[place[-1]]
    if any(plain_name(k) == plain_name(TEST_SEED) for k in options):
        return experiment
    document.set((*place, TEST_SEED), experiment.seed, document.where((SWEEP, *SEED)))
    return document.experiment()


def _axes(document: Document) -> list[_Axis]:
    problems: list[Problem] = []
    axes: list[_Axis] = []

    def collect(table: dict[str, Any], place: Path) -> None:
        for key, value in table.items():
            at = (*place, key)
            if isinstance(value, dict):  # program.fedavg.rounds = [...] without quotes
                collect(value, at)
                continue
            keys = tuple(part for k in at[1:] for part in _split(str(k)))
            if not isinstance(value, list) or not value:
                problems.append(document.problem(at, f"expected a list of values to try, got {given(value)}"))
            elif any(v in value[:i] and type(v) is type(value[value.index(v)]) for i, v in enumerate(value)):
                twice = next(v for i, v in enumerate(value) if v in value[:i])
                problems.append(document.problem(at, f"{_word(twice)} is given twice"))
            elif any(axis.keys == keys for axis in axes):
                problems.append(document.problem(at, "this field is swept twice"))
            else:
                axes.append(_Axis(keys, at, value))

    table = document.raw.get(SWEEP, {})
    if not isinstance(table, dict):
        raise BadExperiment([document.problem((SWEEP,), f"expected a table of lists, got {given(table)}")])
    collect(table, (SWEEP,))
    size = math.prod(len(axis.values) for axis in axes)
    if size > MOST:
        by = " x ".join(f"{len(axis.values):,} of {dotted(axis.keys)}" for axis in axes)
        problems.append(document.problem((SWEEP,), f"a grid of {size:,} cases ({by}), and at most {MOST:,} are run"))
    if problems:
        raise BadExperiment(problems)
    return axes


def _split(key: str) -> list[str]:
    """The parts of a dotted key that was written in quotes; parts with a colon may be quoted inside it.

    >>> _split("program.'mine:Alg'.lr")
    ['program', 'mine:Alg', 'lr']
    """
    parts, quote = [""], ""
    for c in key:
        if c in "\"'" and c == (quote or c):
            quote = "" if quote else c
        elif c == "." and not quote:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def _names(axes: Sequence[_Axis]) -> list[str]:
    """For every field the shortest end of its path that no other has."""
    names = []
    for axis in axes:
        for n in range(1, len(axis.keys) + 1):
            end = axis.keys[-n:]
            if Counter(other.keys[-n:] for other in axes)[end] == 1:
                break
        names.append(".".join(end))
    return names


def _shown(values: Sequence[Any]) -> list[str]:
    """A word for each value: of a table its class's name, if that tells them apart."""
    short = [next(iter(v)) if isinstance(v, dict) and len(v) == 1 else _word(v) for v in values]
    return short if len(set(short)) == len(short) else [_word(v) for v in values]


def _program(word: str, program: Any) -> str:
    """A program's word with the name of its class, as it is called everywhere else, for the key that a file has.

    Two classes of the user's own may have one name: import paths stay.

    >>> from foedus import FedAvg
    >>> _program("fedavg(rounds=30)", FedAvg(rounds=30)), _program("mine:Mine", FedAvg(rounds=30))
    ('FedAvg(rounds=30)', 'mine:Mine')
    """
    key = word.partition("(")[0]
    return word if ":" in key else type(program).__name__ + word[len(key) :]


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}({_fields(v)})" for k, v in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_word, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fields(value: Any) -> str:
    if not isinstance(value, dict):
        return _word(value)
    return ", ".join(f"{k}={_word(v)}" for k, v in value.items())
