"""Four of twenty nodes lie: nine attacks under nine rules, on rows that are alike at all nodes and on skewed ones."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import tomli_w
from common import fail, image_folder, markdown, options, origin, origin_lines, result_file
from rich.console import Console

from foedus import report
from foedus.core.errors import FoedusError
from foedus.experiment.study import Study
from foedus.experiment.trial import trials
from foedus.report.attack import Found, as_json, verdict
from foedus.report.attack.found import CLEAN
from foedus.report.attack.show import value
from foedus.report.attack.verdict import troubles

NODES, DISHONEST = 20, 4
DATA = ("digits", "fashion-mnist")
SPLITS: dict[str, Any] = {"iid": "iid", "dirichlet": {"dirichlet": 0.3}}
CALLED = {
    "digits": "Digits",
    "fashion-mnist": "Fashion-MNIST",
    "iid": "rows alike at all nodes",
    "dirichlet": "rows divided by Dirichlet(0.3)",
}


def experiment(data: str, split: str, args: argparse.Namespace) -> dict[str, Any]:
    """The file of one setting, as a table."""
    rounds = args.scale.of(30, 8, 1)
    if data == "digits":
        source: dict[str, Any] = {"source": "digits"}
        widths, local = [64, 32, 10], {"epochs": 2, "batch_size": 10, "lr": 0.1}
    else:
        source = {"source": "idx", "path": str(image_folder(args).resolve())}
        widths, local = [784, 64, 10], {"steps": 30, "batch_size": 32, "lr": 0.1}
    attack: dict[str, Any] = {"nodes": DISHONEST, "seeds": args.scale.of(3, 1, 1)}
    if args.scale.of(False, False, True):
        attack |= {"attacks": ["sign_flip", "backdoor"], "rules": ["mean", "median", "norm_bound"]}
    return {
        "name": f"{data}-{split}",
        "data": {**source, "split": SPLITS[split], "nodes": NODES},
        "model": {"network": {"mlp": widths}},
        "program": {"fedavg": {"rounds": rounds, "local": local}},
        "runtime": {"simulation": {"workers": args.workers}},
        "evaluate": {"every": rounds},
        "attack": attack,
    }


def measure(data: str, split: str, args: argparse.Namespace, folder: Path) -> Found:
    """All runs of one setting, from where an earlier call was stopped."""
    if (folder / "study").is_dir():
        study = Study.open(folder / "study")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "experiment.toml"
        file.write_text(tomli_w.dumps(experiment(data, split, args)))
        cases, plan = trials(file)
        study = Study.begin(cases, folder / "study", plan)
    labels = [m.label for m in study.members]
    with report.LiveTable(labels, Console(stderr=True), cases=len(labels)) as table:
        outcome = study.conduct(table)
    return study.found(outcome)


def table(found: Found) -> str:
    """Rules by attacks: the mean accuracy, with a star where a rule holds; how far a backdoor opens, in brackets."""
    head = ["rule", *found.columns, "worst", "seconds", "times clean"]
    rows = []
    for r in found.plan.rules:
        worst, costs, (times, _) = found.lowest(r), found.cell(r, CLEAN).costs, found.price(r)
        rows.append(
            [
                r,
                *(_cell(found, r, a) for a in found.columns),
                "" if worst is None else worst,
                "" if costs is None else f"{costs[0]:.1f}",
                "" if times is None else f"{times:.2f}",
            ]
        )
    return markdown(head, rows)


def _cell(found: Found, rule: str, attack: str) -> str:
    cell = found.cell(rule, attack)
    opens = "" if cell.open is None else f" ({100 * cell.open:.0f})"
    return value(found, cell) + opens + (" *" if found.holds(rule, attack) and attack != CLEAN else "")


def main() -> None:
    """The command line."""
    parser = options(
        f"{DISHONEST} of {NODES} nodes lie, under every attack and every rule.", "one seed, few rounds", images=True
    )
    parser.add_argument("--only", choices=DATA, help="one data set of the two")
    parser.add_argument("--workers", type=int, help="processes; 2, with --smoke 1")
    args = parser.parse_args()
    args.workers = args.workers or args.scale.of(2, 2, 1)
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    settings = [(d, s) for d in DATA if args.only in (None, d) for s in SPLITS]
    if args.scale.of(False, False, True):
        settings = settings[::3]  # each data set, and each split, once
    name = "dishonest" + (f"-{args.only}" if args.only else "")
    runs = args.out / f"{name}{args.scale}.runs"
    """What was run so far; it goes when the results are written."""
    where, started = origin(), time.perf_counter()
    print(origin_lines(where), flush=True)
    parts, written = [], {}
    for data, split in settings:
        try:
            found = measure(data, split, args, runs / f"{data}-{split}")
        except KeyboardInterrupt:
            fail(f"stopped: the same command goes on with what is in {runs.name}")
        except FoedusError as e:
            fail(str(e))
        said = "\n".join(f"- {t}" for t in [verdict(found), *troubles(found)])
        parts.append(f"## {CALLED[data]}, {CALLED[split]}\n\n{said}\n\n{table(found)}")
        written[f"{data}-{split}"] = as_json(found)
        print("\n" + parts[-1], flush=True)
    took = time.perf_counter() - started
    file = result_file(args, name)
    plan = f"{DISHONEST} of {NODES} nodes are dishonest, and every rule is set to withstand so many (f = {DISHONEST})."
    about = (
        f"{plan} FedAvg; test accuracy after the last round in per cent, mean over seeds; * is within 3 points of the "
        "mean with honest nodes, and opens no backdoor for a tenth of the rows with its trigger; in brackets for how "
        f"many per cent it opens. Seconds: a run with honest nodes, the least over seeds. Took {took / 60:.1f} minutes."
    )
    file.write_text("\n\n".join(["# Dishonest nodes", origin_lines(where), about, *parts]) + "\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, "seconds": took, "settings": written}) + "\n")
    shutil.rmtree(runs, ignore_errors=True)
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
