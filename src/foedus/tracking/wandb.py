"""Weights & Biases: offline unless the user says otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.tracking.tracker import About, Mark, Setting, bytes_sent, environment, library, numbers

MODES = ("offline", "online")


@dataclass(frozen=True)
class WandB:
    """A run of Weights & Biases.

    ``project``  its project.   ``entity``  the user or team, or None for your own.
    ``mode``     ``"offline"`` writes to the disk alone; ``wandb sync`` sends it when you want. ``"online"`` sends it
                 as the run goes.
    ``folder``   where the folder ``wandb`` with the offline runs is; it is made if it is not there.

    Every number of a commit is logged at its round, with ``round`` and ``bytes`` (sent in both directions) beside
    them: choose either as the x axis. W&B is kept from capturing the console, code, git state and the machine's
    description and load, and from reporting its own errors to its makers (unless ``WANDB_ERROR_REPORTING=true``).
    """

    project: str = "foedus"
    mode: str = "offline"
    entity: str | None = None
    folder: str = "."

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadInput(f"unknown mode {self.mode!r} of W&B: use one of {', '.join(MODES)}")

    def open(self, about: About) -> _Open:
        mark = about.mark if about.mark is not None else Mark(secrets.token_hex(4))
        with environment(WANDB_ERROR_REPORTING="false"):  # read when its helper process starts
            wandb = library("wandb", self, "wandb")
            try:
                Path(self.folder).mkdir(parents=True, exist_ok=True)
                run = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    mode=self.mode,
                    dir=self.folder,
                    id=mark.id,
                    resume="allow",
                    name=about.name,
                    # A resumed run has its settings, and W&B does not take other ones.
                    config=None if mark.round else {"seed": about.seed, "program": about.program, **about.config},
                    reinit="create_new",  # a run that the user may have open stays as it is
                    settings=wandb.Settings(
                        silent=True,
                        console="off",
                        disable_code=True,
                        disable_git=True,
                        save_code=False,
                        host="",
                        program="foedus",
                        x_disable_machine_info=True,
                        x_disable_meta=True,
                        x_disable_stats=True,
                        x_save_requirements=False,
                    ),
                )
            except Exception as e:
                reason = " ".join(str(e).split())
                raise BadInput(f"W&B cannot begin a run ({self.mode}): {reason}; see {self!r}") from e
        run.define_metric("*", step_metric="round")
        return _Open(run, mark)


class _Open:
    def __init__(self, run: Any, mark: Mark) -> None:
        self._run, self.mark = run, mark

    def record(self, record: Record) -> None:
        self._run.log({"round": record.round, "bytes": bytes_sent(record), **numbers(record)}, step=record.round)

    def close(self, status: str, summary: Mapping[str, Setting]) -> None:
        self._run.summary.update({"status": status, **summary})
        self._run.finish(exit_code=int(status not in ("finished", "stopped")))
