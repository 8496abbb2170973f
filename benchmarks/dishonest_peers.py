"""Two of sixteen lie, where there is no server and where nobody waits: what breaks, and what holds. See README.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

import torch
from common import Scale, markdown, options, origin, origin_lines, result_file

import foedus as fd
from foedus import attacks
from foedus.aggregators import NNM, Median, TrimmedMean
from foedus.programs import BASGD, ClippedGossip, FedBuff, Gossip, ParameterServer, RobustGossip, ZenoPlusPlus
from foedus.report.seeds import sd
from foedus.topologies import Complete, Torus

NODES, BAD = 16, (3, 8)
"""On a torus of 4 x 4 no honest peer has both for neighbours."""

LIES: Mapping[str, Any] = {
    "nobody lies": None,
    "sign flip": attacks.SignFlip(4.0),
    "scaling": attacks.Scaling(10.0),
    "noise": attacks.Gaussian(1.0),
    "inner product": attacks.IPM(2.0),
    "a little": attacks.ALIE(1.5),
    "dissensus": attacks.Dissensus(),
    "labels": attacks.LabelFlip(),
    "NaN": attacks.NotFinite(),
}
"""By name in the table. Dissensus is told to neighbours only: with a server it does nothing."""


def peers(rounds: int) -> dict[str, Any]:
    """Programs without a server: four steps at every peer, then its neighbours' models."""
    local = fd.LocalSGD(steps=4, batch_size=10, lr=0.3)
    return {
        "Gossip, torus": Gossip(rounds, Torus(), local=local),
        "ClippedGossip, torus": ClippedGossip(rounds, Torus(), local=local),
        "RobustGossip, trimmed mean, torus": RobustGossip(rounds, Torus(), TrimmedMean(1), local=local),
        "RobustGossip, NNM and median, torus": RobustGossip(rounds, Torus(), NNM(1, Median()), local=local),
        "RobustGossip, trimmed mean, complete": RobustGossip(rounds, Complete(), TrimmedMean(2), local=local),
    }


def asynchronous(rounds: int) -> dict[str, Any]:
    """Programs that wait for nobody, at the rate at which each learns best without lies."""
    return {
        "ParameterServer": ParameterServer(rounds, lr=0.04, batch_size=32),
        "FedBuff, mean": FedBuff(rounds, 8),
        "FedBuff, trimmed mean": FedBuff(rounds, 8, aggregate=TrimmedMean(2)),
        "BASGD, median of 8": BASGD(2 * rounds, 8, Median(), lr=0.3, batch_size=32),
        "BASGD, NNM and trimmed mean of 16": BASGD(2 * rounds, 16, NNM(2, TrimmedMean(2)), lr=0.3, batch_size=32),
        "Zeno++": ZenoPlusPlus(rounds, lr=0.05, batch_size=32),
    }


def accuracy(run: fd.Run, model: fd.Model, data: Any) -> float:
    """Of the run's model; without a server the mean over honest peers of their own."""
    if "peers" not in run.checkpoint.tree["extra"] or not run.checkpoint.tree["extra"]["peers"]:
        return float(run.history[-1].accuracy or 0.0)
    books = run.checkpoint.tree["extra"]["peers"]["books"]
    honest = [b["state"].w for n, b in enumerate(books) if n not in BAD]
    with torch.no_grad():
        right = [(model.copy_of(w)(data.test_x).argmax(1) == data.test_y).double().mean() for w in honest]
    return float(torch.stack(right).mean())


def measure(program: Any, attack: Any, seed: int, runtime: Any) -> dict[str, float]:
    """Accuracy, and how many of the two that lie are the two most suspected. A run that ends early has learned nothing:
    its accuracy is that of a guess.
    """
    data = fd.data.load("digits").split(fd.data.IID(), nodes=NODES, seed=seed, root=100)
    torch.manual_seed(seed)
    model = fd.Model(fd.models.mlp(64, 32, 10))
    adversary = None if attack is None else attacks.Adversary(nodes=BAD, attack=attack)
    try:
        run = fd.train(
            program, model, data, seed=seed, runtime=runtime, adversary=adversary, evaluate_every=program.rounds
        )
    except (fd.Diverged, fd.NodeFailed):
        return {"accuracy": 0.1, "found": 0.0, "ended": 1.0}
    found = {s.node for s in run.suspects[: len(BAD)]} & set(BAD)
    return {"accuracy": accuracy(run, model, data), "found": len(found) / len(BAD), "ended": 0.0}


def cell(seeds: list[dict[str, float]]) -> str:
    """Accuracy in per cent and its deviation over seeds; a star where both that lie were found with every seed."""
    values = [100 * s["accuracy"] for s in seeds]
    spread = f" ± {sd(values):.1f}" if len(values) > 1 else ""
    mark = " \\*" if all(s["found"] == 1.0 for s in seeds) else ""
    return ("ended" if any(s["ended"] for s in seeds) else f"{fmean(values):.1f}{spread}") + mark


def table(make: Callable[[int], dict[str, Any]], lies: list[str], scale: Scale, runtime: Any) -> tuple[str, Any]:
    """A line for each program, a column for each lie."""
    results = {
        name: {
            lie: [measure(program, LIES[lie], seed, runtime) for seed in scale.of(range(3), range(1), range(1))]
            for lie in lies
        }
        for name, program in make(scale.of(20, 20, 2)).items()
    }
    rows = [[name, *(cell(found[lie]) for lie in lies)] for name, found in results.items()]
    return markdown(["program", *lies], rows), results


def main() -> None:
    """The command line."""
    args = options("What two dishonest nodes of sixteen can do.", quick="one seed").parse_args()
    torch.set_num_threads(1)
    near = [k for k in LIES if args.scale is not Scale.SMOKE or k in ("nobody lies", "sign flip")]
    far = [k for k in near if k != "dissensus"]
    without, first = table(peers, near, args.scale, fd.Simulation())
    waiting, second = table(asynchronous, far, args.scale, fd.Simulation(network=fd.network.MOBILE))
    where = origin()
    text = (
        f"Digits, i.i.d. at {NODES} nodes, of which {BAD[0]} and {BAD[1]} lie from the first job on; an MLP of 2,410 "
        "numbers. Accuracy in per cent, the mean of three seeds and its deviation; *ended*: the run diverged. A star: "
        "with every seed the two that lie are the two most suspected."
    )
    page = (
        f"# Dishonest peers\n\n{origin_lines(where)}\n\n{text}\n\n## Without a server\n\nThe mean over honest peers of "
        f"their own models.\n\n{without}\n\n## Nobody waits\n\nThe server's model.\n\n{waiting}\n"
    )
    print(page)
    file = result_file(args, "dishonest-peers")
    file.write_text(page)
    results = {"origin": where, "peers": first, "asynchronous": second}
    file.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
