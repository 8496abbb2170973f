"""From a file of four hospitals to what each of them gains: as sure as whoever pools the rows by hand, and no surer.

By hand: scikit-learn's logistic regression on the pooled table, prepared anew from the training rows of each of 20
random splits, and Nadeau and Bengio's (2003) interval of the mean over splits, whose training rows overlap.
"""

import io
import json
import tomllib

import numpy as np
import pytest
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.data.tables.make_uci import HOSPITALS, whole

pd = pytest.importorskip("pandas")
HOLDOUT, SPLITS = 0.25, 20


def by_hand():
    """The mean AUC over splits, and the ends of its interval."""
    table = pd.read_csv(io.StringIO(whole()), na_values=["?", "-9", "-9.0"])
    table[["chol", "trestbps"]] = table[["chol", "trestbps"]].replace(0, np.nan)
    x, y = table.drop(columns=["hospital", "num"]).to_numpy(), (table["num"] > 0).to_numpy()
    found = []
    for train, test in StratifiedShuffleSplit(SPLITS, test_size=HOLDOUT, random_state=0).split(x, y):
        steps = SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression(max_iter=1000)
        model = make_pipeline(*steps).fit(x[train], y[train])
        found.append(roc_auc_score(y[test], model.decision_function(x[test])))
    wide = stats.t.ppf(0.975, SPLITS - 1) * np.std(found, ddof=1) * np.sqrt(1 / SPLITS + HOLDOUT / (1 - HOLDOUT))
    return np.mean(found), np.mean(found) - wide, np.mean(found) + wide


def study(foedus, tmp_path, *changes):
    """What ``run`` says of the file that ``init`` makes of the table and the answer to its one question."""
    (tmp_path / "heart.csv").write_text(whole())
    foedus("init", "heart.csv", "-o", "asked.toml")
    asked = (tmp_path / "asked.toml").read_text()
    assert asked.count("choose = [") == 1
    assert 'or instead of this line positive = ">0", two classes' in asked
    assert foedus("init", "heart.csv", "--positive", ">0").status == 0
    data = tomllib.loads((tmp_path / "heart.toml").read_text())["data"]
    assert (data["target"], data["node"]) == ("num", "hospital")
    zeros, nines = ("trestbps", "chol"), ("fbs", "slope", "ca", "thal")
    assert data["missing_values"] == {name: ["0"] for name in zeros} | {name: ["-9"] for name in nines}
    said = foedus("run", "heart.toml", "--json", "-o", "out", *changes)
    assert said.status == 0, said.err
    return json.loads(said.out), (tmp_path / "out" / "report.html").read_text()


def pooled(found):
    return next(group["judged"] for group in found["groups"] if group["label"] == "Centralized")


def test_a_file_of_four_hospitals_becomes_a_page_that_names_what_each_gains(foedus, tmp_path):
    short = [f"--set=sweep.program.{i}.{p}.rounds=2" for i, p in enumerate(("local_only", "fedavg", "centralized"))]
    found, page = study(foedus, tmp_path, *short)
    nodes = {node["name"]: node for node in found["each_node"]["nodes"]}
    assert {name: node["rows"] for name, node in nodes.items()} == {h: round(n / 4) for h, n in HOSPITALS.items()}
    for name, node in nodes.items():
        gain = node["gain"]
        assert gain["value"] == pytest.approx(node["own"]["together"] - node["own"]["alone"])
        assert gain["low"] < gain["value"] < gain["high"]
        row = page.partition(f'role="rowheader">{name}</th>')[2].partition("</tr>")[0]
        assert f"<span>{gain['value']:+.3f}".replace("-", "\N{MINUS SIGN}") in row
    # Of nearly no healthy patient at Switzerland nothing can be told, however large a gain looks.
    assert [name for name, node in nodes.items() if node["too_few"]] == ["Switzerland"]
    assert not nodes["Switzerland"]["gain"]["claimed"]
    mean, low, high = by_hand()
    told = pooled(found)
    assert low < told["value"] < high
    assert told["low"] < mean < told["high"]
    # A row is judged in fewer of three draws than of twenty: by theory the interval is 1.3 times as wide.
    assert 2 / 3 < (told["high"] - told["low"]) / (high - low) < 1.3 * 4 / 3


@pytest.mark.slow
def test_as_many_seeds_as_splits_are_as_sure(foedus, tmp_path):
    found, _ = study(foedus, tmp_path, f"--set=sweep.seed={[*range(SPLITS)]}")
    mean, low, high = by_hand()
    told = pooled(found)
    assert low < told["value"] < high
    assert told["low"] < mean < told["high"]
    assert 2 / 3 < (told["high"] - told["low"]) / (high - low) < 4 / 3
