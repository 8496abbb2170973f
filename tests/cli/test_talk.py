"""How much a command says (--quiet, --verbose), how wide it is, and which folder may have been meant."""

import sys

import pytest

from foedus.cli import main


@pytest.fixture
def run(foedus, small):
    """A finished run in runs/small."""
    assert foedus("run", small, "--quiet").status == 0


def test_quiet_is_the_result_and_errors_only(foedus, small):
    said = foedus("run", small, "-q")
    assert (said.status, said.err) == (0, "")
    assert "The page: " in said.out
    said = foedus("run", small, "-q", "--set", "data.nodes=0")
    assert said.status == 2
    assert said.err.startswith("foedus: ")


def test_verbose_says_what_is_done_and_how_long_it_takes(foedus, small):
    usual, said = foedus("run", small), foedus("run", small, "-v")
    for words in ("reading and dividing the data took ", "training took ", "the command took ", "rows at 4 nodes"):
        assert words in said.err
        assert words not in usual.err
    assert said.out.splitlines()[0] == usual.out.splitlines()[0]
    assert "took" not in foedus("run", small).err  # it was for that command alone


def test_verbose_shows_why_a_node_failed(small, tmp_path, monkeypatch, capsys):
    """With the traceback that the node has sent, which is asked for here and shown nowhere else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import foedus as fd\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Breaks(fd.LocalSGD):\n"
        "    def __call__(self, node, args):\n        raise ZeroDivisionError('broken')\n"
    )
    for more, shown in (["-q"], False), (["-v"], True):
        job = 'program.fedavg.local={ "mine:Breaks" = {} }'
        monkeypatch.setattr(sys, "argv", ["foedus", "run", str(small), "--set", job, *more])
        with pytest.raises(SystemExit) as e:
            main()
        assert e.value.code == 1
        assert ("    raise ZeroDivisionError('broken')\n" in capsys.readouterr().err) == shown


@pytest.mark.parametrize(
    "command", ["run", "compare", "reproduce", "speedup", "demo", "init", "data", "show", "report"]
)
def test_every_command_knows_both_and_takes_one(foedus, command):
    told = foedus(command, "--help").out
    assert "--quiet" in told
    assert "--verbose" in told
    said = foedus(command, "x", "-q", "-v")
    assert said.status == 2
    assert "opposites" in said.err


def test_init_and_data_can_be_quiet(foedus, tmp_path):
    (tmp_path / "t.csv").write_text("a,node,y\n" + "".join(f"{i},{'xz'[i % 2]},{'yn'[i % 3 > 0]}\n" for i in range(12)))
    assert foedus("init", "t.csv", "-q").out == "Written to t.toml.\n"
    assert "foedus init" in foedus("data", "t.csv").out
    assert "foedus init" not in foedus("data", "t.csv", "-q").out


def test_a_folder_that_holds_no_run_says_which_may_be_meant(foedus, run):
    for typed, meant in (
        ("runs/Small", "did you mean runs/small?"),
        ("small", "did you mean runs/small?"),
        ("runs/smal", "did you mean runs/small?"),
        ("runs", "name one of those in it: runs/small"),
        ("runs/quite-another", "name the folder that a run was written to"),
    ):
        for command in (["show"], ["report"], ["reproduce"], ["run", "--resume"]):
            said = foedus(*command, typed)
            assert said.status == 2
            assert said.err.rstrip().endswith(meant), (command, said.err)


def test_a_run_whose_name_is_taken_says_where_it_goes(foedus, small, run):
    said = foedus("run", small)
    assert said.err.splitlines()[0] == "runs/small is there already: this one goes to runs/small-2"
    assert "runs/small-2/report.html" in said.out


def test_a_folder_is_called_what_was_typed(foedus, small, tmp_path):
    small.rename(tmp_path / "My_own äpfel.toml")
    assert foedus("run", "My_own äpfel.toml", "-q").status == 0
    assert (tmp_path / "runs" / "My_own äpfel" / "run.json").exists()


def test_to_reproduce_a_comparison_names_its_cases(foedus, small):
    assert foedus("run", small, "-q", "--set", "sweep.seed=[0,1]", "--set", "program.fedavg.rounds=1").status == 0
    said = foedus("reproduce", "runs/small")
    assert said.status == 2
    assert "one run at a time" in said.err
    [_, command] = said.err.split("such as: ")
    case = command.split(". Its cases are ")[0].split()[-1]
    assert said.err.rstrip().endswith("Its cases are 1-seed-0, 2-seed-1")
    assert foedus("reproduce", case, "-q").status == 0


def test_a_table_says_which_columns_it_has_no_room_for(foedus, small, monkeypatch):
    assert foedus("run", small, "-q", "--set", "sweep.seed=[0,1]", "--set", "program.fedavg.rounds=1").status == 0
    monkeypatch.setenv("COLUMNS", "200")
    wide = foedus("show", "runs/small").out
    assert "Too narrow" not in wide
    for columns, left_out in (40, {"loss", "down", "virtual time"}), (60, {"loss", "down"}), (80, {"epochs"}):
        monkeypatch.setenv("COLUMNS", str(columns))
        said = foedus("show", "runs/small").out
        assert max(map(len, said.splitlines())) <= columns
        shown, _, told = " ".join(said.split()).partition("Too narrow for: ")
        assert all(head in told and head not in shown for head in left_out), (columns, said)
