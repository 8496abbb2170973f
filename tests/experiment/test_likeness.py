"""What a comparison chooses so that like stands beside like, and what it leaves to the file."""

import pytest

from foedus.core.errors import BadInput
from foedus.experiment import expand_text
from foedus.experiment.likeness import like_with_like, personal

HEAD = """\
[data]
source = "digits"
split = "iid"
nodes = 4
[model]
network = "logistic"
"""


def cases(*programs, more=""):
    listed = ", ".join(f"{{ {p} = {{ rounds = 2 }} }}" if "{" not in p else f"{{ {p} }}" for p in programs)
    return expand_text(f"{HEAD}{more}\n[sweep]\nprogram = [{listed}]\n")


def chosen(*programs, held_out=True, more=""):
    given = cases(*programs, more=more)
    found, said = like_with_like(given, [held_out] * len(given))
    return [c.experiment.tables for c in found], said, given


PERSONAL = ["fedper", "fedrep", "fedbn", "ditto", "fine_tune", "ifca"]


@pytest.mark.parametrize("program", PERSONAL)
def test_with_models_of_nodes_own_all_are_measured_at_the_nodes(program):
    tables, said, _ = chosen(program, "fedavg", "local_only", "centralized")
    assert [t.evaluate.at for t in tables] == ["nodes"] * 4
    assert said[0].startswith("Measured at the nodes: ")


@pytest.mark.parametrize("program", PERSONAL)
def test_without_rows_for_it_the_file_is_told_what_to_say(program):
    with pytest.raises(BadInput, match=r"Write holdout = 0\.2 under \[data\] \(or --set data\.holdout=0\.2\)"):
        chosen("fedavg", program, held_out=False)


def test_a_file_that_says_where_wins():
    tables, said, _ = chosen("fedavg", "fedper", held_out=False, more='[evaluate]\nat = "program"')
    assert [t.evaluate.at for t in tables] == ["program"] * 2
    assert not said


def test_what_is_alike_is_left_as_it_is():
    for programs in (["fedavg", "local_only", "centralized"], ["ifca = { rounds = 2, clusters = 1 }", "fedavg"]):
        tables, said, given = chosen(*programs, held_out=False)
        assert tables == [c.experiment.tables for c in given]
        assert not said
    swept = expand_text(f'{HEAD}[program.fedper]\nrounds = 2\n[sweep]\n"program.fedper.local.lr" = [0.1, 0.2]\n')
    assert like_with_like(swept, [False, False]) == (swept, [])


def test_who_has_models_of_their_own():
    assert [personal(c.experiment.program) for c in cases(*PERSONAL, "fedavg", "local_only", "gossip")] == (
        [True] * len(PERSONAL) + [False] * 3
    )


def objectives(*programs, **options):
    tables, said, _ = chosen(*programs, **options)
    return [getattr(t.program, "objective", None) for t in tables], said


def test_one_objective_for_all_that_leave_it_open():
    found, said = objectives("fedavg", "scaffold", "feddyn", "fedbuff", "fedasync", "gossip", "push_sum", "local_only")
    assert found == ["rows"] * 7 + [None]
    [sentence] = said
    assert sentence.startswith("One objective: Scaffold, FedDyn, FedBuff and 3 others count nodes by their rows here")


def test_a_file_that_says_how_nodes_count_wins():
    nodes = "scaffold = { rounds = 2, aggregate = { mean = { weighted = false } } }"
    found, said = objectives("fedavg", nodes, 'gossip = { rounds = 2, objective = "nodes" }', "feddyn")
    assert found == ["rows", "nodes", "nodes", "rows"]
    assert said[-1] == "Not one objective: nodes count by their rows, but alike with Scaffold and Gossip."


def test_by_nodes_where_some_have_no_choice_but_that():
    assert objectives("fedavg", "easgd")[0] == ["nodes", "nodes"]
    found, said = objectives("fedavg", "easgd", "parameter_server")
    assert found == ["rows", "nodes", "rows"]
    assert said == ["Not one objective: nodes count by their rows, but alike with EASGD."]


def test_what_agrees_by_itself_is_not_changed():
    assert objectives("scaffold", "feddyn", "gossip") == (["nodes"] * 3, [])
