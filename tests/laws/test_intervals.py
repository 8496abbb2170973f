"""What a study says of four hospitals is what somebody finds who pools the table by hand, and how sure it is as well.

By hand: scikit-learn's logistic regression on the pooled table, prepared anew from the training rows of each of 20
random splits, and Nadeau and Bengio's (2003) interval of the mean over splits, whose training rows overlap.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit

import foedus as fd
from foedus.report.uncertainty import interval

HOSPITALS = Path(__file__).parents[2] / "examples" / "hospitals.csv"
HOLDOUT, SPLITS, ROUNDS = 0.25, 20, 12
LOCAL = fd.LocalSGD(epochs=2, batch_size=16, lr=0.05)


def by_hand() -> tuple[float, float, float]:
    """The mean AUC over splits, and the ends of its interval."""
    with HOSPITALS.open(encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    y = np.array([r["disease"].strip().lower() == "yes" for r in rows])
    columns = []
    for name in [n for n in rows[0] if n not in ("patient", "hospital", "disease")]:
        words = [r[name].strip().lower() for r in rows]
        gap = np.array([w in ("", "na", "nan", "?") for w in words])
        try:
            number = np.array([np.nan if g else float(w) for w, g in zip(words, gap, strict=True)])
            columns += [number, *([gap.astype(float)] if gap.any() else [])]
        except ValueError:
            known = sorted({w for w, g in zip(words, gap, strict=True) if not g})
            columns += [np.array([float(w == k) for w in words]) for k in known]
    x = np.stack(columns, 1)
    found = []
    for train, test in StratifiedShuffleSplit(SPLITS, test_size=HOLDOUT, random_state=0).split(x, y):
        filled = np.where(np.isnan(x), np.nanmean(x[train], 0), x)
        scale = filled[train].std(0)
        scaled = (filled - filled[train].mean(0)) / np.where(scale == 0, 1, scale)
        model = LogisticRegression(max_iter=1000).fit(scaled[train], y[train])
        found.append(roc_auc_score(y[test], model.decision_function(scaled[test])))
    variance = np.var(found, ddof=1) * (1 / SPLITS + HOLDOUT / (1 - HOLDOUT))
    wide = stats.t.ppf(0.975, SPLITS - 1) * np.sqrt(variance)
    return float(np.mean(found)), float(np.mean(found) - wide), float(np.mean(found) + wide)


def study(program, seeds: int) -> list[fd.Run]:
    whole = fd.data.load("csv", path=HOSPITALS, target="disease", node="hospital", id="patient", test=None)
    runs = []
    for seed in range(seeds):
        data = whole.split(seed=seed, holdout=HOLDOUT)
        model = fd.Model(fd.models.logistic(data.x.shape[1], 2), metrics=["auc"])
        runs.append(fd.train(program, model, data, seed=seed))
    return runs


def test_a_study_of_three_seeds_finds_what_is_found_by_hand():
    mean, low, high = by_hand()
    told = interval(study(fd.Centralized(4, local=LOCAL), 3), "auc")
    assert low < told.value < high
    assert told.low < mean < told.high
    # A row is judged in fewer of three draws than of twenty: by theory the interval is 1.3 times as wide.
    assert 2 / 3 < (told.high - told.low) / (high - low) < 1.3 * 4 / 3


@pytest.mark.slow
@pytest.mark.parametrize("program", [fd.Centralized(ROUNDS, local=LOCAL), fd.FedAvg(ROUNDS, local=LOCAL)])
def test_a_study_of_as_many_splits_is_as_sure(program):
    mean, low, high = by_hand()
    told = interval(study(program, SPLITS), "auc")
    assert low < told.value < high
    assert told.low < mean < told.high
    assert 2 / 3 < (told.high - told.low) / (high - low) < 4 / 3
