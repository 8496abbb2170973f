"""Records what ByzFL (PyPI byzfl, MIT licence) makes of small stacks, for ``test_byzfl.py``: it writes ``byzfl.json``.

Not a test. ByzFL's first import asks for torchvision and seaborn, which no rule needs, so that it is no dependency of
the tests: ``pip install --no-deps byzfl``, then ``python tests/aggregators/record_byzfl.py``.
"""

import json
import runpy
from importlib.metadata import version
from pathlib import Path

import numpy as np

RECORDED = Path(__file__).with_name("byzfl.json")
COMMON = Path(__file__).parents[2] / "benchmarks" / "common.py"

SHAPES = {
    # (n, d, f) by rule, with n at the least that our rules allow for it
    **dict.fromkeys(("Krum", "MultiKrum"), ((5, 3, 1), (9, 4, 3), (12, 6, 2))),
    **dict.fromkeys(("TrMean", "MDA", "Meamed", "NNM", "MoNNA", "ARC"), ((3, 3, 1), (7, 4, 3), (8, 4, 3), (12, 6, 2))),
    **dict.fromkeys(("Median", "Clipping", "CenteredClipping"), ((3, 3, 1), (8, 4, 3), (11, 6, 2))),
    "GeometricMedian": ((4, 3, 1), (7, 4, 3), (11, 6, 2)),
}

OPTIONS = {
    "Median": [{}],
    "GeometricMedian": [{"nu": 1e-12, "T": 20_000}, {"nu": 0.5, "T": 20_000}],
    "Clipping": [{"c": 1.5}],
    "CenteredClipping": [{"tau": 1.0}, {"tau": 0.5, "L": 3}],
}
"""Of the rules that are not given an f."""


def stacks(n: int, d: int, f: int, seed: int) -> dict[str, np.ndarray]:
    """Random updates, the same with f far off, and with ties: whole numbers, and equal rows."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=(n, d)).round(3)
    attacked = normal.copy()
    attacked[:f] += 50.0
    ties = random.integers(-2, 3, size=(n, d)).astype(float)
    twice = normal.copy()
    twice[1 : 1 + n // 2 : 2] = twice[0]
    return {"normal": normal, "attacked": attacked, "ties": ties, "equal rows": twice}


def main() -> None:
    """Writes the file."""
    rules, out = runpy.run_path(str(COMMON))["byzfl"](), []
    if rules is None:
        raise SystemExit("error: install it first: pip install --no-deps byzfl")
    for name, shapes in SHAPES.items():
        for seed, (n, d, f) in enumerate(shapes):
            for options in OPTIONS.get(name, [{"f": f}]):
                for what, stack in stacks(n, d, f, seed).items():
                    answer = getattr(rules, name)(**options)(stack.copy()).round(12).tolist()
                    case = {"rule": name, "options": options, "what": what, "input": stack.tolist(), "output": answer}
                    out.append(case)
    lines = ",\n".join(json.dumps(case) for case in out)
    RECORDED.write_text(f'{{"byzfl": "{version("byzfl")}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(out)} cases in {RECORDED}")


if __name__ == "__main__":
    main()
