"""MLflow: a folder, a database or a tracking server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.tracking.tracker import About, Mark, Setting, bytes_sent, environment, library, numbers, quality

STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED"}
PARAMETERS = 100
"""How many parameters MLflow takes at once."""


@dataclass(frozen=True)
class MLflow:
    """A run of MLflow.

    ``uri``         where it is kept: a folder; a database, ``"sqlite:///mlflow.db"`` (needs the whole of MLflow:
                    ``pip install mlflow``); a tracking server, ``"http://..."``.
    ``experiment``  MLflow's name for a collection of runs; it is made if it is not there.

    Every number of a commit stands at its round. What says how good the model is stands at the bytes sent as well, as
    ``by_bytes/accuracy`` and so on. MLflow's own usage statistics are off unless ``MLFLOW_DISABLE_TELEMETRY=false``.
    """

    uri: str = "mlruns"
    experiment: str = "foedus"

    def open(self, about: About) -> _Open:
        with _manners():
            tracking = library("mlflow.tracking", self, "mlflow")
            library("mlflow.telemetry", self, "mlflow").set_telemetry_client()  # off, if the user had it imported
            entities = library("mlflow.entities", self, "mlflow")
            try:
                client = tracking.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
                return self._go_on(client, entities, about) or self._begin(client, entities, about)
            except ImportError as e:
                raise BadInput(f"MLflow cannot use {self.uri!r} ({e}): pip install mlflow, or give a folder") from e
            except Exception as e:
                reason = " ".join(str(e).split())
                raise BadInput(f"MLflow cannot use {self.uri!r}: {reason}; give a folder or a server's address") from e

    def _go_on(self, client: Any, entities: Any, about: About) -> _Open | None:
        if about.mark is None:
            return None
        try:
            client.update_run(about.mark.id, status="RUNNING")
        except Exception:  # no such run any more: MLflow has no narrower error that all of its stores raise
            return None
        return _Open(client, entities, about.mark)

    def _begin(self, client: Any, entities: Any, about: About) -> _Open:
        found = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if found is None else found.experiment_id
        run = client.create_run(experiment, run_name=about.name, tags={"mlflow.source.name": "foedus"})
        values = {"seed": about.seed, "program": about.program, **about.config}
        params = [entities.Param(_name(k), str(v)) for k, v in values.items()]
        for at in range(0, len(params), PARAMETERS):
            client.log_batch(run.info.run_id, params=params[at : at + PARAMETERS])
        return _Open(client, entities, Mark(run.info.run_id))


class _Open:
    def __init__(self, client: Any, entities: Any, mark: Mark) -> None:
        self._client, self._entities, self.mark = client, entities, mark
        # A run that was killed may have written more than the mark says: MLflow would keep both.
        self._before: dict[str, int] = {}
        if mark.round:
            for name in client.get_run(mark.id).data.metrics:
                self._before[name] = max(m.step for m in client.get_metric_history(mark.id, name))

    def record(self, record: Record) -> None:
        now = int(time.time() * 1000)
        points = [(_name(k), v, record.round) for k, v in numbers(record).items()]
        if bytes_sent(record):
            points += [(_name(f"by_bytes/{k}"), v, bytes_sent(record)) for k, v in quality(record).items()]
        new = [p for p in points if p[2] > self._before.get(p[0], -1)]
        with _manners():
            self._client.log_batch(self.mark.id, metrics=[self._entities.Metric(k, v, now, at) for k, v, at in new])

    def close(self, status: str, summary: Mapping[str, Setting]) -> None:
        with _manners():
            for name, value in {"status": status, **summary}.items():
                self._client.set_tag(self.mark.id, name, str(value))
            self._client.set_terminated(self.mark.id, STATUS.get(status, "FAILED"))


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits and a few signs."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in text)


@contextmanager
def _manners() -> Iterator[None]:
    """MLflow without its usage statistics, with its folders (in maintenance, but the only store without a database),
    and with less patience: by default it holds its caller for four minutes when a server is away.
    """
    with environment(
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_ALLOW_FILE_STORE="true",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="2",
        MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR="1",
        MLFLOW_HTTP_REQUEST_TIMEOUT="10",
    ):
        yield
