"""A runtime of your own: jobs run in a pool of the standard library's, on virtual time or on the wall clock."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch

import foedus as fd
from foedus.engine import Blocks, Engine, Executor, Plan, RealClock, Result, Setup, Site, Virtual, VirtualClock, Wall

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["foedus.engine", "foedus.jobs"])  # once, not in every worker


def begin(setup: bytes) -> None:
    """In every worker: make the place where tasks reach their nodes."""
    global site
    torch.set_num_threads(1)
    site = Site(*cloudpickle.loads(setup))


def run(group: bytes) -> bytes:
    """In a worker: run a group of blocks."""
    return cloudpickle.dumps(site.run(*cloudpickle.loads(group)))


@contextmanager
def deaths_told() -> Iterator[None]:
    """A worker process that has died is told as foedus tells it."""
    try:
        yield
    except BrokenProcessPool as e:
        raise fd.WorkerError(f"a worker process has died: {e}") from e


class Futures(Executor):
    """Runs groups of blocks by ``concurrent.futures``."""

    def __init__(self, setup: Setup, workers: int, real_time: bool) -> None:
        self.workers, self.ahead = workers, 2 * workers
        self._pool = ProcessPoolExecutor(workers, PROCESSES, begin, (cloudpickle.dumps((setup, real_time)),))

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> Future[bytes]:
        with deaths_told():  # of one that died at the job before
            return self._pool.submit(run, cloudpickle.dumps((plan, placed, blocks)))

    def wait(self, ticket: Future[bytes]) -> Result:
        with deaths_told():
            return cloudpickle.loads(ticket.result())

    def watch(self, ticket: Future[bytes], done: Callable[[], None]) -> None:
        ticket.add_done_callback(lambda _: done())

    def cancel(self, ticket: Future[bytes]) -> None:
        ticket.cancel()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Pooled:
    """The runtime that users choose."""

    workers: int = 2
    real_time: bool = False

    def start(self, setup: Setup) -> Engine:
        executor = Futures(setup, self.workers, self.real_time)
        if self.real_time:
            return Engine(executor, RealClock(), driver=Wall)
        return Engine(executor, VirtualClock(), fd.network.LAN, Virtual)


if __name__ == "__main__":
    data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=20, seed=0)
    program = fd.FedAvg(rounds=3, cohort=fd.Fixed(5))
    for runtime in (fd.Simulation(), Pooled(), Pooled(real_time=True)):
        model = fd.Model(fd.models.mlp(64, 32, 10))
        print(f"{type(runtime).__name__:12} {fd.train(program, model, data, runtime=runtime).sha256[:16]}")
