"""Files as UCI's heart disease data has them become what pandas and scikit-learn make of them by hand."""

import io

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import AtNodes, TableFile, load

from .make_uci import CODES, COLUMNS, HOSPITALS, rows, single, whole

pd = pytest.importorskip("pandas")

OPTIONS = {
    "target": "num",
    "positive": ">0",
    "missing_values": {"*": ["?", -9], "chol": [0], "trestbps": [0]},
    "text": list(CODES),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("uci")
    (path / "heart.csv").write_text(whole())
    for kind, header in (("plain", False), ("named", True)):
        (path / kind).mkdir()
        for hospital in HOSPITALS:
            (path / kind / f"{hospital}.data").write_text(single(hospital, header=header))
    frame().to_parquet(path / "heart.parquet", index=False)
    return path


def frame():
    """The numbers as a person who knows no gaps reads them: -9 is a number, 0 is one."""
    table = pd.read_csv(io.StringIO(whole()), na_values=["?"])
    return table.astype({c: "float64" for c in COLUMNS})


@pytest.fixture(scope="module")
def by_hand():
    """``(x, y, names)`` of all rows."""
    table = frame().replace(-9.0, np.nan)
    for name in ("chol", "trestbps"):
        table[name] = table[name].replace(0.0, np.nan)
    y = (table.pop("num") > 0).to_numpy().astype(int)
    table.pop("hospital")
    features, names = [], []
    for name in table:
        column = table[[name]]
        gaps = column.isna().to_numpy().astype(float)
        if name in CODES:
            filled = SimpleImputer(strategy="most_frequent").fit_transform(column)
            encoder = OneHotEncoder(sparse_output=False).fit(filled)
            features.append(encoder.transform(filled))
            names += [f"{name} = {v:.0f}" for v in encoder.categories_[0]]
        else:
            scaler = StandardScaler().fit(column.to_numpy())
            features.append(scaler.transform(SimpleImputer().fit_transform(column.to_numpy())))
            names.append(name)
        if gaps.any():
            features.append(gaps)
            names.append(f"{name} missing")
    return np.hstack(features), y, tuple(names)


def test_the_files_are_as_odd_as_the_real_ones():
    cells = {h: np.array(r) for h, r in rows().items()}
    chol, pressure = COLUMNS.index("chol"), COLUMNS.index("trestbps")
    assert set(cells["Switzerland"][:, chol]) == {"0"}
    assert sum(int((c[:, pressure] == "0").sum()) for c in cells.values()) == 1
    assert np.mean(cells["Switzerland"][:, -1] == "0") < 0.1
    assert {w for c in cells.values() for w in c[:, -1]} == set("01234")


@pytest.mark.parametrize("kind", ["one file", "files", "files without names", "parquet"])
def test_it_is_what_one_makes_of_it_by_hand(folder, by_hand, kind):
    x, y, names = by_hand
    options = OPTIONS | {"test": None}
    if kind == "one file":
        table = load("csv", path=folder / "heart.csv", node="hospital", **options)
    elif kind == "parquet":
        table = load("parquet", path=folder / "heart.parquet", node="hospital", **options)
    elif kind == "files":
        table = load("csv", path=folder / "named", **options)
    else:
        table = load("csv", path=folder / "plain", names=COLUMNS, **options)
    data = table.split()
    assert (data.node_names, data.sizes) == (tuple(HOSPITALS), list(HOSPITALS.values()))
    assert data.class_names == ("<=0", ">0")
    assert data.feature_names == names
    assert data.y.tolist() == y.tolist()
    np.testing.assert_allclose(data.x.numpy(), x, rtol=1e-6, atol=1e-6)


def test_nodes_that_keep_their_files_agree_on_the_same(folder):
    data = AtNodes(TableFile([str(folder / "named" / f"{h}.data") for h in HOSPITALS], **_at_nodes()), len(HOSPITALS))
    here = load("csv", path=folder / "heart.csv", node="hospital", test=None, **OPTIONS).split()
    there = data.ask(fd.Simulation())
    assert there.preparation.recipe == here.preparation.recipe
    assert there.sizes == here.sizes
    assert there.counts == tuple(map(tuple, here.label_counts()))
    x = there.preparation.recipe.transform(folder / "named" / "Switzerland.data")
    assert torch.equal(x, here.x[-HOSPITALS["Switzerland"] :])


def _at_nodes():
    return {"target": OPTIONS["target"], "options": {k: v for k, v in OPTIONS.items() if k != "target"}}


def test_what_was_not_said_is_not_guessed(folder):
    options = OPTIONS | {"test": None, "node": "hospital", "path": folder / "heart.csv"}
    zeros = load("csv", **options | {"missing_values": ["?", -9]}).split()
    assert "chol missing" not in zeros.feature_names
    five = load("csv", **options | {"positive": None}).split()
    assert five.class_names == tuple("01234")
    several = load("csv", **options | {"positive": [3, 4]}).split()
    assert several.class_names == ("other", "3 or 4")
    one = load("csv", **options | {"positive": [1, 2, 3, 4]}).split()
    assert one.class_names == ("0", "1, 2, 3 or 4")
    assert torch.equal(one.y, load("csv", **options).split().y)
    with pytest.raises(BadInput, match=r"looks like data, not like names of columns.*names="):
        load("csv", path=folder / "plain", **OPTIONS)
