"""``train``: a program, a model, data and a runtime make a run."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from foedus import report
from foedus.core.checkpoint import Checkpoint, CheckpointFolder
from foedus.core.data import POOLED, FederatedDataset
from foedus.core.errors import BadInput, Diverged, FoedusError, Interrupted, RunEnded, WorkerError
from foedus.core.federation import Federation
from foedus.core.model import Model
from foedus.core.peer import Peer, run_peers
from foedus.core.run import Record
from foedus.core.run import Run as _Run
from foedus.core.runtime import Engine, Runtime
from foedus.core.session import Options, Session
from foedus.runtimes import Simulation
from foedus.sampling import StopRule

log = logging.getLogger("foedus")


class Run(_Run):
    """What ``train`` returns: the final model, the history, the ledger, and pictures of them."""

    def plot(self, path: str | Path) -> Path:
        """Draw quality against rounds and against bytes, as PNG, SVG or PDF by the file's suffix."""
        return report.plot(self, path)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        return report.page([self], path)


def train(
    program: Any,
    model: Model,
    data: FederatedDataset,
    *,
    runtime: Runtime | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool | Run | Checkpoint = False,
    stop: StopRule | Sequence[StopRule] = (),
    evaluate_every: int = 1,
    checkpoint_every: int = 1,
    per_node: bool = False,
    progress: bool | Callable[[Record], None] = False,
) -> Run:
    """Run a program.

    ``runtime``   where it runs; ``Simulation()`` by default.
    ``out``       a folder for history and checkpoints, created at the first commit; it must not exist.
    ``resume``    ``True`` goes on from the checkpoint in ``out``; a ``Run`` or ``Checkpoint`` goes on from that.
    ``stop``      rules that end the run early.
    ``evaluate_every``, ``checkpoint_every``  in commits; the last round is always evaluated.
    ``per_node``  keep the ledger by node as well.
    ``progress``  True shows progress; a callable is given every ``Record``.

    Errors: ``BadInput`` before anything runs; ``Diverged``, ``NodeFailed`` and ``WorkerError`` with the run up to its
    last commit in their ``run``; ``Interrupted`` (a ``KeyboardInterrupt``) on Ctrl-C, likewise.
    """
    if not isinstance(model, Model):
        raise BadInput(f"model must be a foedus.Model, got a {type(model).__name__}: wrap it, Model(module, loss=...)")
    if not isinstance(data, FederatedDataset):
        raise BadInput(
            f"data must be divided among nodes, got a {type(data).__name__}: call dataset.split(partition, nodes)"
        )
    if evaluate_every < 1 or checkpoint_every < 1:
        raise BadInput("evaluate_every and checkpoint_every count commits, from 1 up")
    folder, checkpoint = _folder(out, resume)
    threads = torch.get_num_threads()
    random_state = torch.random.get_rng_state()
    torch.set_num_threads(1)
    engine: Engine | None = None
    try:
        _check(program, model, data)
        show = _Progress(program, progress)
        engine = (runtime if runtime is not None else Simulation()).start(model, data, seed)
        session = Session(
            model=model,
            data=data,
            executor=engine.executor,
            clock=engine.clock,
            network=engine.network,
            seed=seed,
            communicates=getattr(program, "communicates", True),
            options=Options(
                program=type(program).__qualname__,
                evaluate_every=evaluate_every,
                checkpoint_every=checkpoint_every,
                per_node=per_node,
                stop=(stop,) if not isinstance(stop, Sequence) else tuple(stop),
                progress=show.update,
                folder=folder,
            ),
        )
        if checkpoint is not None:
            session.restore(checkpoint)
        return _drive(program, session, runtime, out, show)
    finally:
        if engine is not None:
            engine.executor.close()
        torch.set_num_threads(threads)
        torch.random.set_rng_state(random_state)


def _drive(program: Any, session: Session, runtime: Any, out: str | Path | None, show: _Progress) -> Run:
    def run(status: str) -> Run:
        session.roll_back()
        return _make_run(program, session, runtime, out, status)

    how = f'resume=True, out="{out}"' if out is not None else "resume=error.run"
    try:
        with show:
            _run(program, session)
        finished = run("stopped" if session.stopped else "finished")
        show.finish(finished)
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
                (Path(out) / "error.log").write_text(e.log)  # type: ignore[attr-defined]
        raise
    except WorkerError as e:
        e.run = run("failed")  # type: ignore[attr-defined]
        raise


def _run(program: Any, session: Session) -> None:
    try:
        if takes_peer(program):
            session.clock.run(run_peers(program, session))
        else:
            session.clock.run(program(Federation(session)))
    except BaseExceptionGroup as group:  # from a program's TaskGroup
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def _make_run(program: Any, s: Session, runtime: Any, out: str | Path | None, status: str) -> Run:
    w = s.state.w if s.state is not None and "w" in s.state else s.model.initial
    return Run(
        program=program,
        vector=w.clone(),
        history=list(s.history),
        ledger=s.ledger,
        best=s.best,
        best_vector=(s.best_w if s.best_w is not None else w).clone(),
        status=status,
        seed=s.seed,
        nodes=s.data.nodes,
        sizes=s.data.sizes,
        label_counts=s.data.label_counts(),
        evaluated_on=s.data.tested_on,
        runtime=runtime if runtime is not None else Simulation(),
        out=None if out is None else Path(out),
        checkpoint=s.checkpoint() if s.history else None,
        _model=s.model,
    )


def _folder(
    out: str | Path | None, resume: bool | Run | Checkpoint
) -> tuple[CheckpointFolder | None, Checkpoint | None]:
    if isinstance(resume, _Run):
        if resume.checkpoint is None:
            raise BadInput("this run has no commit to go on from: start it anew")
        resume = resume.checkpoint
    if resume is True:
        if out is None:
            raise BadInput("resume=True needs the run's folder: train(..., out=FOLDER, resume=True)")
        found = Checkpoint.load(Path(out))
        return CheckpointFolder(Path(out), found), found
    if resume is not False and not isinstance(resume, Checkpoint):
        raise BadInput(f"resume is True (with out=FOLDER), a Run or a Checkpoint; got {resume!r}")
    if isinstance(resume, Checkpoint):
        fresh = None if out is None else CheckpointFolder.fresh(Path(out))
        return (None if fresh is None else CheckpointFolder(fresh.path, resume)), resume
    return (None if out is None else CheckpointFolder.fresh(Path(out))), None


def _check(program: Any, model: Model, data: FederatedDataset) -> None:
    """Whatever can be known to be wrong before anything runs."""
    if not callable(program) or isinstance(program, type):
        raise BadInput(f"a program is an object with async __call__(self, fed), got {program!r}")
    x, y = data.rows(POOLED).batch(torch.arange(min(2, len(data.index))))
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


def takes_peer(program: Any) -> bool:
    """Whether a program runs at every node (``__call__(self, peer: Peer)``) or once, at the coordinator."""
    call = program if inspect.isfunction(program) else type(program).__call__
    try:
        hints = typing.get_type_hints(call)
    except Exception:  # names that only type checkers know
        hints = dict(getattr(call, "__annotations__", {}))
    hints.pop("return", None)
    kind = next(iter(hints.values()), None)
    return kind is Peer or (isinstance(kind, str) and kind.split(".")[-1] == "Peer")


class _Progress:
    """The live view of a run, or nothing."""

    def __init__(self, program: Any, wanted: bool | Callable[[Record], None]) -> None:
        self._call = wanted if callable(wanted) else None
        self._live = report.Live(getattr(program, "rounds", None), type(program).__name__) if wanted is True else None

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.__enter__()

    def __exit__(self, *exc: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exc)

    def update(self, record: Record) -> None:
        """Show one commit."""
        if self._live is not None:
            self._live.update(record)
        if self._call is not None:
            self._call(record)

    def finish(self, run: Run) -> None:
        """Show the end."""
        if self._live is not None:
            self._live.finish(run)


__all__ = ["FoedusError", "Run", "train"]
