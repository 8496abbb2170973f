"""When to divide the model and when the rows: bytes and virtual seconds of a step. See README.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from common import markdown, options, origin, origin_lines, result_file

import foedus as fd
from foedus.data import IID, Replicated
from foedus.programs import FeatureParallel, TensorParallel

NODES, BATCH, CLASSES, STEPS = 8, 64, 10, 20
NETWORKS = {"LAN": fd.network.LAN, "WAN": fd.network.WAN}


def step(program: Callable[[int], Any], model: fd.Model, data: Any, network: Any) -> tuple[float, float]:
    """Bytes of a step at a node, both ways, and its virtual seconds: what more steps cost more."""
    few, many = (
        fd.train(program(n), model, data, runtime=fd.Simulation(workers=1, network=network), evaluate_every=10**6)
        for n in (1, 1 + STEPS)
    )
    moved = sum(getattr(many.ledger, k) - getattr(few.ledger, k) for k in ("bytes_up", "bytes_down"))
    return moved / STEPS / NODES, (many.ledger.virtual_s - few.ledger.virtual_s) / STEPS


def compare(features: int, module: torch.nn.Module, divided: Any) -> dict[str, Any]:
    """Both ways of dividing the same steps: 64 rows, all of them at every node, or an eighth of them at each."""
    x = torch.randn(2 * BATCH, features, generator=torch.Generator().manual_seed(0))
    dataset = fd.data.arrays(x, torch.arange(2 * BATCH) % CLASSES)
    model, found = fd.Model(module), {}
    for name, network in NETWORKS.items():
        rows, rows_s = step(
            lambda n: fd.SyncSGD(n, 0.01, BATCH // NODES), model, dataset.split(IID(), nodes=NODES), network
        )
        parts, parts_s = step(
            lambda n: divided(1, 0.01, BATCH, steps=n), model, dataset.split(Replicated(), nodes=NODES), network
        )
        found |= {"rows_bytes": rows, "parts_bytes": parts, f"rows_{name}": rows_s, f"parts_{name}": parts_s}
    return {"parameters": model.layout.parameters, **found}


def _milliseconds(seconds: float) -> str:
    ms = 1000 * seconds
    return f"{ms:,.3f}" if ms < 1 else f"{ms:,.1f}" if ms < 100 else f"{ms:,.0f}"


def main() -> None:
    """The command line."""
    args = options("When to divide the model.", quick="small models only").parse_args()
    torch.set_num_threads(1)
    sizes = args.scale.of([10, 32, 64, 100, 1_000, 10_000, 100_000], [10, 100, 1_000], [10])
    widths = [(784, 32, 10), (784, 200, 10), (784, 2000, 10), (784, 512, 512, 512, 10), (784, 1024, 1024, 1024, 10)]
    cases = {f"logistic({f}, 10)": (f, fd.models.logistic(f, CLASSES), FeatureParallel) for f in sizes}
    cases |= {f"mlp{w}": (w[0], fd.models.mlp(*w), TensorParallel) for w in widths[: args.scale.of(None, 2, 1)]}
    results = {name: compare(*case) for name, case in cases.items()}
    head = ["model", "parameters", "rows: bytes", "parts: bytes"]
    head += [f"{side}: {n} (ms)" for n in NETWORKS for side in ("rows", "parts")]
    table = markdown(
        head,
        [
            [f"`{name}`", f"{r['parameters']:,}", f"{r['rows_bytes']:,.0f}", f"{r['parts_bytes']:,.0f}"]
            + [_milliseconds(r[f"{side}_{n}"]) for n in NETWORKS for side in ("rows", "parts")]
            for name, r in results.items()
        ],
    )
    where = origin()
    text = (
        f"A step on {BATCH} rows by {NODES} nodes. *rows*: `SyncSGD`, a node has an eighth of the rows; *parts*: "
        "`FeatureParallel` and `TensorParallel`, a node has an eighth of the model. Bytes are those of a node, both "
        "ways; times are virtual."
    )
    print(f"{origin_lines(where)}\n\n{table}")
    file = result_file(args, "model-parallel")
    file.write_text(f"# Model parallelism\n\n{origin_lines(where)}\n\n{text}\n\n{table}\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, "steps": results}, indent=1) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
