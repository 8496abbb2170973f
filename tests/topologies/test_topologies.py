"""Graphs and mixing matrices: closed forms, laws, and what is said where there is no such graph."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.topologies import (
    Absence,
    Complete,
    Edges,
    ErdosRenyi,
    Exponential,
    Hypercube,
    Matrix,
    Metropolis,
    Mixing,
    OnePeer,
    Push,
    Regular,
    Ring,
    Star,
    Torus,
    Uniform,
    describe,
    graph_of,
    mix,
    mixing_matrix,
    rate,
    second_eigenvalue,
    spectral_gap,
)

UNDIRECTED = [
    (Ring(), 8),
    (Ring(), 2),
    (Torus(), 12),
    (Torus(rows=2), 8),
    (Complete(), 5),
    (Star(hub=2), 6),
    (Hypercube(), 16),
    (Regular(3), 10),
    (ErdosRenyi(0.5), 12),
    (Edges([(0, 1), (1, 2), (1, 3)]), 4),
]


def lambda_2(topology, nodes, weights=None):
    return second_eigenvalue(mixing_matrix(topology, nodes, weights))


# -- closed forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(3, 41))
def test_ring(n):
    assert lambda_2(Ring(), n) == pytest.approx((1 + 2 * math.cos(2 * math.pi / n)) / 3, abs=1e-12)


def test_ring_of_eight_as_printed():
    assert lambda_2(Ring(), 8) == pytest.approx(0.8047378541, abs=1e-10)


@pytest.mark.parametrize(("r", "c"), [(3, 3), (3, 5), (4, 4), (4, 6), (5, 5), (6, 8)])
def test_torus(r, c):
    values = [
        abs(1 + 2 * math.cos(2 * math.pi * a / r) + 2 * math.cos(2 * math.pi * b / c)) / 5
        for a in range(r)
        for b in range(c)
        if a or b
    ]
    assert lambda_2(Torus(r, c), r * c) == pytest.approx(max(values), abs=1e-12)


def test_torus_of_sixteen_as_printed():
    assert lambda_2(Torus(), 16) == pytest.approx(0.6, abs=1e-12)


@pytest.mark.parametrize("k", range(1, 8))
def test_hypercube(k):
    assert lambda_2(Hypercube(), 2**k) == pytest.approx((k - 1) / (k + 1), abs=1e-12)


@pytest.mark.parametrize("n", range(2, 65, 2))
def test_exponential_graph(n):
    # Ying et al. 2021, Proposition 1: equality for even n.
    assert lambda_2(Exponential(), n, Uniform()) == pytest.approx(1 - 2 / (math.ceil(math.log2(n)) + 1), abs=1e-12)


@pytest.mark.parametrize("n", range(3, 65, 2))
def test_exponential_graph_of_odd_size_mixes_no_slower(n):
    assert lambda_2(Exponential(), n) < 1 - 2 / (math.ceil(math.log2(n)) + 1)


@pytest.mark.parametrize("n", range(1, 20))
def test_complete_graph_agrees_at_once(n):
    assert lambda_2(Complete(), n) == 0.0
    assert torch.equal(mixing_matrix(Complete(), n), torch.full((n, n), 1 / n, dtype=torch.float64))


@pytest.mark.parametrize("n", range(3, 20))
def test_star_by_metropolis_weights(n):
    # Leaves keep 1 - 1/n; two of them that differ stay so but for the hub: eigenvalue 1 - 1/n.
    assert lambda_2(Star(), n) == pytest.approx(1 - 1 / n, abs=1e-12)


@pytest.mark.parametrize("k", range(1, 7))
def test_one_peer_exponential_graph_agrees_after_k_steps(k):
    n = 2**k
    x = torch.arange(n, dtype=torch.float64)
    mixing = Mixing(OnePeer(), n)
    for t in range(k):
        assert float(x.var(correction=0)) > 0
        x = mixing.matrix(t) @ x
    assert torch.equal(x, torch.full_like(x, (n - 1) / 2))
    assert rate(OnePeer(), n) == 0.0


def test_denser_graphs_mix_faster():
    rates = [rate(t, 64) for t in (Ring(), Torus(), Hypercube(), Complete())]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 4


# -- laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("topology", "n"), UNDIRECTED)
def test_undirected_graphs_go_both_ways_and_metropolis_weights_are_doubly_stochastic(topology, n):
    graph = graph_of(topology, n)
    assert not graph.directed
    W = mixing_matrix(topology, n)
    assert torch.equal(W, W.T)
    torch.testing.assert_close(W.sum(0), torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-12)
    assert bool((W >= 0).all())
    for i in range(n):
        assert {j for j in range(n) if j != i and W[i, j] > 0} == set(graph.out[i])
    Mixing(topology, n).check()


@pytest.mark.parametrize("topology", [Exponential(), OnePeer(), Edges([(0, 1), (1, 2), (2, 0), (2, 1)], directed=True)])
def test_push_weights_are_column_stochastic(topology):
    n = 3
    mixing = Mixing(topology, n, Push())
    mixing.check(doubly=False)
    for t in range(4):
        torch.testing.assert_close(mixing.matrix(t).sum(0), torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 9), data=st.data())
def test_whoever_is_away_mixing_stays_doubly_stochastic(n, data):
    p = data.draw(st.floats(0.3, 1.0))
    topology = ErdosRenyi(p, seed=data.draw(st.integers(0, 99)))
    gone = data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))
    W = Mixing(topology, n, absences=tuple(Absence(g, 1, 3) for g in gone)).matrix(2)
    one = torch.ones(n, dtype=torch.float64)
    torch.testing.assert_close(W.sum(0), one, rtol=0, atol=1e-12)
    torch.testing.assert_close(W.sum(1), one, rtol=0, atol=1e-12)
    assert bool((W >= -1e-15).all())
    for g in gone:
        assert W[g, g] == 1


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_pieces_and_sides_of_any_graph(n, seed):
    graph = graph_of(ErdosRenyi(1.2 / n if n > 1 else 0.0, seed), n)
    W = torch.eye(n)
    for i, row in enumerate(graph.out):
        W[i, list(row)] = 1
    reach = torch.linalg.matrix_power(W, n) > 0
    assert {tuple(p) for p in graph.pieces()} == {tuple(r.nonzero().flatten().tolist()) for r in reach}
    sides = graph.sides()
    if isinstance(sides, list):
        assert len(sides) % 2 == 1
        assert len(set(sides)) == len(sides) >= 3
        assert all(b in graph.out[a] for a, b in zip(sides, [*sides[1:], sides[0]], strict=True))
    else:
        side = {i: s for s, ids in enumerate(sides) for i in ids}
        assert len(side) == n
        assert all(side[i] != side[j] for i, j in graph.edges)


@settings(max_examples=30, deadline=None)
@given(degree=st.integers(1, 6), nodes=st.integers(2, 20), seed=st.integers(0, 99))
def test_regular_graphs_have_their_degree(degree, nodes, seed):
    if degree >= nodes or degree * nodes % 2:
        with pytest.raises(BadInput, match=f"no graph of {nodes} nodes has degree {degree}"):
            graph_of(Regular(degree, seed), nodes)
        return
    graph = graph_of(Regular(degree, seed), nodes)
    assert {len(row) for row in graph.out} == {degree}
    assert not graph.directed


def test_random_graphs_are_the_same_everywhere_and_change_with_the_seed():
    # Recorded: everybody who takes part must draw the same graph.
    assert graph_of(Regular(3), 6).edges == [
        (0, 1), (0, 4), (0, 5), (1, 2), (1, 4), (2, 3), (2, 5), (3, 4), (3, 5)
    ]  # fmt: skip
    assert graph_of(ErdosRenyi(0.5), 5).edges == [(0, 1), (0, 3), (0, 4), (2, 4), (3, 4)]
    for a, b in ((Regular(3, 0), Regular(3, 1)), (ErdosRenyi(0.5, 0), ErdosRenyi(0.5, 1))):
        assert graph_of(a, 16).out != graph_of(b, 16).out


def test_erdos_renyi_has_its_share_of_edges():
    n, p, draws = 20, 0.3, 50
    counts = [len(graph_of(ErdosRenyi(p, seed), n).edges) for seed in range(draws)]
    pairs = n * (n - 1) / 2
    assert sum(counts) / draws == pytest.approx(p * pairs, abs=4 * math.sqrt(pairs * p * (1 - p) / draws))


def test_mix_keeps_agreement_to_the_bit():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for topology, n in UNDIRECTED:
        mixing = Mixing(topology, n)
        for i in range(n):
            assert torch.equal(mix(mixing.row(i, 0), dict.fromkeys(range(n), x)), x)


def test_mix_is_the_product_and_changes_nothing():
    x = {i: torch.randn(50, generator=torch.Generator().manual_seed(i)) for i in range(8)}
    before = {i: v.clone() for i, v in x.items()}
    mixing = Mixing(Torus(), 8)
    product = mixing.matrix() @ torch.stack(list(x.values())).double()
    for i in range(8):
        assert torch.equal(mix(mixing.row(i, 0), x), product[i].float())
        assert torch.equal(x[i], before[i])


# -- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "nodes", "said"),
    [
        (Hypercube(), 12, "8 or 16, not 12"),
        (Torus(), 7, "use Ring.*6 = 2 x 3, 8 = 2 x 4"),
        (Torus(rows=5), 12, "12 nodes make no 5 x . torus; what fits 12 nodes is 2 x 6 or 3 x 4"),
        (Torus(3, 5), 12, "3 x 5"),
        (Torus(1, 5), 5, "at least two rows"),
        (Regular(3), 7, "degrees 2, 4"),
        (Regular(9), 6, "no graph of 6 nodes has degree 9"),
        (Star(hub=9), 4, r"ids are 0\.\.3, got 9"),
        (Edges([(0, 7)]), 4, r"edge \(0, 7\)"),
    ],
)
def test_graphs_that_do_not_exist(topology, nodes, said):
    with pytest.raises(BadInput, match=said):
        graph_of(topology, nodes)


def test_a_graph_in_pieces_says_which():
    edges = Edges([(0, 1), (3, 4), (4, 5), (5, 6), (6, 7)])
    with pytest.raises(BadInput, match=r"falls apart into 3 pieces: \{0,1\}, \{2\}, \{3\.\.7\}; .*Add edges"):
        Mixing(edges, 8).check()
    with pytest.raises(BadInput, match=r"not strongly connected: 3 pieces .*\{0\}, \{1\}, \{2\}"):
        Mixing(Edges([(0, 1), (1, 2)], directed=True), 3, Push()).check(doubly=False)
    with pytest.raises(BadInput, match=r"Raise p \(now 0.01\)"):
        Mixing(ErdosRenyi(0.01), 10).check()


def test_weights_that_would_move_the_mean():
    with pytest.raises(BadInput, match=r"Uniform\(\) on Star\(\) .* column 0 sums to 1.75, .*Use Metropolis"):
        Mixing(Star(), 4, Uniform()).check()
    with pytest.raises(BadInput, match=r"column . sums to .*PushSum"):
        Mixing(Edges([(0, 1), (1, 2), (2, 0), (0, 2)], directed=True), 3).check()
    with pytest.raises(BadInput, match=r"of which \[2\] are away in round 4.*PushSum"):
        Mixing(OnePeer(), 8, absences=(Absence(2, 4),)).check()


def test_a_matrix_of_ones_own():
    third = Matrix([[0.5, 0.5, 0], [0.5, 0.25, 0.25], [0, 0.25, 0.75]])
    path = Edges([(0, 1), (1, 2)])
    Mixing(path, 3, third).check()
    assert mixing_matrix(path, 3, third).tolist() == [list(row) for row in third.values]
    # What node 1 would have sent counts as the others' own.
    away = Mixing(path, 3, third, (Absence(1, 0, 2),)).matrix(0)
    assert away.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(BadInput, match=r"row 1 sums to 1\.1, not 1"):
        Mixing(path, 3, Matrix([[0.5, 0.5, 0], [0.5, 0.35, 0.25], [0, 0.25, 0.75]])).check()
    with pytest.raises(BadInput, match=r"column 0 sums to 1\.1, not 1.*symmetric"):
        Mixing(path, 3, Matrix([[0.5, 0.5, 0], [0.6, 0.2, 0.2], [0, 0.25, 0.75]])).check()
    with pytest.raises(BadInput, match=r"node 0 the weight 0\.5 for node 2, which does not send to it"):
        Mixing(path, 3, Matrix([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])).check()
    with pytest.raises(BadInput, match="for 3 nodes, but there are 4"):
        Mixing(Ring(), 4, third).check()
    with pytest.raises(BadInput, match="row 1 has 1 numbers"):
        Matrix([[1, 0], [1]])
    with pytest.raises(BadInput, match="row 0, column 1 is -1"):
        Matrix([[2, -1], [-1, 2]])


def test_absences_that_make_no_sense():
    with pytest.raises(BadInput, match="from a round to a later one"):
        Absence(0, 3, 3)
    with pytest.raises(BadInput, match="not there"):
        Mixing(Ring(), 4, absences=(Absence(4, 0),)).check()
    with pytest.raises(BadInput, match="in round 2 every node is away"):
        Mixing(Ring(), 2, absences=(Absence(0, 1, 3), Absence(1, 2))).check()


def test_edge_lists(tmp_path):
    file = tmp_path / "edges.txt"
    file.write_text("# a path\n0 1\n1,2\n\n2 3  # the end\n")
    assert Edges.read(file) == Edges([(0, 1), (1, 2), (2, 3)])
    assert hash(Edges([[0, 1]])) == hash(Edges(((0, 1),)))
    file.write_text("0 1\n1 x\n")
    with pytest.raises(BadInput, match="line 2: expected two node ids"):
        Edges.read(file)
    with pytest.raises(BadInput, match="cannot be read"):
        Edges.read(tmp_path / "nothing")
    with pytest.raises(BadInput, match=r"pair of different node ids.*got \(1, 1\)"):
        Edges([(1, 1)])


def test_description():
    assert describe(Ring(), 8).startswith("Ring() of 8 nodes: 8 edges, degree 2, spectral gap 0.1953 ")
    assert describe(Star(), 4).startswith("Star() of 4 nodes: 3 edges, degree 1 to 3, spectral gap 0.2500 ")
    assert describe(OnePeer(), 8) == (
        "OnePeer() of 8 nodes: 24 directed edges in 3 graphs by turns, out-degree 1, "
        "spectral gap 1 (exact agreement after 3 steps)"
    )
    assert describe(Ring(), 1) == "Ring() of 1 node: 0 edges, degree 0, spectral gap 1 (exact agreement after one step)"
    assert "not computed" in describe(Ring(), 2001)
    assert spectral_gap(torch.eye(3, dtype=torch.float64)) == 0.0
    assert spectral_gap(mixing_matrix(Star(), 5, Metropolis())) == pytest.approx(0.2)
