"""The picture of a graph."""

import xml.etree.ElementTree as ET

import pytest

from foedus.core.errors import BadInput
from foedus.report.graph import draw
from foedus.topologies import Edges, Exponential, Regular, Ring, Torus

SVG = "{http://www.w3.org/2000/svg}"


def parse(path):
    root = ET.parse(path).getroot()
    paths = root.findall(f"{SVG}path")
    return (
        root,
        root.findall(f"{SVG}circle"),
        [p for p in paths if p.get("class") == "edge"],
        [p for p in paths if p.get("class") == "head"],
    )


def test_every_node_and_every_edge_is_drawn_once(tmp_path):
    root, nodes, edges, heads = parse(draw(Ring(), 8, tmp_path / "ring.svg"))
    assert (len(nodes), len(edges), len(heads)) == (8, 8, 0)
    text = " ".join(t.text for t in root.findall(f"{SVG}text") if t.get("class") == "title")
    assert "8 edges" in text
    assert "0.1953" in text


def test_directed_edges_have_heads_and_wraps_two_ends(tmp_path):
    assert [len(found) for found in parse(draw(Exponential(), 8, tmp_path / "e.svg"))[1:]] == [8, 24, 24]
    assert [len(found) for found in parse(draw(Torus(3, 4), 12, tmp_path / "t.svg"))[1:]] == [12, 24 + 7, 0]


def test_large_graphs_have_no_labels_and_the_file_needs_nothing_else(tmp_path):
    path = draw(Regular(3), 100, tmp_path / "deep" / "r.svg")
    root, nodes, _, _ = parse(path)
    assert len(nodes) == 100
    assert not [t for t in root.findall(f"{SVG}text") if t.get("class") == "label"]
    assert path.read_text().count("http") == 1  # the namespace
    assert draw(Regular(3), 100, tmp_path / "again.svg").read_bytes() == path.read_bytes()


def test_everything_lies_on_the_paper(tmp_path):
    for topology, n in ((Ring(), 5), (Torus(), 16), (Edges([(0, 1), (1, 2)]), 3)):
        root, nodes, edges, _ = parse(draw(topology, n, tmp_path / "x.svg"))
        width, height = float(root.get("width")), float(root.get("height"))
        lowest_title = max(float(t.get("y")) for t in root.findall(f"{SVG}text") if t.get("class") == "title")
        for c in nodes:
            assert 0 < float(c.get("cx")) < width
            assert lowest_title + 12 < float(c.get("cy")) < height
        for e in edges:
            numbers = [float(v) for v in e.get("d").replace("M", "").replace("L", "").split()]
            assert all(0 <= x <= width for x in numbers[::2])
            assert all(lowest_title < y <= height for y in numbers[1::2])


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(BadInput, match="the graph cannot be written"):
        draw(Ring(), 3, tmp_path)
