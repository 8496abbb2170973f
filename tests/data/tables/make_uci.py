"""Four hospitals' files as UCI's heart disease data has them: codes, 0 to 4 for how sick, gaps in three spellings.

Nothing in it is anybody's: all is drawn, always alike. What is odd in the real files is odd here: gaps are ``?`` or
``-9``; at Switzerland cholesterol is 0 in all rows, elsewhere in some, and a blood pressure is 0 once; whoever did not
measure ``slope``, ``ca`` and ``thal`` has hardly any; Switzerland has next to no healthy patient; and the files of
single hospitals have no line with names.
"""

from __future__ import annotations

import csv
import io

import numpy as np

HOSPITALS = {"Cleveland": 303, "Hungary": 294, "Long Beach": 200, "Switzerland": 123}
COLUMNS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
    "num",
)  # fmt: skip
CODES = ("cp", "restecg", "slope", "thal")
"""Columns of numbers that are no amounts."""
_GAPS = {
    "Cleveland": {"ca": 0.01, "thal": 0.01},
    "Hungary": {"slope": 0.65, "ca": 0.99, "thal": 0.9, "fbs": 0.03},
    "Long Beach": {"slope": 0.51, "ca": 0.99, "thal": 0.83, "trestbps": 0.28, "thalach": 0.27},
    "Switzerland": {"slope": 0.14, "ca": 0.96, "thal": 0.42, "fbs": 0.61},
}


def rows(seed: int = 0) -> dict[str, list[list[str]]]:
    """The cells of every hospital's rows, in the order of ``COLUMNS``."""
    rng = np.random.default_rng(seed)
    found = {}
    for k, (hospital, size) in enumerate(HOSPITALS.items()):
        sick = rng.random(size) < (0.46, 0.36, 0.74, 0.94)[k]
        num = np.where(sick, rng.integers(1, 5, size), 0)
        values = {
            "age": rng.normal(50 + 4 * sick, 8, size).round(),
            "sex": (rng.random(size) < 0.6 + 0.25 * sick) * 1.0,
            "cp": np.where(sick & (rng.random(size) < 0.7), 4, rng.integers(1, 5, size)),
            "trestbps": rng.normal(130 + 5 * sick, 18, size).round(),
            "chol": np.where(rng.random(size) < (0, 0, 0.25, 1)[k], 0, rng.normal(245, 50, size).round()),
            "fbs": (rng.random(size) < 0.16) * 1.0,
            "restecg": rng.integers(0, 3, size),
            "thalach": rng.normal(155 - 18 * sick, 20, size).round(),
            "exang": (rng.random(size) < 0.15 + 0.4 * sick) * 1.0,
            "oldpeak": rng.normal(0.5 + 0.9 * sick, 0.9, size).round(1),
            "slope": rng.integers(1, 4, size),
            "ca": rng.integers(0, 4, size),
            "thal": rng.choice([3, 6, 7], size),
            "num": num,
        }
        if hospital == "Long Beach":
            values["trestbps"][17] = 0
        cells = []
        for i in range(size):
            # Cleveland writes decimals everywhere, as the processed files do.
            decimals = {n: int(hospital == "Cleveland" or n == "oldpeak") for n in values}
            row = {n: f"{v[i]:.{decimals[n]}f}" for n, v in values.items()}
            row["num"] = str(num[i])
            for name, share in _GAPS[hospital].items():
                if rng.random() < share:
                    row[name] = "-9" if hospital == "Hungary" else "-9.0" if hospital == "Switzerland" else "?"
            cells.append([row[c] for c in COLUMNS])
        found[hospital] = cells
    return found


def whole(seed: int = 0) -> str:
    """All hospitals in one CSV, with a column that names them."""
    return _written([("hospital", *COLUMNS), *((h, *row) for h, cells in rows(seed).items() for row in cells)])


def single(hospital: str, seed: int = 0, header: bool = False) -> str:
    """One hospital's file."""
    return _written([*([COLUMNS] if header else []), *rows(seed)[hospital]])


def _written(lines: list) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()
