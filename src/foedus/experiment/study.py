"""Studies: the cases of one or several files, run one after the other into one folder, and gone on with when stopped.

The folder holds ``study.json`` (the cases, each with its resolved file) and a run's folder for every case; that of a
trial of attacks also ``refused.json``: which cases cannot be run, and why.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from foedus import saved
from foedus.core.errors import BadInput, RunEnded, StorageFailed
from foedus.core.records.atomic import write_atomically
from foedus.core.records.folder import ABOUT, begun
from foedus.core.records.lock import FolderLock
from foedus.core.records.place import check_new_folder
from foedus.core.records.run import Record
from foedus.core.text import visible
from foedus.core.types.data import FederatedDataset
from foedus.experiment.document import from_text
from foedus.experiment.experiment import Experiment
from foedus.experiment.likeness import like_with_like
from foedus.experiment.sweep import Case
from foedus.experiment.unchanged import check_unchanged
from foedus.experiment.write import to_toml
from foedus.report.attack.found import Found, Plan, Tried, found
from foedus.report.rows import rows_said
from foedus.report.summary import On
from foedus.training import Run

DONE = ("finished", "stopped")
UNDER_WAY = ("running", "killed", "interrupted")
REFUSED = "refused.json"


class Member(msgspec.Struct, frozen=True):
    """One case. ``config`` is its resolved file; the rest is as in ``Case``."""

    label: str
    group: str
    folder: str
    config: str
    settings: dict[str, Any] = {}
    subject: str = ""
    network: str | None = None

    @property
    def reported_as(self) -> str:
        """The label under which its runs are reported."""
        return self.group if self.network is None else On(self.subject, self.network, self.group)

    def experiment(self, place: Path, code: bool) -> Experiment:
        """The case's experiment. ``place`` is where its file is said to be when something is wrong with it."""
        return from_text(self.config, str(place / saved.CONFIG), place, code=code).experiment()


class Written(msgspec.Struct, frozen=True):
    """``study.json``. ``trial``: what the cases are for, where they are attacks and rules."""

    cases: tuple[Member, ...]
    trial: Plan | None = None


class Row(Protocol):
    """The live view of one case."""

    def update(self, record: Record) -> None: ...
    def finish(self, run: Any = None, status: str = "") -> None: ...


class Table(Protocol):
    """The live view of them all: ``row`` begins a case, at round ``start`` where it is resumed."""

    def row(self, label: str, total_rounds: int | None = None, start: int = 0) -> Row: ...


@dataclass
class Outcome:
    """The runs of every group, one a seed, and what ended others early, by label.

    Where cases differ in the network, a group's label is an ``On``, which the report knows what to do with.
    """

    runs: dict[str, list[Run]] = field(default_factory=dict)
    errors: dict[str, RunEnded] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Cases in a folder. ``begin`` makes one, ``open`` finds one again. ``code``: its import paths may be followed."""

    folder: Path
    members: tuple[Member, ...]
    chosen: tuple[str, ...] = ()
    """What was chosen for the cases so that they can be compared, in sentences: see ``likeness``."""
    code: bool = True
    rows: tuple[str, ...] = ()
    """Of a new study, on how many rows its cases are trained, and by how many they are judged, in sentences."""
    trial: Plan | None = None
    """Where the cases are attacks and rules, what they are for."""
    refused: dict[str, str] = field(default_factory=dict)
    """Of a trial, by label, why a case cannot be run: that a rule cannot be used is an answer, too. It grows."""

    @staticmethod
    def begin(cases: Sequence[Case], folder: Path, trial: Plan | None = None) -> Study:
        """Write down what is to be run, once every case has been checked with its data. The cases of a ``trial`` stay
        as they are: what they are set against is the file's own program.

        Errors: ``BadInput`` if the folder exists and is not empty, or a case cannot be run; nothing is written then.
        """
        check_new_folder(folder, "choose another folder, remove it, or go on with it (--resume)")
        data, held_out = _Data(), []
        sizes: dict[str, None] = {}  # each once
        for case in cases:
            divided = data.of(case.experiment)
            case.experiment.check(divided)
            sizes[rows_said(divided)] = None
            held_out.append(divided.nodes_tested_on == "held out")
        chosen: list[str] = []
        if trial is None:
            cases, chosen = like_with_like(cases, held_out)
        width = len(str(len(cases)))
        members = tuple(
            Member(
                c.label,
                c.group,
                f"{i:0{width}d}-{_slug(c.label)}",
                to_toml(c.experiment),
                c.settings,
                c.subject,
                c.network,
            )
            for i, c in enumerate(cases, 1)
        )
        folder.mkdir(parents=True, exist_ok=True)
        written = {"cases": members} | ({} if trial is None else {"trial": trial})
        write_atomically(folder / saved.STUDY, saved.as_json(written))
        return Study(folder, members, tuple(chosen), rows=tuple(sizes), trial=trial)

    @staticmethod
    def open(folder: Path, code: bool = True) -> Study:
        """The study in a folder. Errors: ``BadInput`` if there is none."""
        try:
            read = msgspec.json.decode((folder / saved.STUDY).read_bytes(), type=Written)
            refused = (folder / REFUSED).read_bytes() if (folder / REFUSED).exists() else b"{}"
            known = msgspec.json.decode(refused, type=dict[str, str])
            return Study(folder, read.cases, code=code, trial=read.trial, refused=known)
        except (OSError, msgspec.MsgspecError) as e:
            raise BadInput(f"{folder} holds no study: {saved.STUDY} is missing or damaged ({e})") from e

    def conduct(self, table: Table, accept_changes: bool = False) -> Outcome:
        """Run every case that has not ended, from where it stands. ``accept_changes`` is as in ``train``.

        A case that diverges or fails is told in the outcome, and the others go on; so do those of a trial after one
        whose rule cannot be used. Errors: ``StorageFailed`` and ``Interrupted`` end the study; it can be conducted
        again.
        """
        outcome, data = Outcome(), _Data()
        lock = FolderLock(self.folder)
        lock.acquire()
        try:
            for member in self.members:
                if member.label in self.refused:
                    continue
                run = self._found(member)
                if run is not None and run.status in DONE:
                    row = table.row(member.label, len(run.history), len(run.history))
                    row.finish(run)
                else:
                    run = self._conduct(member, data, run, table, outcome, accept_changes)
                if run is not None and run.history:
                    outcome.runs.setdefault(member.reported_as, []).append(run)
        finally:
            lock.release()
        return outcome

    def runs(self) -> dict[str, list[Run]]:
        """The runs that are there by now, by group, whether they have ended or not."""
        found: dict[str, list[Run]] = {}
        for member in self.members:
            run = self._found(member)
            if run is not None and run.history:
                found.setdefault(member.reported_as, []).append(run)
        return found

    def found(self, outcome: Outcome | None = None) -> Found:
        """Of a trial, what has been found by now; ``outcome`` knows what ended runs early."""
        assert self.trial is not None
        errors = {} if outcome is None else outcome.errors
        tried: dict[tuple[str, str], list[Tried]] = {}
        for member in self.members:
            some = tried.setdefault((str(member.settings["rule"]), str(member.settings["attack"])), [])
            run, ended = self._found(member), errors.get(member.label)
            if member.label in self.refused:
                some.append(Tried(reason=self.refused[member.label], refused=True))
            elif run is not None and run.history and run.status not in UNDER_WAY:
                some.append(Tried(run, "" if ended is None else str(ended)))
            elif ended is not None:
                some.append(Tried(None, str(ended)))
        return found(self.trial, tried)

    def _found(self, member: Member) -> Run | None:
        return Run.load(self.folder / member.folder) if (self.folder / member.folder / ABOUT).exists() else None

    def _conduct(
        self,
        member: Member,
        data: _Data,
        before: Run | None,
        table: Table,
        outcome: Outcome,
        accept_changes: bool,
    ) -> Run | None:
        place = self.folder / member.folder
        experiment = member.experiment(place, self.code)
        if not accept_changes:
            check_unchanged(place, member.config)
        row = table.row(member.label, rounds(experiment), len(before.history) if before is not None else 0)
        try:
            run = experiment.train(
                out=place,
                resume=begun(place, (saved.CONFIG,)),
                accept_changes=accept_changes,
                progress=row.update,
                data=data.of(experiment),
                config=member.config,
            )
        except StorageFailed:
            raise
        except RunEnded as e:
            outcome.errors[member.label] = e
            run = e.run
        except BadInput as e:
            if self.trial is None:
                raise
            self.refused[member.label] = str(e)
            write_atomically(self.folder / REFUSED, saved.as_json(self.refused))
            row.finish(None, "refused")
            return None
        row.finish(run)
        return run


def rounds(experiment: Experiment) -> int | None:
    """How many commits the program plans, where it says so."""
    planned = getattr(experiment.program, "rounds", None)
    return planned if isinstance(planned, int) else None


class _Data:
    """Loads a data set once where neighbouring cases share it."""

    def __init__(self) -> None:
        self._key = ""
        self._held: FederatedDataset | None = None

    def of(self, experiment: Experiment) -> FederatedDataset:
        t = experiment.tables
        key = repr((t.data, t.seed if t.data.seed is None else t.data.seed, t.folder))
        if self._held is None or key != self._key:
            self._held = None  # before the next is loaded, so that memory holds one
            self._held, self._key = experiment.data(), key
        return self._held


def _slug(label: str) -> str:
    """A label as a folder's name: letters, digits and a few signs, not too long.

    >>> _slug("fedavg, lr=0.1, seed=2")
    'fedavg-lr-0.1-seed-2'
    """
    words = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")
    return words[:60].rstrip("-.") or "case"


def folder_name(name: str) -> str:
    """A name as it was typed, as a folder's: only what no folder can be called, or nobody could type, is replaced.

    >>> folder_name("My_hospitals, 2nd try"), folder_name("../a/b")
    ('My_hospitals, 2nd try', 'a-b')
    """
    typed = re.sub(r"[/\\]+", "-", visible(name)).strip().lstrip("-.")
    return typed[:60].rstrip(" .-") or "run"


def next_free(name: str, place: Path) -> Path:
    """A folder for a run of this name that is not there yet: ``name``, ``name-2``, ``name-3`` ..."""
    base = folder_name(name)
    names = itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
    return next(place / n for n in names if not (place / n).exists())
