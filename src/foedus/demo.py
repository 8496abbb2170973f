"""The demonstration: one model across twenty unequal nodes, four ways of training it, one page to compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foedus import data, models, network, programs, report
from foedus.core.types.model import Model
from foedus.jobs import LocalSGD
from foedus.runtimes import Simulation
from foedus.training import Run, train

if TYPE_CHECKING:
    from rich.console import Console

NODES = 20
LOCAL = LocalSGD(epochs=1, batch_size=10, lr=0.05)

PROGRAMS: dict[str, Any] = {
    "Centralized": programs.Centralized(rounds=40, local=LOCAL),
    "LocalOnly": programs.LocalOnly(rounds=40, local=LOCAL),
    "SyncSGD": programs.SyncSGD(rounds=400, lr=0.3, batch_size=5),
    "FedAvg": programs.FedAvg(rounds=60, local=LocalSGD(epochs=5, batch_size=10, lr=0.05)),
}


def demo(out: Path, seed: int = 0, workers: int = 1, console: Console | None = None) -> dict[str, Run]:
    """Train on digits over twenty Dirichlet nodes on the WAN preset, and write ``report.html`` into ``out``.

    ``console`` is where progress goes.
    """
    digits = data.load("digits").split(data.Dirichlet(alpha=0.3), nodes=NODES, seed=seed)
    model = Model(models.mlp(64, 32, 10), loss="cross_entropy")
    runs: dict[str, Run] = {}
    with report.LiveTable(list(PROGRAMS), console) as table:
        for label, program in PROGRAMS.items():
            row = table.row(label, program.rounds)
            runs[label] = train(
                program,
                model,
                digits,
                runtime=Simulation(workers=workers, network=network.WAN),
                seed=seed,
                progress=row.update,
            )
            row.finish(runs[label])
    report.page(
        runs,
        out / "report.html",
        notes=[
            f"Handwritten digits (1,797 images of 8 x 8, from scikit-learn) over {NODES} nodes with Dirichlet(0.3) "
            "label skew; a network of 2,410 parameters; simulated links and devices of the WAN preset."
        ],
    )
    return runs
