"""Where nodes are drawn."""

import itertools
import math

import pytest

from foedus.topologies import Complete, Edges, ErdosRenyi, Exponential, Hypercube, Regular, Ring, Star, Torus, sketch

ALL = [(Ring(), 1), (Ring(), 2), (Ring(), 9), (Torus(), 12), (Torus(rows=2), 4), (Complete(), 6), (Star(hub=3), 7),
       (Exponential(), 8), (Hypercube(), 2), (Hypercube(), 32), (Regular(3), 8), (ErdosRenyi(0.6), 9),
       (Edges([(0, 1)]), 2), (Edges([(0, 1), (1, 2), (2, 0)], directed=True), 3)]  # fmt: skip


@pytest.mark.parametrize(("topology", "nodes"), ALL)
def test_nodes_are_apart_and_within_the_square(topology, nodes):
    s = sketch(topology, nodes)
    assert len(s.positions) == nodes
    assert all(-1e-6 <= c <= 1 + 1e-6 for p in s.positions for c in p)
    assert all(math.dist(a, b) > 0.02 for a, b in itertools.combinations(s.positions, 2))
    assert sketch(topology, nodes) == s


def test_a_grid_knows_its_wraps():
    s = sketch(Torus(3, 4), 12)
    assert len(s.edges) == 24
    assert len(s.wraps) == 3 + 4
    assert (0, 3) in s.wraps
    assert (0, 1) not in s.wraps
    assert s.positions[0][1] == s.positions[3][1]


def test_the_hub_is_in_the_middle():
    assert sketch(Star(hub=3), 7).positions[3] == (0.5, 0.5)
