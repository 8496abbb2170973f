"""Who holds what: numbers, text, picture and page."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import foedus as fd
from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.report import as_json, holdings_figure, holdings_page, holdings_text
from foedus.report.measured import of_data
from foedus.report.split import QUANTILES, Split, of_run

from .fakes import FedAvg, fake
from .test_page import Page

COUNTS = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12)


def digits(nodes: int = 20):
    return fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=nodes, seed=0)


def regression(nodes: int = 9, rows: int = 400):
    g = torch.Generator().manual_seed(0)
    node = torch.cat([torch.arange(nodes), torch.randint(0, nodes, (rows - nodes,), generator=g)])
    y = torch.randn(rows, generator=g) + node
    return fd.data.arrays(torch.randn(rows, 3, generator=g), y, node=node).split(fd.data.Natural())


@given(COUNTS)
def test_distances_are_total_variation(counts):
    sizes = tuple(map(sum, counts))
    found = Split(sizes, tuple(map(tuple, counts)), ("a", "b", "c")).distances()
    total = np.sum(counts, axis=0)
    if not total.sum():
        assert found == []
        return
    for row, distance in zip(counts, found, strict=True):
        if sum(row):
            assert distance == pytest.approx(0.5 * np.abs(np.array(row) / sum(row) - total / total.sum()).sum())
            assert 0 <= distance <= 1


def test_equal_nodes_are_no_distance_apart():
    assert Split((4, 8), ((1, 3), (2, 6)), ("a", "b")).distances() == [0, 0]


def test_target_quantiles_are_numpys_and_the_variance_adds_up():
    data = regression()
    split = of_data(data)
    assert split.targets is not None
    values = [data.rows(k).batch()[1].flatten().double().numpy() for k in range(data.nodes)]
    for y, quantiles in zip(values, split.targets, strict=True):
        assert quantiles == pytest.approx(np.quantile(y, QUANTILES), abs=1e-9)
    everything = np.concatenate(values)
    within = sum(((y - y.mean()) ** 2).sum() for y in values)
    assert split.between == pytest.approx(1 - within / ((everything - everything.mean()) ** 2).sum())


def test_a_run_and_its_data_tell_the_same():
    data = digits()
    run = fake(FedAvg(), [], sizes=data.sizes, label_counts=data.label_counts(), nodes=data.nodes)
    split = of_run(run)
    assert split is not None
    assert split.facts() == of_data(data).facts()


@pytest.mark.parametrize("make", [digits, regression, lambda: digits(300), lambda: regression(100, 900)])
@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_text_fits_the_width_in_ascii(make, width):
    text = holdings_text(make()).plain(width)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()


def test_every_node_of_a_few_and_quantiles_of_many():
    few, many = holdings_text(digits()).plain(120), holdings_text(digits(300)).plain(120)
    listed = few[few.index("node  rows") :].splitlines()[1:21]
    assert [ln.split()[:2] for ln in listed] == [[str(k), str(n)] for k, n in enumerate(digits().sizes)]
    assert "over the nodes" in many
    assert len(many.splitlines()) < 25


def test_names_and_held_out_rows_are_shown_where_there_are_any(tmp_path):
    class Held(FederatedDataset):
        holdout_sizes = [4, 5, 6]  # noqa: RUF012

    data = regression(3, 60)
    data.__class__ = Held
    data.preparation = SimpleNamespace(lines=["age: median 40", "city <b>: 3 values"], bytes=1200)
    data.node_names = ("Berlin", "_Kiel $x", "Ulm")
    text = holdings_text(data).plain(100)
    assert "Berlin" in text
    assert "held out" in text
    assert "Berlin" in holdings_page(data, tmp_path).read_text(encoding="utf-8")
    assert "Berlin" in holdings_figure(data, tmp_path / "h.svg").read_text(encoding="utf-8")
    assert as_json(data)["holdout_sizes"] == [4, 5, 6]
    assert "are trained on and 15 judge (held out by the nodes)" in " ".join(text.split())
    assert "city <b>: 3 values" in text
    assert "city <b>: 3 values" in Page(holdings_page(data, tmp_path).read_text(encoding="utf-8")).text()
    assert as_json(data)["preparation"] == {"lines": ["age: median 40", "city <b>: 3 values"], "bytes": 1200}


@pytest.mark.parametrize("make", [digits, regression, lambda: digits(300), lambda: regression(1, 5)])
def test_the_page_is_whole_and_needs_nothing(make, tmp_path):
    file = holdings_page(make(), tmp_path)
    assert file == tmp_path / "data.html"
    html = file.read_text(encoding="utf-8")
    p = Page(html)
    assert p.text("verdict")
    assert not [a for a in p.attributes if a[1] in ("src", "href")]
    assert "nan" not in p.text().lower().split()
    assert len(html) < 250_000


@pytest.mark.parametrize(("make", "suffix"), [(digits, ".png"), (regression, ".svg"), (lambda: digits(300), ".PDF")])
def test_the_picture(make, suffix, tmp_path):
    file = holdings_figure(make(), tmp_path / f"h{suffix}")
    assert file.stat().st_size > 5000


def test_the_same_data_makes_the_same_picture(tmp_path):
    a, b = (holdings_figure(regression(), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert a == b


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"ends in \.png"):
        holdings_figure(digits(), tmp_path / "h.gif")


def test_json_is_numbers():
    found = json.loads(json.dumps(as_json(digits()), allow_nan=False))
    assert set(found) == {
        "name", "partition", "nodes", "rows", "test_rows", "sizes", "node_names", "holdout_sizes", "classes",
        "label_counts", "total_variation", "mean_total_variation", "target_quantiles", "target_variance_between",
        "preparation",
    }  # fmt: skip
    assert (found["nodes"], found["rows"], len(found["sizes"])) == (20, sum(found["sizes"]), 20)
    assert found["mean_total_variation"] == pytest.approx(np.mean(found["total_variation"]))
    reg = json.loads(json.dumps(as_json(regression()), allow_nan=False))
    assert reg["label_counts"] is None
    assert len(reg["target_quantiles"]["nodes"]) == 9


def test_a_target_of_several_columns_is_no_class_and_no_quantile():
    data = fd.data.arrays(torch.randn(20, 2), torch.randn(20, 2)).split(fd.data.IID(), nodes=4, seed=0)
    assert of_data(data).targets is None
    assert "20 rows at 4 nodes" in holdings_text(data).plain(80)
