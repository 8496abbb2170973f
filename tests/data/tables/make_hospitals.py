"""A table as hospitals have it: four of them, of different sizes, text spelled in many ways, cells without values.

``python make_hospitals.py hospitals.csv`` writes it. Nothing in it is anybody's: all is drawn, always alike.
The outcome depends on the features in one way at all hospitals; hospitals differ in whom they see (older, sicker), and
each knows too few patients, or too narrow a range of them, to find the whole of it out alone.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np

HOSPITALS = {"Cleveland": 303, "Hungary": 294, "Long Beach": 200, "Switzerland": 123}
COLUMNS = (
    "patient", "hospital", "age", "sex", "chest pain", "resting bp", "chol", "fasting sugar", "resting ecg",
    "max rate", "exercise angina", "oldpeak", "slope", "vessels", "thal", "disease",
)  # fmt: skip
PAIN = ("typical", "atypical", "non-anginal", "asymptomatic")
ECG = ("normal", "ST-T abnormality", "hypertrophy")
SLOPE = ("up", "flat", "down")
THAL = ("normal", "fixed defect", "reversible defect")


def make(seed: int = 0) -> str:
    """The whole table as CSV."""
    rng = np.random.default_rng(seed)
    rows: list[list[str]] = []
    for k, (hospital, size) in enumerate(HOSPITALS.items()):
        # Whom a hospital sees.
        age = np.clip(rng.normal((54, 48, 59, 55)[k], (9, 7, 7, 9)[k], size), 28, 79).round()
        sex = rng.random(size) < (0.68, 0.72, 0.97, 0.92)[k]
        pain = np.array([rng.choice(4, size, p=p) for p in (
            (0.08, 0.17, 0.28, 0.47), (0.04, 0.36, 0.18, 0.42), (0.04, 0.07, 0.24, 0.65), (0.03, 0.03, 0.14, 0.80)
        )][k])  # fmt: skip
        pressure = rng.normal(132, 18, size).round()
        chol = rng.normal((247, 251, 238, 246)[k], 50, size).round()
        sugar = rng.random(size) < 0.16
        ecg = rng.choice(3, size, p=(0.55, 0.18, 0.27))
        rate = np.clip(rng.normal(195 - 0.9 * age, 19), 70, 202).round()
        angina = rng.random(size) < (0.33, 0.30, 0.5, 0.45)[k]
        oldpeak = np.clip(rng.gamma(1.2, 0.9, size), 0, 6.2).round(1)
        slope = rng.choice(3, size, p=(0.45, 0.46, 0.09))
        vessels = rng.choice(4, size, p=(0.58, 0.22, 0.13, 0.07))
        thal = rng.choice(3, size, p=(0.54, 0.08, 0.38))
        risk = (
            0.035 * (age - 54) + 0.7 * sex + np.array((-0.9, -0.5, -0.3, 1.0))[pain] + 0.008 * (pressure - 130)
            + 0.004 * (chol - 245) + 0.2 * sugar + np.array((-0.2, 0.2, 0.2))[ecg] - 0.022 * (rate - 147)
            + 0.8 * angina + 0.6 * (oldpeak - 1) + np.array((-0.4, 0.4, 0.3))[slope] + 0.85 * (vessels - 0.7)
            + np.array((-0.7, 0.3, 0.9))[thal] - 0.9 + (0.0, -0.5, 0.5, 1.5)[k]
        )  # fmt: skip
        sick = rng.random(size) < 1 / (1 + np.exp(-1.3 * risk))

        def text(value: str) -> str:
            """A value as somebody typed it."""
            value = {0: value.upper(), 1: value.capitalize()}.get(int(rng.integers(8)), value)
            return {0: f" {value}", 1: f"{value} "}.get(int(rng.integers(10)), value)

        lacks = {
            "chol": (0.0, 0.08, 0.03, 0.99)[k],
            "vessels": (0.02, 0.9, 0.6, 0.5)[k],
            "thal": (0.01, 0.6, 0.5, 0.3)[k],
            "slope": (0.0, 0.4, 0.3, 0.1)[k],
            "resting bp": (0.0, 0.01, 0.15, 0.02)[k],
            "resting ecg": 0.01,
        }
        for i in range(size):
            row = {
                "patient": f"{hospital[0]}{1000 + i}",
                "hospital": hospital,
                "age": f"{age[i]:.0f}",
                "sex": text("male" if sex[i] else "female"),
                "chest pain": text(PAIN[pain[i]]),
                "resting bp": f"{pressure[i]:.0f}",
                "chol": f"{chol[i]:.0f}",
                "fasting sugar": str(int(sugar[i])),
                "resting ecg": text(ECG[ecg[i]]),
                "max rate": f"{rate[i]:.0f}",
                "exercise angina": "yes" if angina[i] else "no",
                "oldpeak": f"{oldpeak[i]:.1f}",
                "slope": SLOPE[slope[i]],
                "vessels": str(vessels[i]),
                "thal": text(THAL[thal[i]]),
                "disease": "yes" if sick[i] else "no",
            }
            for name, share in lacks.items():
                if rng.random() < share:
                    row[name] = ("?", "", "NA")[int(rng.integers(3))]
            rows.append([row[c] for c in COLUMNS])
    order = rng.permutation(len(rows))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows[i] for i in order)
    return out.getvalue()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(make(), encoding="utf-8")
