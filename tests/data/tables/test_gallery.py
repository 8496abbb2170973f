"""A first look at tables as they lie about: right, or asked, and never wrong."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from foedus.data.tables import look
from foedus.data.tables.overview.proposal import Question
from foedus.experiment import BadExperiment, expand, starter

from .gallery import TABLES, Right


def verdicts(found, right: Right):
    """Of each thing that a table has a right answer for: right, asked, or what is wrong."""
    by_option = {f.option: f for f in found.findings}

    def of(option, answer):
        f = by_option.get(option)
        if isinstance(f, Question):
            return "asked" if answer in (*f.choose, None, "?") else f"asks for {f.choose}, not {answer}"
        value = None if f is None else f.value
        return "right" if value == answer else f"{value}, not {answer}"

    yield "target", of("target", right.target)
    yield "node", of("node", right.node)
    if right.task == "?" or not isinstance(by_option["target"], Question):
        task = by_option.get("task")
        if right.task == "classification" and task is None:
            yield "task", "right"  # by its values, as the loader does
        elif isinstance(task, Question) or (right.task == "?" and isinstance(by_option["target"], Question)):
            yield "task", "asked"
        else:
            yield "task", of("task", right.task)
    for option, answer in right.options.items():
        if option == "test":
            question = by_option.get("test")
            yield (
                option,
                "asked" if isinstance(question, Question) and answer in str(question.choose) else "no question",
            )
        else:
            yield option, of(option, answer)
    learned_from = {c.name for c in found.columns}
    for f in found.findings:
        if f.option in ("target", "node", "id", "group", "drop") and not isinstance(f, Question):
            learned_from -= {f.value} if isinstance(f.value, str) else {*f.value}
    for name in right.never:
        yield f"never {name}", "right" if name not in learned_from else "learned from"
    # What is proposed beside is wrong where nobody who knows the table would say so.
    for option in ("group", "text", "numeric", "missing_values", "encoding", "decimal"):
        if option in by_option and option not in right.options:
            yield option, f"{by_option[option].value} out of nothing"
    dropped = by_option["drop"].value if "drop" in by_option else []
    for name in {*dropped} - {*right.never}:
        yield "drop", f"leaves out {name}"


def test_of_all_tables_nothing_is_guessed_wrong_and_most_is_right(tmp_path):
    counts: Counter[str] = Counter()
    wrong = []
    for name, make in TABLES.items():
        folder = tmp_path / name
        folder.mkdir()
        table = make()
        table.write(folder)
        for what, verdict in verdicts(look(str(folder / table.path)), table.right):
            counts[verdict if verdict in ("right", "asked") else "wrong"] += 1
            if verdict not in ("right", "asked"):
                wrong.append(f"{name}: {what}: {verdict}")
    print(dict(counts))
    assert not wrong
    assert len(TABLES) >= 25
    assert counts["right"] >= 5 * counts["asked"]


def test_what_is_proposed_is_read_and_what_is_asked_is_asked_again(tmp_path):
    asked = 0
    for name, make in TABLES.items():
        folder = tmp_path / name
        folder.mkdir()
        table = make()
        table.write(folder)
        file = folder / "e.toml"
        file.write_text(starter(folder / table.path, file), encoding="utf-8")
        questions = look(str(folder / table.path)).questions
        asked += bool(questions)
        if questions:
            with pytest.raises(BadExperiment) as bad:
                expand(file)
            assert len(bad.value.problems) == len(questions)
            for q, problem in zip(questions, bad.value.problems, strict=True):
                assert f"data.{q.option}: an open question:" in str(problem)
                parts = [c if isinstance(c, list) else c.values() if isinstance(c, dict) else [c] for c in q.choose]
                words = [w for part in parts for w in part if w is not False]
                assert all(Path(w).name in str(problem) for w in words)
            continue
        experiment = expand(file)[0].experiment
        data = experiment.data()
        experiment.check(data)
        learned_from = {f.partition(" = ")[0].removesuffix(" missing") for f in data.feature_names}
        assert not learned_from & {table.right.target, table.right.node, *table.right.never}
        assert (data.classes is None) == (table.right.task == "regression")
    assert 0 < asked < len(TABLES) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_an_unmodified_file_runs_to_its_page_or_ends_in_its_question(name, tmp_path):
    table = TABLES[name]()
    table.write(tmp_path)
    file = tmp_path / "e.toml"
    file.write_text(starter(tmp_path / table.path, file), encoding="utf-8")
    short = [f"--set=sweep.program.{i}.{p}.rounds=2" for i, p in enumerate(("local_only", "fedavg", "centralized"))]
    command = [sys.executable, "-m", "foedus", "run", "e.toml", "--set=sweep.seed=[0]", *short, "-q", "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    if "choose = [" in file.read_text(encoding="utf-8"):
        assert (done.returncode, "an open question:" in done.stderr) == (2, True), done.stderr
        assert not (tmp_path / "out").exists()
    else:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("name", ["hospitals", "hungarian", "a_survey_with_nines"])
def test_the_answer_does_not_hang_on_the_order_of_rows(name, tmp_path):
    table = TABLES[name]()
    table.write(tmp_path)
    file = tmp_path / table.path
    before = {f.option: getattr(f, "value", None) for f in look(str(file)).findings}
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert {f.option: getattr(f, "value", None) for f in look(str(file)).findings} == before
