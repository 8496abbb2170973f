"""What the nodes agree on before they train, by jobs over their own training rows: a recipe that makes numbers of rows.

First the values of the columns of text, and counts and sums of the columns of numbers; then, about the means that come
of it, sums of squares, and how often each value is there. It is what one place with all rows would compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.core.coordination.executor import Blocks, Executor, Plan, Result
from foedus.core.coordination.site import Setup, Site
from foedus.core.coordination.survey import Survey, idle_model
from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.core.types.roster import Prepare
from foedus.core.types.torch_process import one_thread
from foedus.data.files import listed
from foedus.data.tables.advice import drop
from foedus.data.tables.files import Reading
from foedus.data.tables.jobs import Spread, Sum, Sums, Union, Vocabulary, decode, encode
from foedus.data.tables.recipe import Category, Number, Recipe, Target, label_order
from foedus.data.tables.schema import Schema

PURPOSE = "prepare its table"
"""What a node cannot do that fails in any of this."""


@dataclass(frozen=True)
class Options:
    """How a table is prepared; see ``csv``."""

    target: str
    positive: str | None = None
    missing: str = "impute"
    mark_missing: bool = True
    scale: bool = True
    scale_target: bool = True
    max_categories: int = 100
    ignore_case: bool = True
    reading: Reading = Reading()
    rename: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Preparation:
    """How a table became numbers: the ``recipe``, what there is to say about it, and what was sent to agree on it."""

    recipe: Recipe
    lines: list[str]
    bytes: int
    messages: int

    @property
    def unit(self) -> tuple[float, ...] | None:
        """What 1 in a target of numbers is in its own unit; None where it is not scaled."""
        target = self.recipe.target
        return None if target.labels is not None or target.scale == 1.0 else (target.scale,)


class _Here(Executor):
    """An executor of rows that are all in this process: the nodes of a table that is divided here."""

    def __init__(self, raw: FederatedDataset) -> None:
        self._site = Site(Setup(idle_model(), raw))

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> Any:
        return plan, placed, blocks

    def wait(self, ticket: Any) -> Result:
        with one_thread():  # as in any worker, and every task seeds torch's default generator
            return self._site.run(*ticket)

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        done()

    def prepare(self, how: Prepare) -> None:
        self._site.prepare(how)

    def close(self) -> None:
        pass


def agree_here(raw: FederatedDataset, schema: Schema, options: Options) -> Preparation:
    """``agree``, for records (N, W) that are all in this process."""
    return agree(Survey(_Here(raw), raw.nodes, raw.node_names, PURPOSE), raw.sizes, schema, options)


def agree(survey: Survey, sizes: Sequence[int], schema: Schema, options: Options) -> Preparation:
    """The recipe of a table whose nodes train on records (N, W), ``sizes`` of them: these rows alone take part.

    Errors: ``BadInput`` for a column without a value in any training row, and a target with a single label there.
    """
    text = _vocabulary(survey, schema) if schema.texts else torch.tensor(list(encode([])), dtype=torch.uint8)
    words = dict(zip(schema.texts, decode(text), strict=True))
    sums = survey.total(Sums(schema), {}, Sum())
    rows, count = int(sums["rows"]), sums["count"]
    mean = sums["sum"] / count.clamp(min=1)
    spread = survey.total(Spread(schema, sum(map(len, words.values()))), {"mean": mean, "text": text}, Sum())
    deviation = _deviation(count, mean, spread["squares"])
    counts = iter(spread["count"].int().tolist())
    found = {name: {w: next(counts) for w in known} for name, known in words.items()}

    columns: list[Number | Category] = []
    lines: list[str] = []
    place = {name: i for i, name in enumerate(schema.numbers)}
    target = Target(options.target, ignore_case=options.ignore_case)
    for name in (c.name for c in schema.columns):
        if name in found:
            if name == options.target:
                target, line = _labels(found[name], options)
            else:
                column, line = _category(name, found[name], rows, options)
                columns.append(column)
        else:
            i = place[name]
            m, d, n = float(mean[i]), float(deviation[i]), int(count[i])
            if n == 0:
                raise _nothing(name, rows)
            line = f"{name}: mean {m:.4g}, deviation {d:.4g}, from {_holders(int(sums['holders'][i]), survey.nodes)}"
            if name == options.target:
                if d == 0:
                    raise BadInput(
                        f"target {name} is {m:g} in all training rows, so there is nothing to learn: hold out fewer "
                        "rows, or name another column as target"
                    )
                if options.scale_target:
                    target = Target(name, shift=m, scale=d or 1.0)
                scaled = "; scaled, and errors are told in its own unit"
                line += scaled if options.scale_target else "; not scaled (scale_target=True does)"
            else:
                number = _number(name, m, d, rows - n, options)
                columns.append(number)
                line += "; the same in all rows" if d == 0 else "" if options.scale else "; not scaled"
                line += _filled(rows - n, "the mean", number.marked)
        lines.append(line)
    recipe = Recipe(tuple(columns), target, options.reading, options.rename, options.missing)
    lines += _alone(sizes, survey.names)
    lines.append(
        f"to agree on {len(recipe.feature_names)} features of {len(columns)} columns, {_plural(survey.nodes, 'node')} "
        f"exchanged {survey.messages:,} messages of {survey.bytes:,} bytes: values of text, counts and sums, no rows"
    )
    return Preparation(recipe, lines, survey.bytes, survey.messages)


def _vocabulary(survey: Survey, schema: Schema) -> Tensor:
    """The values of the columns of text, as bytes. Asked again with more room if a node needs it."""
    size = 1024
    while True:
        said = survey.total(Vocabulary(schema, size), {}, Union())
        needed = int(said["needed"])
        if needed <= size:
            return said["text"]
        size = 1 << (needed - 1).bit_length()


def _deviation(count: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
    """Deviations (C,), exactly 0 for a column whose values differ by no more than the rounding of their mean."""
    variance = squares / count.clamp(min=1)
    rounding = (mean.abs() * torch.finfo(torch.float64).eps * count.clamp(min=1)).square()
    return torch.where(variance <= rounding, torch.zeros_like(variance), variance.sqrt())


def _number(name: str, mean: float, deviation: float, missing: int, options: Options) -> Number:
    marked = options.mark_missing and missing > 0
    if not options.scale:
        return Number(name, fill=mean, marked=marked)
    return Number(name, fill=mean, shift=mean, scale=deviation or 1.0, marked=marked)


def _category(name: str, found: dict[str, int], rows: int, options: Options) -> tuple[Category, str]:
    missing = rows - sum(found.values())
    if not found:
        raise _nothing(name, rows)
    often = sorted(found, key=lambda w: (-found[w], w))
    kept = often if len(often) <= options.max_categories else often[: options.max_categories - 1]
    column = Category(
        name,
        words=tuple(sorted(kept)),
        fill=often[0],
        other=len(kept) < len(often),
        marked=options.mark_missing and missing > 0,
        ignore_case=options.ignore_case,
    )
    line = f"{name}: {_plural(len(column.words), 'value')} ({listed(column.words, 6)})"
    if column.other:
        line += f"; {len(often) - len(kept)} rarer ones become 'other'"
    return column, line + _filled(missing, repr(often[0]), column.marked)


def _labels(found: dict[str, int], options: Options) -> tuple[Target, str]:
    name = options.target
    if len(found) < 2:
        raise BadInput(
            f"target {name} is {next(iter(found), '')!r} in all training rows, so there is nothing to learn: hold out "
            "fewer rows, or name another column as target"
        )
    labels = label_order(found, options.positive)
    line = f"{name}: {len(labels)} classes, {listed([f'{w} ({found[w]:,})' for w in labels], 6)}"
    return Target(name, labels, ignore_case=options.ignore_case), line


def _nothing(name: str, rows: int) -> BadInput:
    return BadInput(
        f"column {name} has no value in any of the {rows} training rows, so nothing can be put in: ",
        drop(name),
    )


def _filled(missing: int, by: str, marked: bool) -> str:
    if not missing:
        return ""
    become = "becomes" if missing == 1 else "become"
    return f"; {_plural(missing, 'missing value')} {become} {by}" + (", and a feature marks where" if marked else "")


def _alone(sizes: Sequence[int], known: tuple[str, ...] | None) -> list[str]:
    """A warning for nodes whose sums are one row."""
    single = [n for n, size in enumerate(sizes) if size == 1]
    names: Sequence[str] = [f"{n}" for n in single] if known is None else [known[n] for n in single]
    if not single:
        return []
    return [
        f"{_plural(len(single), 'node')} with a single training row ({listed(names, 4)}): what such a node answers is "
        "that row; give it more rows or leave it out where that must not be seen"
    ]


def _holders(holders: int, nodes: int) -> str:
    return _plural(nodes, "node") if holders == nodes else f"{holders} of {_plural(nodes, 'node')}"


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")
