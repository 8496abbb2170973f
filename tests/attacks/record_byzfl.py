"""Writes byzfl.json: what ByzFL's attacks send. Run by hand, with ByzFL (0.0.11) installed, which needs torchvision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def cases():
    from byzfl import ALittleIsEnough, Inf, InnerProductManipulation, Median, Mimic, SignFlipping, TrMean
    from byzfl.attacks.attacks import Optimal_ALittleIsEnough, Optimal_InnerProductManipulation

    draws = np.random.default_rng(0)
    for k, d in ((2, 3), (8, 5), (16, 6)):
        u = draws.normal(0.4, 1.0, (k, d)).round(4)
        for attack, options in (
            (SignFlipping(), {}),
            (InnerProductManipulation(tau=0.7), {"tau": 0.7}),
            (ALittleIsEnough(tau=1.5), {"tau": 1.5}),
            (Mimic(epsilon=1), {"epsilon": 1}),
            (Inf(), {}),
        ):
            yield type(attack).__name__, options, u, attack(u)
    u = draws.normal(0.4, 1.0, (16, 6)).round(4)
    for rule, name in ((TrMean(f=4), "TrimmedMean"), (Median(), "Median")):
        for attack in (Optimal_ALittleIsEnough, Optimal_InnerProductManipulation):
            yield attack.__name__, {"rule": name, "f": 4}, u, attack(agg=rule, pre_agg_list=[], f=4)(u)


def main() -> None:
    found = [
        {"attack": name, "options": options, "input": u.tolist(), "output": np.asarray(sent).tolist()}
        for name, options, u, sent in cases()
    ]
    text = ",\n".join(json.dumps(case).replace("Infinity", '"inf"') for case in found)
    (HERE / "byzfl.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
