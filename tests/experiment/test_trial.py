"""Trials: which runs ``foedus attack`` makes of a file, and what becomes of those that cannot be made."""

import pytest

from foedus import ClippedGossip, Fixed, Gossip, Mean, Median, RobustGossip, TrimmedMean
from foedus.aggregators import NNM, CenteredClipping, Krum, NormBound
from foedus.attacks import ALIE, Backdoor, SignFlip
from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.experiment import parse
from foedus.experiment.lengths import typical_length
from foedus.experiment.problems import BadExperiment
from foedus.experiment.study import Study
from foedus.experiment.trial import USUAL_ATTACKS, USUAL_RULES, names, trials
from foedus.experiment.unchanged import check_unchanged
from foedus.report.attack.found import CLEAN

FILE = """
data = { source = "digits", split = "iid", nodes = 10 }
model.network = "logistic"
program.fedavg = { rounds = 2, local = { steps = 2 } }
"""
SMALL = 'attack = { attacks = ["sign_flip", "alie"], rules = ["median"], seeds = 2, nodes = 2 }\n'


@pytest.fixture
def tried(tmp_path):
    """The cases and the plan of a file with this text behind it."""

    def of(more="", sets=(), options=None, file=FILE):
        (tmp_path / "file.toml").write_text(file + more)
        return trials(tmp_path / "file.toml", sets, options)

    return of


class Table:
    """Shows nothing, and keeps what it was told."""

    def __init__(self, after=None):
        self.ended, self.left = [], after

    def row(self, label, total_rounds=None, start=0):
        table = self

        class Row:
            def update(self, record: Record) -> None:
                if table.left == 0:
                    raise KeyboardInterrupt
                table.left = None if table.left is None else table.left - 1

            def finish(self, run=None, status=""):
                table.ended.append((label, status or run.status))

        return Row()


# -- which runs --------------------------------------------------------------------------------------------------------


def test_every_attack_under_every_rule_and_honest_nodes_for_each_seed(tried):
    cases, plan = tried(SMALL)
    rules = [("Mean", [CLEAN]), ("Median", [CLEAN, "SignFlip", "ALIE"])]  # the file's own is there to compare with
    assert [c.label for c in cases] == [
        f"{rule}, {attack}, seed={seed}" for seed in (0, 1) for rule, attacks in rules for attack in attacks
    ]
    assert (plan.rules, plan.attacks, plan.reference, plan.runs) == (
        ("Mean", "Median"),
        ("SignFlip", "ALIE"),
        "Mean",
        8,
    )
    assert (plan.nodes, plan.dishonest, plan.f, plan.seeds) == (10, 2, 2, (0, 1))
    last = cases[-1].experiment
    assert (last.program.aggregate, last.seed) == (Median(), 1)
    assert last.tables.adversary.attack == ALIE()
    assert last.adversary(last.data()).nodes == Fixed(2)
    assert cases[0].experiment.tables.adversary is None
    assert not any(c.experiment.tables.attack for c in cases)


def test_without_a_list_the_usual_rules_and_attacks_are_tried_the_file_s_own_among_them(tried):
    cases, plan = tried("attack = { seeds = 1, nodes = 2 }")
    assert len(plan.attacks) == len(USUAL_ATTACKS)
    assert len(plan.rules) == len(USUAL_RULES)
    assert plan.reference == "Mean"
    assert len(cases) == plan.runs == len(USUAL_RULES) * (1 + len(USUAL_ATTACKS))
    _, plan = tried("attack = { seeds = 1, nodes = 2 }", ["program.fedavg.aggregate=meamed"])
    assert (plan.reference, len(plan.rules)) == ("MeaMed", len(USUAL_RULES) + 1)
    _, plan = tried("attack = { seeds = 1, nodes = 2 }", ["data.root=100"])
    assert plan.rules[-1] == "FLTrust"


def test_attacks_that_do_not_fit_the_data_are_left_out_and_told_but_not_if_they_were_asked_for(tried):
    iris = 'data = { source = "iris", split = "iid", nodes = 4 }\nmodel.network = "logistic"\nprogram.fedavg = 1\n'
    _, plan = tried("attack.nodes = 1", file=iris)
    assert "Backdoor" in plan.attacks  # four columns are a square of two
    _, plan = tried("attack.nodes = 1", file=iris.replace("iris", "wine"))
    assert "Backdoor" not in plan.attacks
    (said,) = plan.unfit
    assert said.startswith("Backdoor is left out: rows of 13 numbers are no square images")
    with pytest.raises(BadExperiment, match=r"file.toml:4: attack.attacks\[1\]: rows of 13 numbers are no square"):
        tried('attack.attacks = ["alie", "backdoor"]', file=iris.replace("iris", "wine"))


def test_what_a_rule_leaves_open_is_filled_in_also_inside_another(tried):
    rules = (
        'rules = ["krum", { trimmed_mean = 1 }, { nnm.then = "trimmed_mean" }, "norm_bound", '
        "{ centered_clipping.radius = 2 }]"
    )
    cases, plan = tried(f"[attack]\n{rules}\nseeds = 1\nnodes = 0.3\n")
    made = [c.experiment.program.aggregate for c in cases if c.settings["attack"] == CLEAN][1:]
    length = made[3].bound
    assert made == [Krum(3), TrimmedMean(1), NNM(3, TrimmedMean(3)), NormBound(length), CenteredClipping(2.0)]
    _, plan = tried(f"[attack]\n{rules}\nseeds = 1\nnodes = 0.3\nf = 1\n")
    assert (plan.f, plan.settings["Krum"], plan.rules[3]) == (1, "Krum(f=1)", "NNM(TrimmedMean)")


def test_the_typical_length_is_that_of_honest_nodes_first_updates():
    e = parse(FILE + "adversary = { nodes = 0.5, attack.scaling = 1000 }")
    data = e.data()
    seen = []

    class Seen(Mean):
        def add(self, acc, u):
            seen.append(float(u.value()["delta"].norm()))
            return super().add(acc, u)

    from dataclasses import replace

    t = e.tables
    honest = replace(t, program=replace(t.program, aggregate=Seen(), rounds=1), adversary=None)
    replace(e, tables=honest).train(data=data)
    assert typical_length(e, data, "aggregate") == pytest.approx(sorted(seen)[4] / 2 + sorted(seen)[5] / 2, rel=1e-5)


def test_the_file_s_adversary_is_tried_and_says_who_and_since_when(tried):
    _, plan = tried('adversary = { nodes = [3], attack.backdoor.target = 5, start = 1 }\nattack.rules = ["median"]')
    assert (plan.dishonest, plan.attacks[0]) == (1, "Backdoor(target=5, trigger=Patch(size=2, corner='bottom right', "
                                                    "offset=0, value=1.0, image=None), share=0.5)")  # fmt: skip
    cases, _ = tried('adversary = { nodes = [3], start = 1 }\nattack = { rules = ["median"], attacks = ["alie"] }')
    its = cases[2].experiment.tables.adversary
    assert (its.nodes, its.start, its.attack) == ((3,), 1, ALIE())


def test_options_are_fields_of_the_table(tried):
    cases, plan = tried("", options={"rules": ["median"], "attacks": ["sign_flip"], "seeds": 1, "nodes": 3})
    assert (plan.rules, plan.attacks, plan.seeds, plan.dishonest, len(cases)) == (
        ("Mean", "Median"), ("SignFlip",), (0,), 3, 3,
    )  # fmt: skip
    with pytest.raises(BadExperiment, match=r"--rules: attack.rules.0.: unknown aggregator 'kum'; did you mean 'krum'"):
        tried("", options={"rules": ["kum"]})
    with pytest.raises(BadExperiment, match=r"--nodes: attack.nodes: a cohort of 11 nodes was asked for"):
        tried("", options={"nodes": 11})


def test_each_seed_draws_its_own_test_rows(tried):
    cases, _ = tried(SMALL.replace("seeds = 2", "seeds = [4, 7]"))
    assert [c.experiment.tables.data.source.options["test_seed"] for c in cases] == [4] * 4 + [7] * 4


def test_peers_defend_themselves_by_programs_of_their_own(tried):
    gossip = FILE.replace("fedavg = { rounds = 2, local = { steps = 2 } }", "gossip = { rounds = 2, lr = 0.5 }")
    cases, plan = tried('attack = { attacks = ["sign_flip"], nodes = 1, seeds = 1 }', file=gossip)
    assert plan.rules == ("Gossip", "ClippedGossip", "RobustGossip(TrimmedMean)")
    programs = [c.experiment.program for c in cases if c.settings["attack"] == CLEAN]
    ring = Gossip(rounds=2).topology
    assert programs == [
        Gossip(rounds=2, lr=0.5),
        ClippedGossip(rounds=2, lr=0.5, topology=ring, f=1),
        RobustGossip(rounds=2, lr=0.5, topology=ring, rule=TrimmedMean(1)),
    ]
    named = 'attack = { attacks = ["sign_flip"], programs = [{ clipped_gossip = { rounds = 3 } }] }'
    _, plan = tried(named, file=gossip)
    assert plan.rules == ("Gossip", "ClippedGossip")


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("sweep.seed = [0, 1]", "file.toml:5: sweep: foedus attack varies the attack, the rule and the seed"),
        ("attack.rule = 1", "file.toml:5: attack.rule: unknown key; did you mean 'rules'"),
        ("attack.rules = ['median', {krum = {g = 1}}]", r"file.toml:5: attack.rules\[1\].krum.g: unknown key"),
        ("attack.rules = [{krum = {f = -1}}]", r"file.toml:5: attack.rules\[0\]: f, how many dishonest nodes"),
        ("attack.rules = [{fltrust = 3}]", r"file.toml:5: attack.rules\[0\].fltrust: fltrust takes no fields"),
        ("attack.attacks = []", "file.toml:5: attack.attacks: attacks is empty: name at least one"),
        ("attack.seeds = []", "file.toml:5: attack.seeds: seeds are at least one, and each once"),
        ("attack.within = 3", "file.toml:5: attack.within: within is between 0 and 1, such as 0.03"),
        ("attack.nodes = [12]", "file.toml:5: attack.nodes: the adversary's nodes=.12,. are not all there"),
        ("attack.nodes = ['rome']", "file.toml:5: attack.nodes: there is no node 'rome'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tried, more, wrong):
    with pytest.raises(BadExperiment, match=wrong) as e:
        tried(more)
    assert len(e.value.problems) == 1


@pytest.mark.parametrize("program", ["parameter_server", "local_only"])
def test_a_program_without_a_place_for_a_rule_is_told_what_to_write(tried, program):
    file = FILE.replace("fedavg = { rounds = 2, local = { steps = 2 } }", f"{program} = 1")
    with pytest.raises(
        BadExperiment, match=r"file.toml:4: program: \w+ has no place for a rule .*: name whole programs"
    ):
        tried("attack.nodes = 1", file=file)
    with pytest.raises(BadExperiment, match=r"file.toml:5: attack.rules: .* has no place for a rule"):
        tried('attack.rules = ["median"]', file=file)


def test_a_program_whose_rule_is_its_algorithm_says_so(tried):
    file = FILE.replace("fedavg = { rounds = 2, local = { steps = 2 } }", "qffl = 1")
    with pytest.raises(BadExperiment, match=r"attack.rules\[0\]: q-FFL weighs nodes by their losses, which only Mean"):
        tried('attack.rules = ["median"]', file=file)


def test_names_tell_apart():
    assert names([Mean(), Mean(weighted=False), Median()]) == [
        "Mean(weighted=True, cap=None)", "Mean(weighted=False, cap=None)", "Median",
    ]  # fmt: skip
    assert names([NNM(1, TrimmedMean(1)), NNM(1, Median())]) == ["NNM(TrimmedMean)", "NNM(Median)"]
    assert names([SignFlip(), Backdoor()]) == ["SignFlip", "Backdoor"]


# -- what becomes of them ----------------------------------------------------------------------------------------------


def test_a_rule_that_cannot_be_used_is_a_cell_and_the_others_go_on(tried, tmp_path):
    more = 'attack = { attacks = ["sign_flip"], rules = ["bulyan", "median"], seeds = 1, nodes = 2 }'
    cases, plan = tried(more)
    study = Study.begin(cases, tmp_path / "out", plan)
    table = Table()
    found = study.found(study.conduct(table))
    assert "Bulyan(f=2) needs n >= 4f + 3" in found.refused("Bulyan")
    assert [status for _, status in table.ended] == ["finished", "refused", "refused", "finished", "finished"]
    assert found.holds("Median", "SignFlip") is not None
    # Whoever looks later is told the same, and nothing is tried twice.
    again, table = Study.open(tmp_path / "out"), Table()
    assert again.found().refused("Bulyan") == found.refused("Bulyan")
    again.conduct(table)
    assert [status for _, status in table.ended] == ["finished"] * 3
    assert again.trial == plan


def test_a_run_that_ends_early_is_a_cell_too(tried, tmp_path):
    more = 'attack = { attacks = ["not_finite"], rules = ["mean", "median"], seeds = 1, nodes = 2 }'
    cases, plan = tried(more)
    study = Study.begin(cases, tmp_path / "out", plan)
    found = study.found(study.conduct(Table()))
    assert found.cell("Mean", "NotFinite").broken == 1
    assert found.cell("Mean", "NotFinite").reasons
    assert found.worst("Mean") == "NotFinite"
    assert found.cell("Median", "NotFinite").values


def test_a_trial_that_was_stopped_goes_on_to_the_same_numbers(tried, tmp_path):
    cases, plan = tried(SMALL.replace("seeds = 2", "seeds = 1"))
    whole = Study.begin(cases, tmp_path / "whole", plan)
    whole.conduct(Table())
    study = Study.begin(cases, tmp_path / "out", plan)
    with pytest.raises(KeyboardInterrupt):
        study.conduct(Table(after=5))  # in the middle of a case
    part = study.found()
    assert 0 < sum(c.runs for c in part.cells.values()) < plan.runs
    again = Study.open(tmp_path / "out")
    again.conduct(Table())
    assert [c.values for c in again.found().cells.values()] == [c.values for c in whole.found().cells.values()]
    for member in whole.members:
        check_unchanged(tmp_path / "out" / member.folder, member.config)


def test_a_folder_that_is_there_already_is_left_alone(tried, tmp_path):
    cases, plan = tried(SMALL)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(BadInput, match="choose another folder"):
        Study.begin(cases, tmp_path / "out", plan)
