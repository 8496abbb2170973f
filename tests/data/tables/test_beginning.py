"""The first part of a column's texts says whose row it is, or which rows belong together."""

import shutil

import numpy as np
import pytest

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import AtNodes, TableFile, load
from foedus.data.tables import look
from foedus.data.tables.overview.proposal import Question
from foedus.experiment import expand, starter

N = 120
SITES = ("HD", "CL", "SW")


def write(path, make=lambda i: f"{SITES[i % 3]}-{i:04}", plain=False):
    """Rows with an identifier; ``plain``: with the site in a column of its own, and no identifier."""
    r = np.random.default_rng(0)
    rows = [f"{r.normal(50 + 5 * (i % 3), 8):.0f},{r.normal(130, 9):.0f},{r.integers(2)}" for i in range(N)]
    first = [SITES[i % 3] if plain else make(i) for i in range(N)]
    path.write_text("first,age,bp,sick\n" + "".join(f"{a},{row}\n" for a, row in zip(first, rows, strict=True)))
    return path


@pytest.mark.parametrize(
    ("make", "how"),
    {
        "a mark": (lambda i: f"{SITES[i % 3]}-{i:04}", {"before": "-"}),
        "the first of several": (lambda i: f"{SITES[i % 3]}/{i:04}/x/1", {"before": "/"}),
        "a mark of two characters, spaces about it": (lambda i: f"{SITES[i % 3]} :: {i:04}", {"before": "::"}),
        "so many characters": (lambda i: f"{SITES[i % 3]}{i:04}", {"first": 2}),
    }.values(),
)
def test_it_is_the_table_with_a_column_of_sites(tmp_path, make, how):
    path = write(tmp_path / "t.csv", make)
    table = load("csv", path=path, target="sick", node={"column": "first", **how}, id="first")
    same = load("csv", path=write(tmp_path / "plain.csv", plain=True), target="sick", node="first")
    ours, theirs = table.split(holdout=0.2), same.split(holdout=0.2)
    assert ours.node_names == theirs.node_names == ("CL", "HD", "SW")
    assert ours.feature_names == theirs.feature_names
    assert (ours.x == theirs.x).all()
    assert ours.index.tolist() == theirs.index.tolist()
    with pytest.raises(BadInput, match="node, the column 'first'"):
        table.split(fd.data.IID(), nodes=3)


def test_visits_are_grouped_by_the_first_part_here_and_at_nodes(tmp_path):
    path = write(tmp_path / "t.csv", lambda i: f"P{i // 3}.{i % 3}")
    test = write(tmp_path / "test.csv", lambda i: f"Q{i // 3}.{i % 3}")
    options = {"target": "sick", "group": {"column": "first", "before": "."}}
    table = load("csv", path=path, **options)
    assert len({*table.group}) + len({*table.test_group}) == N / 3
    assert not {*table.group} & {*table.test_group}
    assert len({*load("csv", path=path, test=str(test), **options).test_group}) == N / 3
    with pytest.raises(BadInput, match="is among the training rows"):
        load("csv", path=path, test=str(shutil.copy(path, tmp_path / "b.csv")), **options)
    file = TableFile([str(path)], target="sick", options={"group": options["group"]})
    there = AtNodes(file, 1, holdout=0.5).ask(fd.Simulation())
    assert there.feature_names == ("age", "bp")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"column": "first", "before": "/"}, r"node: 'HD-0000' in line 2 of .*first\) has nothing before '/'"),
        ({"column": "frist", "before": "-"}, "node: there is no column 'frist': did you mean 'first'"),
        ({"column": "sick", "first": 1}, "'sick' is the target: its first part"),
        *(
            (wrong, "node names a column, or the first part of one: node=.*column.*before.*got")
            for wrong in ({}, {"column": "first"}, {"column": "first", "first": 0}, {"column": 3, "first": 1},
                          {"column": "first", "before": ""}, {"column": "first", "before": "-", "first": 2},
                          {"column": "first", "befor": "-"}, {"column": "first", "first": True})
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(tmp_path, node, message):
    path = write(tmp_path / "t.csv")
    with pytest.raises(BadInput, match=message):
        load("csv", path=path, target="sick", node=node)


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (lambda i: f"{SITES[i % 3]}-{i:04}", {"before": "-"}),
        (lambda i: f"{SITES[i % 3]}{i:04}", {"first": 2}),
        (lambda i: f"{('HD', 'BERN')[i % 2]}{i:04}", None),
        (lambda i: f"{SITES[i % 3]}{'-/'[i % 2]}{i:04}", {"first": 2}),
    ],
)
def test_the_question_is_answered_in_its_place(tmp_path, make, how):
    path, file = write(tmp_path / "t.csv", make), tmp_path / "e.toml"
    (question,) = look(path, target="sick").questions
    assert question.option == "node"
    assert question.choose == (() if how is None else ({"column": "first", **how},))
    assert "the first part of column 1 tells" in question.why
    text = starter(path, file, {"target": "sick"})
    if how is None:
        assert "make a column of them and name it here" in text
        return
    key, value = next(iter(how.items()))
    asked = f'{{ column = "first", {key} = ' + (f'"{value}" }}' if key == "before" else f"{value} }}")
    assert f"node = {{ choose = [{asked}] }}" in text
    file.write_text(text.replace(f"{{ choose = [{asked}] }}", asked))
    assert expand(file)[0].experiment.data().node_names == tuple(sorted(SITES))
    again = starter(path, file, {"target": "sick", "node": {"column": "first", **how}})
    assert f"node = {asked}" in again
    assert "choose" not in again


def test_persons_with_some_rows_each_are_asked_about_and_kept_together(tmp_path):
    path = tmp_path / "t.csv"
    write(path, lambda i: f"{SITES[i // 3 % 3]}-{i // 3:03}")
    path.write_text(path.read_text().replace("first", "patient", 1))
    found = look(path, target="sick")
    assert [q.choose for q in found.questions] == [({"column": "patient", "before": "-"},)]
    assert found.options["group"] == "patient"
    said = look(path, target="sick", node={"column": "patient", "before": "-"})
    assert not [f for f in said.findings if isinstance(f, Question)]
    assert [c.name for c in said.columns] == ["patient", "age", "bp", "sick"]
    assert load("csv", **said.options).split().node_names == tuple(sorted(SITES))


@pytest.mark.parametrize("option", ["target", "node", "id", "group", "drop", "text"])
@pytest.mark.parametrize("given", [[["age"]], 3, {"a": 1}])
def test_what_names_no_column_is_said_by_a_look_too(tmp_path, option, given):
    with pytest.raises(BadInput, match=f"{option} (must name|names) "):
        look(write(tmp_path / "t.csv"), **{option: given})
