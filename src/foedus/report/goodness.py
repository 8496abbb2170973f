"""More of how good the models are than one number: ROC and calibration curves, and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from foedus.core.records.curves import Curves
from foedus.core.records.judged import in_words
from foedus.report.axis import Axis
from foedus.report.figures import Line, line_chart
from foedus.report.looks import REST, Style
from foedus.report.markup import text
from foedus.report.split import class_names
from foedus.report.summary import Comparison, Summary, measures
from foedus.report.units import human_count, percent

_SHARES = Axis(0.0, 1.0, False, (0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{100 * v:.0f} %")
_WIDEST = 12
"""Of so many classes at most the whole table of who is taken for whom can be read."""
_TELLING = ("accuracy", "rmse", "mae", "mse")
"""Measures of which it says something what one answer for all rows is worth."""
_COMMONEST = 10
"""Of more classes so many of the commonest confusions are listed."""


def goodness(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML; empty where no run has curves."""
    found = [(s, curves) for s in c.shown if (curves := _of(s)) is not None]
    scores, confused, usual = _scores(found, looks), _confused(c, found), guessing(c)
    lead = f'<p class="lead">{text(usual)}</p>' if usual else ""
    return f"<h2>What the models get right and wrong</h2>{lead}{scores}{confused}" if lead + scores + confused else ""


def guessing(c: Comparison) -> str:
    """What one answer for all rows is worth, as a sentence; empty where that is not known, or says nothing."""
    run = next((s.run for s in c.programs if s.run.usual), None)
    if run is None or run.usual is None:
        return ""
    for metric in (m for m in measures([run]) if m.field in _TELLING and m.field in run.usual):
        answer = "the most frequent class" if metric.field == "accuracy" else "the mean of the training targets"
        worth = f"{metric.label} {metric.text(run.usual[metric.field])}"
        return f"To compare with: who always answers {answer}, whatever the row, has {worth}."
    return ""


def _of(s: Summary) -> Curves | None:
    """Those of its first seed at the point at which that is judged; of an older run those of the last round."""
    found = s.run.curves
    return found["judged"] if "judged" in found else found.get("last")


def _scores(found: Sequence[tuple[Summary, Curves]], looks: dict[str, Style]) -> str:
    """ROC and calibration, where there are two classes and the metrics need scores."""
    ranked = [(s, k) for s, k in found if k.roc]
    if not ranked:
        return ""
    even = Line("", REST, (0.0, 1.0), (0.0, 1.0))
    roc = [Line(s.label, looks[s.label], *_xy(k.roc or []), tips=_roc_tips(s, k)) for s, k in ranked]
    calibrated = [(s, k) for s, k in ranked if k.calibration]
    points = [(s, [(said, so) for _, said, so in k.calibration or []], k) for s, k in calibrated]
    calibration = [Line(s.label, looks[s.label], *_xy(p), tips=_tips(s, k)) for s, p, k in points]
    panels = [
        _panel("True positives against false positives (ROC)", "roc", [even, *roc], "false positive rate",
               "; ".join(_roc_words(s, k) for s, k in ranked)),
        _panel("What was said against what was found (calibration)", "calibration", [even, *calibration],
               "predicted probability", "; ".join(_words(s, p) for s, p, _ in points)),
    ]  # fmt: skip
    no, yes = _both(ranked[0][0])
    said = (
        f"Left: the share of {yes} that is found against the share of {no} that is taken for it, as the threshold "
        "falls; the thin line is what guessing gives. Right: the rows of each tenth of the predicted probability of "
        f"{yes}, and how many of them were; on the thin line what is said is true."
    )
    return (
        f'<figure><div class="panels">{"".join(panels)}</div>'
        f"<figcaption>{text(said)} {text(_which(ranked))}</figcaption></figure>"
    )


def _both(s: Summary) -> tuple[str, str]:
    """What class 0 and class 1 are called."""
    no, yes = class_names(s.run.class_names, 2)[:2]
    return no, yes


def _which(found: Sequence[tuple[Summary, Curves]]) -> str:
    rounds = {s.run.judged.rounds if s.run.judged and "judged" in s.run.curves else (k.round,) for s, k in found}
    at = in_words(min(rounds)) if len(rounds) == 1 else "the rounds in which the runs are judged"
    two = any(len(r) > 1 for r in rounds)
    halves = "; where halves of the rows are judged in different rounds, both together" if two else ""
    seeds = " with the first seed" if any(s.n > 1 for s, _ in found) else ""
    return f"All as of {at}{seeds}{halves}."


def _panel(title: str, name: str, lines: Sequence[Line], x_label: str, desc: str) -> str:
    drawn = line_chart(lines, _SHARES, _SHARES, name=name, title=title, desc=f"{desc}.", x_label=x_label)
    return f'<div class="panel"><h3>{text(title)}</h3>{drawn}</div>'


def _xy(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def _roc_tips(s: Summary, k: Curves) -> tuple[str, ...]:
    no, yes = _both(s)
    return tuple(f"{s.label}\nfinds {percent(y)} of {yes}\nand {percent(x)} of {no}" for x, y in k.roc or [])


def _tips(s: Summary, k: Curves) -> tuple[str, ...]:
    _, yes = _both(s)
    return tuple(
        f"{s.label}\n{human_count(n)} rows with about {percent(said)}\n{percent(so)} of them were {yes}"
        for n, said, so in k.calibration or []
    )


def _roc_words(s: Summary, k: Curves) -> str:
    if k.at_half is None:
        return s.label
    (no, yes), (false, true) = _both(s), k.at_half
    return f"at the probability 0.5 {s.label} finds {percent(true)} of {yes} and {percent(false)} of {no}"


def _words(s: Summary, points: Sequence[tuple[float, float]]) -> str:
    found = ", ".join(f"{percent(so, 0)} where {percent(said, 0)} was said" for said, so in points)
    return f"with {s.label} it was so in {found}"


# -- who is taken for whom ---------------------------------------------------------------------------------------------


def _confused(c: Comparison, found: Sequence[tuple[Summary, Curves]]) -> str:
    """The table of the program that stands for all, and those of the others folded away."""
    tables = [(s, k) for s, k in found if k.confusion]
    if not tables:
        return ""
    first = next((i for i, (s, _) in enumerate(tables) if s is c.chosen), 0)
    tables.insert(0, tables.pop(first))
    blocks = [_matrix(s, k) for s, k in tables]
    more = ""
    if len(blocks) > 1:
        others = "the others" if len(blocks) > 2 else tables[1][0].label
        more = f"<details><summary>The same of {escape(others)}</summary>{''.join(blocks[1:])}</details>"
    return f"<figure>{blocks[0]}{more}<figcaption>{text(_which(tables))}</figcaption></figure>"


def _matrix(s: Summary, k: Curves) -> str:
    matrix = k.confusion or []
    names = class_names(s.run.class_names, len(matrix))
    if len(matrix) > _WIDEST:
        return _commonest(s, matrix, names)
    head = "".join(f'<th scope="col">{escape(n)}</th>' for n in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(_cell(row, j, i == j) for j in range(len(row)))}'
        f'<td class="all">{human_count(sum(row))}</td></tr>'
        for i, (name, row) in enumerate(zip(names, matrix, strict=True))
    )
    return (
        f"<h3>{escape(s.label)}: of every class (a row), how much is taken for which (a column)</h3>"
        f'<div class="wide"><table class="confusion"><thead><tr><th scope="col">is</th>{head}'
        f'<th scope="col" class="all">rows</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(row: Sequence[float], j: int, right: bool) -> str:
    share = row[j] / sum(row) if sum(row) else 0.0
    shown = percent(share, 0) if row[j] else "·"
    kind = "right" if right else "wrong"
    return (
        f'<td class="{kind}" style="--share:{share:.3f}" title="{human_count(row[j])} of {human_count(sum(row))} rows">'
        f"<span>{text(shown)}</span></td>"
    )


def _commonest(s: Summary, matrix: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    pairs = [
        (n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n > 0
    ]  # fmt: skip
    pairs.sort(key=lambda p: -p[0])
    rows = "".join(
        f'<tr><th scope="row">{escape(names[i])}</th><th scope="row">{escape(names[j])}</th><td>{human_count(n)}</td>'
        f"<td>{text(percent(n / sum(matrix[i])))}</td></tr>"
        for n, i, j in pairs[:_COMMONEST]
    )
    return (
        f'<table class="commonest"><caption>{escape(s.label)}: the commonest confusions '
        f"of {len(names)} classes</caption>"
        '<thead><tr><th scope="col">is</th><th scope="col">taken for</th><th scope="col">rows</th>'
        f'<th scope="col">of its class</th></tr></thead><tbody>{rows}</tbody></table>'
    )
