"""Like with like: what a comparison chooses for its cases, so that what stands side by side can be compared.

Two things are chosen where files say nothing: where quality is measured, and what a node counts in what is minimised.
A file that says so keeps what it says, and a single run is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from foedus.core.coordination.evaluation import AT_NODES
from foedus.core.errors import BadInput, plain_name
from foedus.core.words import sentence_list
from foedus.experiment.experiment import Experiment
from foedus.experiment.sweep import Case
from foedus.programs.weights import BY_NODES, BY_ROWS, with_objective

HOLDOUT = "holdout = 0.2"
"""What a file is to say under ``[data]`` where rows have to be held out, and have not been."""


def like_with_like(cases: Sequence[Case], held_out: Sequence[bool]) -> tuple[list[Case], list[str]]:
    """The cases as they are to be run, and what is to be said of it beforehand.

    ``held_out``  whether the nodes of each case's data hold out rows.
    Errors: ``BadInput`` where models of the nodes' own are compared with others, and there are no rows for it.
    """
    measured, of_quality = _measured_alike(cases, held_out)
    same, of_objective = _minimised_alike(measured)
    return same, of_quality + of_objective


# -- where quality is measured -----------------------------------------------------------------------------------------


def personal(program: Any) -> bool:
    """Whether nodes have models of their own, that nobody but they can measure."""
    return getattr(program, "node_evaluation", AT_NODES) != AT_NODES


def _measured_alike(cases: Sequence[Case], held_out: Sequence[bool]) -> tuple[list[Case], list[str]]:
    """All at the nodes, where some programs can be measured only there.

    A sweep over one program is alike as it is. So is one without personal models: each node's own model, of
    ``LocalOnly``, can be measured on the rows that the others are.
    """
    programs = {type(c.experiment.program) for c in cases}
    own = [c for c in cases if personal(c.experiment.program)]
    free = [c.experiment.tables.evaluate.at is None for c in cases]
    if not own or len(programs) == 1 or not any(free):
        return list(cases), []
    without = [c for c, held, open_ in zip(cases, held_out, free, strict=True) if open_ and not held]
    names, give = _join(_names(own)), "give" if len(_names(own)) > 1 else "gives"
    if without:
        raise BadInput(
            f"{names} {give} nodes models of their own, which only they can measure, and the nodes of "
            f"{_join([c.label for c in without])} hold out no rows to measure on: quality on rows that a model was "
            f"trained on does not belong beside others' on rows that were not. Write {HOLDOUT} under [data] (or --set "
            f'data.{HOLDOUT.replace(" ", "")}); or, if each is to be measured as it is by itself, at = "program" under '
            "[evaluate]"
        )
    said = (
        f"Measured at the nodes: {names} {give} nodes models of their own, so of every program each node measures the "
        "model that it has, on the rows that it holds out."
    )
    return [_at_nodes(c) if open_ else c for c, open_ in zip(cases, free, strict=True)], [said]


def _at_nodes(case: Case) -> Case:
    t = case.experiment.tables
    return _with(case, evaluate=replace(t.evaluate, at="nodes"))


# -- what is minimised -------------------------------------------------------------------------------------------------


def _minimised_alike(cases: Sequence[Case]) -> tuple[list[Case], list[str]]:
    """All on one objective, as far as files leave it open and programs have a choice: by rows, or else by nodes."""
    named = [c for c in cases if _objective(c) is not None]
    if len({_objective(c) for c in named}) < 2:
        return list(cases), []
    free = [c for c in named if not _told(c.experiment)]

    def all_can(objective: str) -> bool:
        return all(_objective(_minimising(c, objective)) == objective for c in free)

    goal = next((o for o in (BY_ROWS, BY_NODES) if all_can(o)), BY_ROWS)
    changed = [_minimising(c, goal) if any(c is f for f in free) else c for c in cases]
    moved = [a for a, b in zip(changed, cases, strict=True) if a is not b]
    said = []
    if moved:
        how = {BY_ROWS: "nodes by their rows", BY_NODES: "all nodes alike"}[goal]
        names, verb = _names(moved), "count" if len(_names(moved)) > 1 else "counts"
        said.append(
            f"One objective: {_join(names)} {verb} {how} here, as the others do. A file that says how they "
            "count is left as it is."
        )
    other = [c for c in changed if _objective(c) not in (goal, None)]
    if other:
        count = {BY_ROWS: "by their rows", BY_NODES: "alike"}
        theirs = count[BY_NODES if goal == BY_ROWS else BY_ROWS]
        said.append(f"Not one objective: nodes count {count[goal]}, but {theirs} with {_join(_names(other))}.")
    return changed, said


def _objective(case: Case) -> str | None:
    found: str | None = getattr(case.experiment.program, "objective", None)
    return found


def _minimising(case: Case, objective: str) -> Case:
    program = with_objective(case.experiment.program, objective)
    return case if program == case.experiment.program else _with(case, program=program)


def _told(experiment: Experiment) -> bool:
    """Whether the file (or a sweep, or ``--set``) says itself how nodes count."""
    if experiment.document is None:
        return False
    tables = experiment.document.raw.get("program")
    fields = [v for v in tables.values() if isinstance(v, dict)] if isinstance(tables, dict) else []
    return any(plain_name(str(key)) in ("objective", "aggregate") for f in fields for key in f)


# -- words -------------------------------------------------------------------------------------------------------------


def _with(case: Case, **tables: Any) -> Case:
    e = case.experiment
    return replace(case, experiment=replace(e, tables=replace(e.tables, **tables)))


def _names(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(type(c.experiment.program).__name__ for c in cases))


def _join(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return sentence_list(names)
