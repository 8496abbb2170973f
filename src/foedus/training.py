"""``train``: a program, a model, data and a runtime make a run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from foedus import models, report, saved
from foedus.attacks import Adversary
from foedus.core.coordination.evaluation import AT_NODES
from foedus.core.coordination.judging import reported
from foedus.core.coordination.program import here
from foedus.core.coordination.runtime import Engine, Runtime
from foedus.core.coordination.session import EVALUATE_AT, Options, Session
from foedus.core.coordination.site import Setup
from foedus.core.errors import BadInput, Diverged, FoedusError, Interrupted, RunEnded, WorkerError
from foedus.core.interrupts import heard_once, held_back
from foedus.core.records.checkpoint import Checkpoint, Found
from foedus.core.records.folder import ABOUT, RunFolder
from foedus.core.records.history import History
from foedus.core.records.origin import Circumstances, check_origin, differences, flat, origin
from foedus.core.records.run import Record, grew
from foedus.core.records.run import Run as _Run
from foedus.core.types.model import Model
from foedus.core.types.policy import Policy
from foedus.core.types.roster import NodeData, Roster
from foedus.core.types.torch_process import one_thread
from foedus.jobs import one_row
from foedus.report.notebook import in_notebook
from foedus.runtimes import Simulation
from foedus.sampling import StopRule
from foedus.sampling.stopping import settled, stop_rules
from foedus.tracking import About, Tracker, Trackers, settings

if TYPE_CHECKING:
    from foedus.report.notebook import Page
    from foedus.report.pictures import Picture

log = logging.getLogger("foedus")

NAMED = 10
"""So many nodes are named in a notice that concerns single nodes."""


class Run(_Run):
    """What ``train`` returns: the final model, the history, the ledger, and pictures of them."""

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run in a folder, finished or not: history, costs and vectors, without data or module."""
        return saved.load(path, cls)

    @overload
    def plot(self, path: None = None) -> Picture: ...
    @overload
    def plot(self, path: str | Path) -> Path: ...
    def plot(self, path: str | Path | None = None) -> Path | Picture:
        """Draw quality against rounds and against bytes, as PNG, SVG or PDF by the file's suffix; without a path as a
        picture, which a notebook's cell shows.
        """
        return report.plot(self, path)

    @overload
    def report(self, path: None = None) -> Page: ...
    @overload
    def report(self, path: str | Path) -> Path: ...
    def report(self, path: str | Path | None = None) -> Path | Page:
        """Write one self-contained HTML page; without a path give the page, which a notebook's cell shows."""
        return report.page([self], path)

    def _repr_html_(self) -> str:
        return report.show(self)._repr_html_()

    def to_onnx(self, path: str | Path, example_x: Tensor, which: str = "last") -> Path:
        """Write the model as ONNX, for batches of any size; ``example_x`` (N, ...) is a batch that it takes.

        Needs the extra ``onnx``. Errors: ``BadInput``, also for a run that was read from its folder.
        """
        return models.to_onnx(self.model(which), example_x, path)


@heard_once()
def train(
    program: Any,
    model: Model,
    data: NodeData,
    *,
    runtime: Runtime | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool | Run | Checkpoint = False,
    accept_changes: bool = False,
    stop: StopRule | Sequence[StopRule] = (),
    evaluate_every: int = 1,
    checkpoint_every: int = 1,
    evaluate_at: str = "program",
    evaluate_nodes: int = 0,
    per_node: bool = False,
    policy: Policy = Policy(),
    adversary: Adversary | None = None,
    config: str | None = None,
    track: Tracker | Sequence[Tracker] = (),
    progress: bool | Callable[[Record], None] | None = None,
) -> Run:
    """Run a program.

    ``data``      a data set that was split among nodes, or one whose rows are only at the nodes: ``AtNodes``.
    ``runtime``   where it runs; ``Simulation()`` by default.
    ``out``       a folder for history, checkpoint and models, created at the first commit; it must not exist.
    ``resume``    ``True`` goes on from the checkpoint in ``out``; a ``Run`` or ``Checkpoint`` goes on from that. What
                  is given differently than before is told in ``Run.notices``.
    ``accept_changes``  go on although the data is not what it was, or a newer foedus wrote the checkpoint.
    ``stop``      rules that end the run early.
    ``evaluate_every``, ``checkpoint_every``  in commits; the last round is always evaluated.
    ``evaluate_at``  ``"program"``: quality is measured as the program has it: on the coordinator's test rows, unless
                  nodes have models of their own. ``"nodes"``: every node measures the model that it has, its own where
                  it has one, on the rows that it holds out, and quality is the mean over all these rows: so programs
                  with and without models of nodes' own are measured alike.
    ``evaluate_nodes``  each so many commits (0: never) every node evaluates the model on what it holds out, on its
                  training rows if it holds out none: ``Record.metrics`` gets the mean and the worst tenth over nodes,
                  ``Run.node_metrics`` each node's. A measurement: its time and its bytes are nobody's.
    ``per_node``  keep the ledger by node as well.
    ``policy``    the nodes' own word on what they are asked: see ``Policy``.
    ``adversary``  which nodes are dishonest, and what these do; the program knows nothing of it. Where the attack aims
                  at something (a backdoor), ``Record.metrics`` has its success on the test rows, ``attack_success``.
    ``config``    the file the run is made from, as text; it is kept in ``out``.
    ``track``     trackers that are told of every commit, such as ``TensorBoard()``.
    ``progress``  True shows progress, which a notebook does where nothing is said (None); a callable is given every
                  ``Record``.

    Data and model stay as they are: the run trains a copy of the model, so that several runs may be given the same, in
    threads or one in another's ``progress``.

    Errors: ``BadInput`` before anything runs; ``Diverged``, ``NodeFailed`` and ``WorkerError`` with the run up to its
    last commit in their ``run``; ``Interrupted`` (a ``KeyboardInterrupt``) on Ctrl-C, likewise.
    """
    if not isinstance(model, Model):
        raise BadInput(f"model must be a foedus.Model, got a {type(model).__name__}: wrap it, Model(module, loss=...)")
    if not hasattr(data, "meet"):
        raise BadInput(
            f"data must be divided among nodes, got a {type(data).__name__}: call dataset.split(partition, nodes)"
        )
    beside = None
    if adversary is not None:
        if not isinstance(adversary, Adversary):
            raise BadInput(f"adversary is an Adversary(nodes=..., attack=...), got {adversary!r}")
        adversary = adversary if data.roster is None else adversary.fitted(data.roster)
        policy, beside = adversary.policy(data.nodes, seed, policy), adversary.success
    model = model.apart()
    if evaluate_every < 1 or checkpoint_every < 1:
        raise BadInput("evaluate_every and checkpoint_every count commits, from 1 up")
    if evaluate_at not in EVALUATE_AT:
        raise BadInput(f"evaluate_at is 'program' or 'nodes', got {evaluate_at!r}")
    if evaluate_nodes < 0:
        raise BadInput(f"evaluate_nodes counts commits, from 1 up, or is 0 for never; got {evaluate_nodes}")
    rules = stop_rules(stop)
    looking = [settled(rule, model.measures) for rule in rules]
    folder, found, checkpoint = _folder(out, resume, {} if config is None else {saved.CONFIG: config.encode()})
    context = _Context(program, model, runtime, policy, out, config, accept_changes, adversary)
    if found is not None and found.damage:
        context.notice(f"{found.damage}; the run goes on from commit {found.checkpoint.tree['round']}, the one before")
    engine: Engine | None = None
    shared = ExitStack()
    shared.enter_context(one_thread())
    try:
        roster = data.roster
        if roster is not None:
            _settle(context, roster, folder)
        about = _about(context, data, seed, checkpoint)
        context.trackers = Trackers.open(track, about, None if out is None else Path(out))
        show = _Progress(program, progress, context.trackers)
        engine = (runtime if runtime is not None else Simulation()).start(Setup(model, data, seed, policy))
        if roster is None:  # only the nodes know what the data is
            roster = data.meet(engine.executor)
            _settle(context, roster, folder)
        context.notices += [n for n in engine.notices if n not in context.notices]
        session = Session(
            model=model,
            roster=roster,
            executor=engine.executor,
            clock=engine.clock,
            network=engine.network,
            driver=engine.driver,
            seed=seed,
            policy=policy,
            communicates=getattr(context.program, "communicates", True),
            options=Options(
                program=type(program).__qualname__,
                evaluate_every=evaluate_every,
                evaluate_at=evaluate_at,
                evaluate_nodes=evaluate_nodes,
                beside=beside,
                node_evaluation=getattr(context.program, "node_evaluation", AT_NODES),
                checkpoint_every=checkpoint_every,
                per_node=per_node,
                stop=rules,
                settled=looking,
                progress=show.update,
                folder=folder,
            ),
        )
        if checkpoint is not None:
            session.restore(checkpoint)
            _go_on(context, checkpoint)
        session.options.circumstances = context.circumstances
        if folder is not None:
            folder.about = lambda: saved.about(_make_run(context, session, "running", None))
        return _drive(context, session, engine, show)
    finally:
        with held_back():
            if engine is not None:
                engine.executor.close()
            if folder is not None:
                folder.close()
            context.trackers.__exit__(None, None, None)
            shared.close()


@dataclasses.dataclass
class _Context:
    """What a run is told by, besides its session."""

    program: Any
    model: Model
    runtime: Any
    policy: Policy
    out: str | Path | None
    config: str | None
    accept_changes: bool
    adversary: Adversary | None = None
    origin: dict[str, str] = dataclasses.field(default_factory=dict)
    notices: list[str] = dataclasses.field(default_factory=list)
    trackers: Trackers = dataclasses.field(default_factory=lambda: Trackers([], None))

    @property
    def circumstances(self) -> Circumstances:
        """As checkpoints tell them."""
        runtime = self.runtime if self.runtime is not None else Simulation()
        told = settings(program=self.program, loss=self.model.loss, runtime=runtime, policy=self.policy)
        return Circumstances(self.origin, flat(told), self.config, tuple(self.notices))

    def notice(self, *texts: str) -> None:
        """Say what a reader of the run should know: now, and once in the run."""
        for text in texts:
            log.warning("%s", text)
            if text not in self.notices:
                self.notices.append(text)


def _settle(context: _Context, roster: Roster, folder: RunFolder | None) -> None:
    """What has to be seen to once it is known what the data is. Errors: ``BadInput``."""
    check(context.program, context.model, roster)
    context.program, said = one_row.fit(context.program, context.model, roster)
    context.notice(*said)
    context.origin = origin(roster if folder is not None else None)


def _go_on(context: _Context, before: Checkpoint) -> None:
    """What is said of a run that goes on otherwise than it began. Errors: ``BadInput`` for what is not accepted."""
    then, now = before.circumstances, context.circumstances
    if not context.accept_changes:
        check_origin(then.origin, now.origin)
    context.notices[:0] = [n for n in then.notices if n not in context.notices]
    done = before.tree["round"]
    if not then.origin:
        context.notice(
            f"the checkpoint of commit {done} was written by an older foedus and says nothing of the data and the "
            "settings that it was made with: whether they are the same was not checked"
        )
    context.notice(*differences(then.origin, now.origin))
    context.notice(
        *(f"{name} is {to} from commit {done + 1} on; it was {was}" for name, (was, to) in then.changed(now).items())
    )
    planned = getattr(context.program, "rounds", None)
    if isinstance(planned, int) and planned < done:
        context.notice(f"{done} commits are made, and no more than {planned} were asked for: no further one is made")


def _about(context: _Context, data: NodeData, seed: int, checkpoint: Checkpoint | None) -> About:
    program = context.program
    told = settings(
        program=program, runtime=context.runtime, data=data.name, partition=data.partition, nodes=data.nodes
    )
    history = () if checkpoint is None else checkpoint.history
    return About(type(program).__name__, seed, repr(program), told, tuple(history))


def _drive(context: _Context, session: Session, engine: Engine, show: _Progress) -> Run:
    out, folder = context.out, session.options.folder

    def run(status: str) -> Run:
        session.roll_back()
        ended = _make_run(context, session, status, session.checkpoint() if session.history else None)
        if folder is not None and not folder.broken:
            saved.save(ended, folder)
        context.trackers.close(ended)
        return ended

    how = f'resume=True, out="{out}"' if out is not None else "resume=error.run"
    try:
        with show:
            _run(context.program, session, engine)
            finished = run("stopped" if session.stopped else "finished")
            show.finish(finished)
        if finished.grown is not None:
            log.warning("%s", grew(*finished.grown))
        return finished
    except KeyboardInterrupt:
        ended = run("interrupted")
        message = f"stopped at commit {session.round}; go on with train(..., {how})"
        if not session.round:
            message = "stopped before the first commit: nothing was kept"
        raise Interrupted(message, ended) from None
    except RunEnded as e:
        e.run = run("diverged" if isinstance(e, Diverged) else "failed")
        if getattr(e, "log", ""):
            log.info("%s\n%s", e, e.log)  # type: ignore[attr-defined]
            if out is not None and Path(out).is_dir():
                (Path(out) / "error.log").write_text(e.log, encoding="utf-8", errors="backslashreplace")  # type: ignore[attr-defined]
        raise
    except WorkerError as e:
        e.run = run("failed")  # type: ignore[attr-defined]
        raise


def _run(program: Any, session: Session, engine: Engine) -> None:
    try:
        session.clock.run(engine.elsewhere(program, session) or here(program, session))
    except BaseExceptionGroup as group:  # from a program's TaskGroup
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def _make_run(context: _Context, s: Session, status: str, checkpoint: Checkpoint | None) -> Run:
    run = _made(context, s, status, checkpoint)
    found = report.overfitted(run)
    return run if found is None else dataclasses.replace(run, notices=[*run.notices, found])


def _made(context: _Context, s: Session, status: str, checkpoint: Checkpoint | None) -> Run:
    judged = None if status == "running" else s.judging.judged(s.model.measures)
    w = s.state.w if s.state is not None and "w" in s.state else s.model.initial
    return Run(
        program=context.program,
        vector=w.clone(),
        history=History(s.history),
        ledger=s.ledger,
        best=None if s.best is None or judged is None else reported(s.best, judged),
        best_vector=(s.best_w if s.best_w is not None else w).clone(),
        status=status,
        seed=s.seed,
        nodes=s.roster.nodes,
        sizes=s.roster.sizes,
        label_counts=s.roster.label_counts(),
        evaluated_on=s.tested_on,
        metrics=s.model.measures,
        usual=s.carried.usual or None,
        curves={} if status == "running" else s.judging.curves(),
        runtime=context.runtime if context.runtime is not None else Simulation(),
        out=None if context.out is None else Path(context.out),
        checkpoint=checkpoint,
        node_metrics=s.carried.node_metrics,
        node_rows=s.carried.node_rows,
        node_rarest=s.carried.node_rarest,
        node_deviations=s.carried.node_deviations,
        node_everybody=s.carried.node_everybody,
        staleness=s.carried.staleness,
        config=context.config,
        origin=context.origin,
        notices=[*context.notices, *(n for n in _left_out(s) if n not in context.notices)],
        preparation=s.roster.preparation,
        node_names=s.roster.node_names,
        class_names=s.roster.class_names,
        objective=getattr(context.program, "objective", None),
        dishonest=() if context.adversary is None else context.adversary.members(s.roster.nodes, s.seed),
        judged=judged,
        _model=s.model,
    )


def _left_out(s: Session) -> list[str]:
    """Which nodes failed, and the run went on without; the first few by name."""
    found, names = s.carried.left_out or {}, s.roster.node_names
    said = [
        f"node {node if names is None else names[node]} failed in round {t} and was left out: {reason}"
        for node, (t, reason) in list(found.items())[:NAMED]
    ]
    return said + (
        ["other nodes failed as well and were left out: the ledger counts them"] if len(found) > NAMED else []
    )


def _folder(
    out: str | Path | None, resume: bool | Run | Checkpoint, files: dict[str, bytes]
) -> tuple[RunFolder | None, Found | None, Checkpoint | None]:
    """Where the run is written, what was found there to go on from, and the checkpoint that it goes on from."""
    if isinstance(resume, _Run):
        if resume.checkpoint is None:
            raise BadInput("this run has no commit to go on from: start it anew")
        resume = resume.checkpoint
    if resume is True:
        if out is None:
            raise BadInput("resume=True needs the run's folder: train(..., out=FOLDER, resume=True)")
        if (Path(out) / ABOUT).exists():
            saved.read_about(Path(out))  # nothing of it is needed, and none of it shall be overlooked
        folder, found = RunFolder.again(Path(out), files)
        return folder, found, None if found is None else found.checkpoint
    if resume is not False and not isinstance(resume, Checkpoint):
        raise BadInput(f"resume is True (with out=FOLDER), a Run or a Checkpoint; got {resume!r}")
    checkpoint = resume if isinstance(resume, Checkpoint) else None
    return (None if out is None else RunFolder.fresh(Path(out), files, checkpoint)), None, checkpoint


def check(program: Any, model: Model, data: Roster) -> None:
    """Whatever can be known to be wrong before anything runs. Errors: ``BadInput``."""
    if not callable(program) or isinstance(program, type):
        raise BadInput(f"a program is an object with async __call__(self, fed), got {program!r}")
    x, y = data.example(2)
    # Label 0 is one that every model knows; whether there are more labels than it tells apart is asked below.
    model.check(x, y if data.classes is None else torch.zeros_like(y))
    classes = model.classes(x)
    if classes is not None and data.classes is not None and data.classes > classes:
        raise BadInput(
            f"the data has {data.classes} classes, but the model tells only {classes} apart: widen its last layer"
        )
    if dataclasses.is_dataclass(program):
        for field in dataclasses.fields(program):
            value = getattr(program, field.name)
            if hasattr(value, "draw") and hasattr(value, "k") and value.k > data.nodes:
                raise BadInput(f"a cohort of {value.k} nodes was asked for, but there are only {data.nodes}")


class _Progress:
    """Whoever is told of every commit: trackers, the live view of a run, a callable."""

    def __init__(self, program: Any, wanted: bool | Callable[[Record], None] | None, trackers: Trackers) -> None:
        self._trackers = trackers
        self._call = wanted if callable(wanted) else None
        shown = in_notebook() if wanted is None else wanted is True
        self._live = report.Live(getattr(program, "rounds", None), type(program).__name__) if shown else None

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.__enter__()

    def __exit__(self, *exc: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exc)

    def update(self, record: Record) -> None:
        """Show one commit."""
        self._trackers.record(record)
        if self._live is not None:
            self._live.update(record)
        if self._call is not None:
            self._call(record)

    def finish(self, run: Run) -> None:
        """Show the end."""
        if self._live is not None:
            self._live.finish(run)


__all__ = ["FoedusError", "Run", "train"]
