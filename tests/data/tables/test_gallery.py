"""A first look at tables as they lie about: right, or asked, and never wrong."""

from collections import Counter

import pytest

from foedus.data.tables import look
from foedus.data.tables.overview.proposal import Question

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


@pytest.mark.parametrize("name", ["hospitals", "hungarian", "wide_genes"])
def test_the_answer_does_not_hang_on_the_order_of_rows(name, tmp_path):
    table = TABLES[name]()
    table.write(tmp_path)
    file = tmp_path / table.path
    before = {f.option: getattr(f, "value", None) for f in look(str(file)).findings}
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert {f.option: getattr(f, "value", None) for f in look(str(file)).findings} == before
