"""Forests give what the merge tree gives, whoever meets whom first."""

from hypothesis import given
from hypothesis import strategies as st

from foedus.core.types.aggregator import MergeTree
from foedus.runtimes.processes.collectives.forest import grow, plant, root


def merge(a, b):
    return f"({a}{b})"


@given(st.integers(1, 40), st.data())
def test_any_order_of_meeting_merges_like_the_merge_tree(n, data):
    missing = data.draw(st.sets(st.integers(0, n - 1)))
    leaves = [None if p in missing else f"{p}," for p in range(n)]
    tree = MergeTree(merge)
    for leaf in leaves:
        tree.push(leaf)
    order = data.draw(st.permutations(range(n)))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    groups = [order[a:b] for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    forest = {}
    for group in groups:
        part = {}
        for p in group:
            part = grow(part, plant({p: leaves[p]}), n, merge)
        forest = grow(forest, part, n, merge)
    assert root(forest) == tree.result()


def test_neighbours_are_merged_where_they_meet():
    """So that as much travels as over the merge tree itself: one accumulator, where all take part."""
    forest = grow(plant({4: "a"}), plant({5: "b"}), 8, merge)
    assert forest == {(1, 2): "(ab)"}
    assert grow(forest, plant({7: "d"}), 8, merge) == {(1, 2): "(ab)", (0, 7): "d"}
