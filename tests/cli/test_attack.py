"""``foedus attack`` as a user calls it, and what the other commands say of runs with dishonest nodes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILE = """\
[data]
source = "digits"
split = "iid"
nodes = 8
[model]
network = "logistic"
[program.fedavg]
rounds = 4
local = { epochs = 1, batch_size = 10, lr = 0.1 }
[attack]
attacks = ["sign_flip", "backdoor"]
rules = ["mean", "median", "bulyan"]
seeds = 1
nodes = 2
"""
LIARS = """
[adversary]
nodes = 2
attack = "sign_flip"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "digits.toml"
    path.write_text(FILE)
    return path


def test_from_a_file_to_a_table_a_page_and_json(foedus, file, tmp_path):
    said = foedus("attack", file)
    assert said.status == 0, said.err
    assert re.search(r"^rule +clean +SignFlip +Backdoor +worst", said.out, re.MULTILINE)
    assert "Bulyan cannot be used: Bulyan(f=2) needs n >= 4f + 3" in " ".join(said.out.split())
    assert "9 runs: 3 rules, 2 attacks and none, 1 seeds; 2 of 8 nodes are dishonest" in said.err
    folder = Path("runs/digits-attack")
    page = (folder / "report.html").read_text()
    assert "what dishonest nodes can do" in page
    # The folder says the same later, whoever is asked.
    shown = foedus("show", folder)
    assert shown.out == said.out.rpartition("\n\nThe page")[0] + "\n"
    told = json.loads(foedus("show", folder, "--json").out)
    assert set(told) == {"verdict", "metric", "higher_is_better", "clean", "plan", "holding", "rules"}
    (folder / "report.html").unlink()
    assert foedus("report", folder).status == 0
    assert (folder / "report.html").read_text() == page
    assert json.loads(foedus("report", folder, "--json", "--out", "other.html").out)["page"] == "other.html"
    assert "--target is for runs" in foedus("report", folder, "--target", "0.9").err
    # Going on where all is done runs nothing, by either command.
    for command in ("attack", "run"):
        again = foedus(command, "--resume", folder, "--json", "--quiet")
        assert json.loads(again.out) == told, again.err
    # One of its runs is a run like any other.
    (one,) = folder.glob("*-Median-SignFlip-seed-0")
    assert "2 nodes of 8 were dishonest" in foedus("show", one).out


def test_options_stand_for_the_table(foedus, file):
    said = foedus(
        "attack", file, "--rules", "median", "--attacks", "alie,ipm", "--nodes", "0.25", "--seeds", "2", "--json"
    )
    assert said.status == 0, said.err
    told = json.loads(said.out)
    assert told["plan"]["attacks"] == ["ALIE", "IPM"]
    assert [r["rule"] for r in told["rules"]] == ["Mean", "Median"]
    assert (told["plan"]["dishonest"], told["plan"]["seeds"]) == (2, [0, 1])
    assert len(told["rules"][1]["attacks"]["ALIE"]["values"]) == 2


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ([], "give the FILE of an experiment, or --resume FOLDER"),
        (["digits.toml", "--resume", "runs"], "give the FILE of an experiment, or --resume FOLDER"),
        (["--resume", "nowhere"], "nowhere"),
        (["--resume", "run"], "run holds no trial of attacks: foedus run --resume run goes on with it"),
        (["--resume", "run", "--rules", "median"], "--rules is for a new trial"),
        (["--resume", "run", "--set", "seed=1"], "--set is for a new trial"),
        (["--resume", "run", "--out", "x"], "--out is for a new trial"),
        (["digits.toml", "--accept-changes"], "--accept-changes is for a trial that goes on"),
        (["digits.toml", "--rules", "kum"], "--rules: attack.rules[0]: unknown aggregator 'kum'; did you mean 'krum'"),
        (["digits.toml", "--attacks", "flip"], "--attacks: attack.attacks[0]: unknown attack 'flip'"),
        (
            ["digits.toml", "--nodes", "9"],
            "--nodes: attack.nodes: a cohort of 9 nodes was asked for, but there are only 8",
        ),
        (["digits.toml", "--nodes", "berlin,3"], "--nodes: attack.nodes: there is no node 'berlin'"),
        (["digits.toml", "--seeds", "0"], "--seeds: attack.seeds: seeds is how many seeds, from 1 up"),
        (["digits.toml", "--set", "sweep.seed=[1, 2]"], "foedus attack varies the attack, the rule and the seed"),
        (["nothing.toml"], "nothing.toml: there is no such file"),
    ],
)
def test_what_does_not_fit_is_one_line(foedus, file, arguments, wrong, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    said = foedus("attack", *arguments)
    assert said.status == 2
    assert wrong in " ".join(re.sub("[│╭╮╰╯─]", " ", said.err).split())
    assert not (tmp_path / "runs").exists()


def test_a_run_names_whom_its_rule_left_out(foedus, file, tmp_path):
    file.write_text(FILE.replace("local =", "aggregate = { multi_krum = 2 }\nlocal =") + LIARS)
    said = foedus("run", file, "--quiet")
    assert said.status == 0, said.err
    assert re.search(r"2 nodes of 8 were dishonest \(\d, \d\)", said.out)
    assert "left out in all 4 rounds" in said.out
    told = json.loads(foedus("show", "runs/digits", "--json").out)["suspects"]
    assert len(told) == 8
    assert all(n["left_out_in"] == 4 for n in told if n["dishonest"])
    assert "Whom the rule left out" in Path("runs/digits/report.html").read_text()
    # What a run was begun with is what it goes on with.
    config = Path("runs/digits/config.toml")
    config.write_text(config.read_text().replace("[adversary.attack.sign_flip]", "[adversary.attack.label_flip]"))
    again = foedus("run", "--resume", "runs/digits")
    assert again.status == 2
    assert "adversary.attack" in again.err


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(file, tmp_path):
    command = [sys.executable, "-m", "foedus", "attack"]
    more = [str(file), "--set", "program.fedavg.rounds=200", "--out", "out"]
    running = subprocess.Popen([*command, *more], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/2-*/history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped; go on with: foedus attack --resume out" in err
    shown = subprocess.run([*command[:-1], "show", "out"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "are still to be made" in shown.stdout
