"""FedAvg on Fashion-MNIST by shards: rounds to a target accuracy, as in Table 2 of McMahan et al. (2017).

See README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import image_folder, load, markdown, options, origin, origin_lines, result_file

import foedus as fd


@dataclass(frozen=True)
class Setting:
    """One line of the table. ``rates`` are tried in this order, likely ones first: a rate gets no more rounds than the
    best one before it needed, which changes no best and saves most of the time."""

    epochs: int
    batch: int | None
    rates: tuple[float, ...]
    rounds: int

    @property
    def name(self) -> str:
        """As the paper writes it."""
        size = "inf" if self.batch is None else str(self.batch)
        return f"E={self.epochs}, B={size}" + (" (FedSGD)" if self.epochs == 1 and self.batch is None else "")


SETTINGS = (
    Setting(5, 10, (0.1, 0.05, 0.2, 0.02), 100),
    Setting(1, 10, (0.1, 0.05, 0.2, 0.02), 300),
    Setting(5, None, (0.2, 0.1, 0.4), 600),
    Setting(1, None, (0.2, 0.4, 0.1), 1500),
)
TARGETS = {"2NN": 0.80, "CNN": 0.80}
QUICK_TARGET, QUICK_ROUNDS = 0.65, 250
SMOKE_TARGET, SMOKE_ROUNDS = 0.15, 2


def attempt(
    s: Setting, lr: float, rounds: int, target: float, network: str, data: Any, args: argparse.Namespace
) -> dict[str, Any]:
    """One run: until the target, or so many rounds."""
    module = fd.models.two_nn(seed=args.seed) if network == "2NN" else fd.models.cnn(seed=args.seed)
    program = fd.FedAvg(
        rounds=s.rounds, cohort=fd.Fraction(0.1), local=fd.LocalSGD(epochs=s.epochs, batch_size=s.batch, lr=lr)
    )
    started = time.perf_counter()
    try:
        run = fd.train(
            program,
            fd.Model(module),
            data,
            runtime=fd.Simulation(workers=args.workers),
            seed=args.seed,
            stop=[fd.Target(target), fd.AfterCommits(rounds)],
        )
        history, status = run.history, ""
    except fd.Diverged as e:  # too high a rate is an answer of the grid
        history, status = e.run.history if e.run is not None else [], "diverged"
    reached = next((r for r in history if (r.accuracy or 0.0) >= target), None)
    return {
        "lr": lr,
        "allowed": rounds,
        "status": status,
        "rounds": None if reached is None else reached.round,
        "bytes": None if reached is None else reached.bytes_up + reached.bytes_down,
        "epochs": None if reached is None else reached.epochs,
        "wall_s": None if reached is None else reached.wall_s,
        "took_s": time.perf_counter() - started,
        "best": max((r.accuracy or 0.0 for r in history), default=0.0),
        "curve": [[r.round, r.accuracy] for r in history],
    }


def measure(s: Setting, target: float, network: str, data: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The grid of a setting."""
    rates = s.rates[: args.scale.of(None, 1, 1)]
    allowed = min(s.rounds, args.scale.of(s.rounds, QUICK_ROUNDS, SMOKE_ROUNDS))
    tries = []
    for lr in rates:
        one = attempt(s, lr, allowed, target, network, data, args)
        tries.append(one)
        if one["rounds"] is not None:
            allowed = one["rounds"]
            result = f"{one['rounds']} rounds"
        else:
            result = one["status"] or f"not in {one['allowed']} rounds, best {one['best']:.3f}"
        print(f"{s.name:20} lr {lr:<5} {result:40} {one['took_s']:6.1f} s", flush=True)
    # Fewest rounds; where nothing got there, the one that came nearest.
    best = min(tries, key=lambda t: (t["rounds"] is None, t["rounds"] or 0, -t["best"]))
    return {"setting": asdict(s), "name": s.name, "tries": tries, "best": best}


def tables(results: Sequence[dict[str, Any]], target: float) -> str:
    """Markdown: the table, and the grid behind it."""
    last = results[-1]["best"]
    head = ["", "lr", f"rounds to {target:.0%}", "speed-up", "MB to target", "epochs to target", "wall (s)"]
    rows = []
    for r in results:
        b = r["best"]
        if b["rounds"] is None:
            rows.append([r["name"], f"{b['lr']}", f"> {b['allowed']} ({b['best']:.3f})", "", "", "", ""])
            continue
        # FedSGD that did not get there gives a lower bound.
        against, sign = (last["allowed"], "> ") if last["rounds"] is None else (last["rounds"], "")
        rows.append(
            [
                r["name"],
                f"{b['lr']}",
                f"{b['rounds']:,}",
                f"{sign}{against / b['rounds']:.1f}x",
                f"{b['bytes'] / 1e6:,.0f}",
                f"{b['epochs']:.1f}",
                f"{b['wall_s']:.1f}",
            ]
        )
    grid = [
        [
            r["name"],
            f"{t['lr']}",
            t["status"] or (f"> {t['allowed']:,}" if t["rounds"] is None else f"{t['rounds']:,}"),
            f"{t['best']:.3f}",
        ]
        for r in results
        for t in r["tries"]
    ]
    return "\n\n".join(
        [
            markdown(head, rows),
            "Speed-up: rounds of FedSGD over rounds of this setting. Megabytes: up and down, all nodes. Epochs: rows "
            "trained on over rows there are. Wall: seconds of the run until then, evaluation outside.",
            "## The grid",
            "A rate gets no more rounds than the best before it needed.",
            markdown(["", "lr", "rounds", "best accuracy"], grid),
        ]
    )


def figure(results: Sequence[dict[str, Any]], target: float, title: str, file: Path) -> None:
    """Best-so-far accuracy against rounds, each setting at its best rate."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    colours = ("#1a365d", "#3182ce", "#dd6b20", "#c53030")
    for r, colour in zip(results, colours, strict=False):
        best, rounds, accuracy = 0.0, [], []
        for t, a in r["best"]["curve"]:
            best = max(best, a or 0.0)
            rounds.append(t)
            accuracy.append(best)
        ax.plot(rounds, accuracy, color=colour, label=f"{r['name']}, lr {r['best']['lr']}")
        if r["best"]["rounds"] is not None:
            ax.plot(rounds[-1], accuracy[-1], "o", color=colour, markersize=5)
    ax.axhline(target, color="grey", linewidth=1, linestyle="--")
    ax.annotate(
        f"target {target:.0%}", (1, target), xytext=(2, 3), textcoords="offset points", fontsize=8, color="grey"
    )
    ax.set_xscale("log")
    ax.set_xlabel("rounds of communication")
    ax.set_ylabel("best test accuracy so far")
    ax.set_title(title, fontsize=10)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="lower right")
    fig.savefig(file, dpi=150)
    plt.close(fig)


def main() -> None:
    """The command line."""
    quick = "a lower target and one rate per setting, under two minutes"
    parser = options("FedAvg against FedSGD on Fashion-MNIST by shards.", quick, images=True)
    parser.add_argument("--model", choices=("2NN", "CNN"), default="2NN", help="the CNN takes hours on two cores")
    parser.add_argument("--target", type=float, default=None, help="test accuracy; 0.80, with --quick 0.65")
    parser.add_argument("--workers", type=int, help="processes; 2, with --smoke 1")
    parser.add_argument("--seed", type=int, default=0, help="of the shards, the first weights and the run")
    args = parser.parse_args()
    if args.workers is None:
        args.workers = args.scale.of(2, 2, 1)
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    usual = args.scale.of(TARGETS[args.model], QUICK_TARGET, SMOKE_TARGET)
    target = args.target if args.target is not None else usual
    if not 0 < target < 1:
        parser.error("--target is an accuracy, more than 0 and less than 1")
    data = load(image_folder(args)).split(fd.data.Shards(per_node=2), nodes=100, seed=args.seed)
    where = origin()
    print(origin_lines(where), flush=True)
    started = time.perf_counter()
    results = [measure(s, target, args.model, data, args) for s in SETTINGS]
    took = time.perf_counter() - started
    text = tables(results, target)
    print("\n" + text)
    file = result_file(args, f"fashion-mnist-{args.model.lower()}")
    picture = file.with_suffix(".png")
    title = f"FedAvg on Fashion-MNIST by shards, {args.model}, 100 nodes, C=0.1"
    figure(results, target, title, picture)
    about = (
        f"Sorted by label, 200 shards of 300, two per node; 100 nodes, C=0.1, {args.model}, target {target:.0%} test "
        f"accuracy (best so far), evaluated every round on 10,000 test images; seed {args.seed}. "
        f"Took {took / 60:.1f} minutes."
    )
    parts = [f"# {title}", origin_lines(where), about, text, f"![accuracy against rounds]({picture.name})"]
    file.write_text("\n\n".join(parts) + "\n")
    saved = {"origin": where, "target": target, "model": args.model, "seconds": took, "settings": results}
    file.with_suffix(".json").write_text(json.dumps(saved) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
