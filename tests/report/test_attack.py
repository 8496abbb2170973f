"""Attacks and rules: what holds, what is worst, what is said of it, and what the page shows."""

import json
import re
from dataclasses import replace

import pytest

from foedus.report.attack import Plan, Tried, as_json, found, page, show, verdict
from foedus.report.attack.found import CLEAN
from foedus.report.attack.page import render
from foedus.report.attack.show import head

from .fakes import FedAvg, fake, learn

PLAN = Plan(
    "digits", "FedAvg(rounds=3)", ("Mean", "Krum", "Bulyan"), ("SignFlip", "Backdoor"), "Mean", 20, 4, 4, (0, 1), 0.03,
    18, {"Mean": "Mean()", "SignFlip": "SignFlip(factor=1.0)"},
)  # fmt: skip


def run(accuracy, success=None, seconds=1.0, sent=100, **more):
    history = learn(3, 0.5, accuracy, 0.5, up=sent, down=sent)
    metrics = {} if success is None else {"attack_success": success}
    last = replace(history[-1], accuracy=accuracy, wall_s=seconds, metrics=metrics)
    return fake(FedAvg(), [*history[:-1], last], **more)


def tried(*accuracies, success=None, **more):
    return [Tried(run(a, success, **more)) for a in accuracies]


CELLS = {
    ("Mean", CLEAN): tried(0.95, 0.93, seconds=2.0),
    ("Mean", "SignFlip"): tried(0.1, 0.2),
    ("Mean", "Backdoor"): tried(0.94, 0.94, success=0.9),
    ("Krum", CLEAN): tried(0.93, 0.93, seconds=3.0),
    ("Krum", "SignFlip"): tried(0.92, 0.92),
    ("Krum", "Backdoor"): tried(0.93, 0.93, success=0.05),
    ("Bulyan", CLEAN): [Tried(reason="Bulyan(f=4) needs n >= 4f + 3", refused=True)] * 2,
    ("Bulyan", "SignFlip"): [Tried(reason="Bulyan(f=4) needs n >= 4f + 3", refused=True)] * 2,
    ("Bulyan", "Backdoor"): [Tried(reason="Bulyan(f=4) needs n >= 4f + 3", refused=True)] * 2,
}


def but(**cells):
    changed = {tuple(key.split("_")): value for key, value in cells.items()}
    return found(PLAN, CELLS | changed)


def test_what_holds_and_what_is_worst():
    f = but()
    assert f.clean == pytest.approx(0.94)
    assert (f.holds("Mean", "SignFlip"), f.holds("Mean", "Backdoor")) == (False, False)
    assert f.holding == ("Krum",)
    assert (f.worst("Mean"), f.worst("Krum"), f.worst("Bulyan")) == ("Backdoor", "Backdoor", None)
    assert (f.lowest("Mean"), f.lowest("Krum"), f.lowest("Bulyan")) == ("SignFlip", "SignFlip", None)
    assert f.price("Krum") == (1.5, 1.0)
    assert f.refused("Bulyan") == "Bulyan(f=4) needs n >= 4f + 3"
    assert verdict(f) == (
        "4 dishonest nodes of 20 are enough to break Mean: accuracy is 94.0 % with honest nodes, it is 15.0 % under "
        "SignFlip, and Backdoor plants a backdoor that opens for 90 % of the rows with its trigger. Krum stays within "
        "3 points of that under every attack, at worst 92.0 % under SignFlip. Krum takes 1.5 times as long as Mean, "
        "and sends as much."
    )


def test_the_last_round_counts_and_not_the_best():
    falling = learn(3, 0.95, 0.3, 1.0)
    f = but(Mean_SignFlip=[Tried(fake(FedAvg(), falling))])
    assert f.cell("Mean", "SignFlip").values == (falling[-1].accuracy,)


def test_a_backdoor_that_opens_is_no_rule_that_holds():
    f = but(Krum_Backdoor=tried(0.94, 0.94, success=0.2))
    assert f.holding == ()
    assert "No rule stays within 3 points of that under every attack; nearest comes Krum" in verdict(f)


def test_a_rule_that_is_bad_with_honest_nodes_does_not_hold():
    f = but(Krum_clean=tried(0.6, 0.6))
    assert (f.holding, f.worst("Krum")) == ((), CLEAN)
    assert "nearest comes Krum: it is 60.0 % with honest nodes." in verdict(f)


def test_one_seed_that_diverges_is_worse_than_any_loss():
    nan = Tried(run(0.9, status="diverged"), "round 2: the loss is NaN")
    f = but(Krum_SignFlip=[*tried(0.94), nan], Mean_SignFlip=[Tried(None, "node 3 failed")] * 2)
    assert f.cell("Krum", "SignFlip").value is None
    assert (f.worst("Krum"), f.worst("Mean")) == ("SignFlip", "SignFlip")
    assert "it fails under SignFlip" in verdict(f)
    text = show(f).plain(100)
    assert "1/2 diverged" in text
    assert "Mean, SignFlip: node 3 failed" in text
    assert "round 2: the loss is NaN" in render(f)  # what a reader sees on the cell


def test_a_model_that_was_wrecked_and_is_finite_has_a_value():
    wrecked = run(0.1)
    history = [replace(r, loss=10.0 ** (4 * t)) for t, r in enumerate(wrecked.history)]
    wrecked = fake(FedAvg(), history)
    assert wrecked.grown is not None
    f = but(Mean_SignFlip=[Tried(wrecked)])
    assert f.cell("Mean", "SignFlip").value == 0.1


def test_a_metric_of_which_less_is_better_is_measured_by_its_share():
    def of(rmse):
        history = [replace(r, accuracy=None, rmse=rmse) for r in learn(2, 0.1, 0.2, 0.5)]
        return [Tried(fake(FedAvg(), history, label_counts=None))]

    f = found(PLAN, {("Mean", CLEAN): of(10.0), ("Krum", CLEAN): of(10.1), ("Krum", "SignFlip"): of(10.29)})
    assert f.gap(10.29) == pytest.approx(0.029)
    assert f.holds("Krum", "SignFlip")
    f = found(PLAN, {("Mean", CLEAN): of(10.0), ("Krum", "SignFlip"): of(10.31)})
    assert f.holds("Krum", "SignFlip") is False


def test_what_is_missing_is_said():
    f = found(PLAN, {k: v for k, v in CELLS.items() if k[0] == "Mean"})
    assert "12 runs of 18 are still to be made." in show(f).plain(100)
    assert "Krum" not in verdict(f)
    assert verdict(found(PLAN, {})) == "No run with honest nodes was evaluated, so nothing can be said of attacks."
    assert render(found(PLAN, {}))


def test_every_attack_fits_a_terminal_of_80_columns():
    attacks = ("LabelFlip", "SignFlip", "ModelReplacement", "IPM", "ALIE", "MinMax", "Mimic", "Backdoor")
    plan = replace(PLAN, attacks=attacks, rules=("Mean", "NNM(TrimmedMean)"))
    text = show(found(plan, {(r, a): tried(0.9, 0.9) for r in plan.rules for a in (CLEAN, *attacks)})).plain(80)
    assert "Too narrow" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert head("ModelReplacement") == "Model\nReplacement"


def test_the_page_shades_by_harm_and_keeps_names_as_text(tmp_path):
    plan = replace(PLAN, rules=("Mean", "Krum", "<b>"), name="<i>")
    f = found(plan, CELLS | {("<b>", CLEAN): tried(0.9), ("<b>", "SignFlip"): tried(0.9)})
    html = page(f, tmp_path / "a.html").read_text()
    (table,) = re.findall(r'<table class="harm">.*?</table>', html)
    rows = re.findall(r"<tr>.*?</tr>", table)
    assert [len(re.findall(r"<td", row)) for row in rows] == [0, 4, 4, 4]
    shades = [float(x) for x in re.findall(r"--harm:([\d.]+)", rows[1])]
    assert shades == [pytest.approx(x, abs=0.02) for x in (0.99, 1.0, 1.0)]  # SignFlip, Backdoor, worst
    assert "held" in rows[2]
    assert "--harm" not in rows[2]
    assert "opens 90\N{NO-BREAK SPACE}%" in rows[1]
    assert "± 1.4" in rows[1]
    assert "&lt;b&gt;" in table
    assert not re.search(r"<b>|<i>", html)


def test_json_is_plain_and_has_every_cell():
    told = json.loads(json.dumps(as_json(but())))
    mean, krum, bulyan = told["rules"]
    assert mean["attacks"]["Backdoor"]["success"] == pytest.approx(0.9)
    assert mean["attacks"]["SignFlip"]["values"] == [0.1, 0.2]
    assert (krum["holds_all"], krum["worst"], krum["seconds_times"]) == (True, "SignFlip", 1.5)
    assert bulyan["refused"] == "Bulyan(f=4) needs n >= 4f + 3"
    assert told["plan"]["nodes"] == 20
