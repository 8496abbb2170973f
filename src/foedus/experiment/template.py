"""A file to start from, with a comment for every line that a person should look at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from foedus.core.errors import BadInput

TABLES = (".csv", ".tsv", ".txt", ".parquet")
IMAGES = (".png", ".jpg", ".jpeg")
MARK = "<-"
"""Stands in the comment of a guess."""

Line = tuple[str, str]
"""A line of the file, and its comment."""


def starter(data: Path | None, file: Path) -> str:
    """The text of ``file``, an experiment on ``data`` (None: on handwritten digits).

    Errors: ``BadInput`` for data that is not there, or that none of the sources can read.
    """
    if data is None:
        about, lines, binary, flat = "handwritten digits, which come with the library", _digits(), False, True
    else:
        about, lines, binary, flat = _look(data, file)
    lr = "lr = 0.1" if flat else "lr = 0.05"
    local = f"local = {{ epochs = 2, batch_size = 16, {lr} }}"
    network = 'network = "logistic"' if binary else "network = { mlp = { hidden = [32] } }"
    blocks: list[list[Line]] = [
        [("[data]", ""), *lines],
        [
            ("[model]", ""),
            (network if flat else 'network = "resnet"', "sizes are taken from the data; docs/models.md has others"),
            *([('metrics = ["auc"]', "two classes: the area under the ROC curve says more than accuracy")] * binary),
        ],
        [("[runtime.simulation]", ""), ('network = "wan"', "ideal, lan, wan or mobile")],
        [("[evaluate]", ""), ("nodes = 5", "every fifth round each node evaluates the model on its own rows")],
        [
            ("[sweep]", "one run for every program: what nodes have alone, together, and with all data in one place"),
            ("program = [", ""),
            (f"  {{ local_only = {{ rounds = 30, {local} }} }},", ""),
            (f"  {{ fedavg = {{ rounds = 30, {local} }} }},", ""),
            (f"  {{ centralized = {{ rounds = 30, {local} }} }},", ""),
            ("]", ""),
            ("seed = [0, 1, 2]", "repeated, so that the spread is seen"),
        ],
    ]
    head = f"# An experiment on {about}.\n# Run it: foedus run {file}\n"
    return head + "".join("\n" + _aligned(block) for block in blocks)


def _aligned(block: list[Line]) -> str:
    width = min(44, max((len(line) for line, comment in block if comment), default=0))
    return "".join(f"{line:<{width}}  # {comment}\n" if comment else f"{line}\n" for line, comment in block)


def _digits() -> list[Line]:
    return [
        ('source = "digits"', "1,797 images of 8 x 8"),
        ("split = { dirichlet = { alpha = 0.3 } }", "how unequal the nodes are: 100 is alike, 0.1 is not"),
        ("nodes = 20", ""),
        ("holdout = 0.2", "every node keeps a fifth of its rows to evaluate on"),
    ]


def _look(data: Path, file: Path) -> tuple[str, list[Line], bool, bool]:
    """What the data is, the lines of ``[data]``, whether it has two classes, and whether its rows are flat."""
    if not data.exists():
        raise BadInput(f"there is no {data}: name a table, an .npz file, or a folder of tables, idx files or images")
    path = ("path = " + json.dumps(os.path.relpath(data, file.parent), ensure_ascii=False), "")
    names = [p.name.lower() for p in _inside(data)]
    if any(n.removesuffix(".gz").endswith(TABLES) for n in names):
        return _table(data, path)
    shared: list[Line] = [
        ("split = { dirichlet = { alpha = 0.3 } }", "how unequal the nodes are: 100 is alike, 0.1 is not"),
        ("nodes = 20", ""),
    ]
    if data.suffix == ".npz":
        return f"{data.name}", [('source = "npz"', ""), path, *shared, ("holdout = 0.2", "")], False, True
    if any("-idx" in n or ".idx" in n for n in names):
        return f"the idx files in {data}", [('source = "idx"', ""), path, *shared], False, True
    if any(n.endswith(IMAGES) for n in names):
        size = ("size = [32, 32]", f"{MARK} every image is brought to this height and width")
        return f"the images in {data}", [('source = "images"', ""), path, size, *shared], False, False
    raise BadInput(
        f"{data} holds no data that a source can read: a table (.csv, .parquet), an .npz file, idx files, or a folder "
        "of images (.png, .jpg), a folder for each class"
    )


def _inside(data: Path) -> Iterable[Path]:
    if not data.is_dir():
        return [data]
    return (p for _, p in zip(range(10_000), data.rglob("*"), strict=False) if p.is_file())


def _table(data: Path, path: Line) -> tuple[str, list[Line], bool, bool]:
    from foedus.data.tables import look  # PyArrow takes its time to import

    found = look(str(data))
    lines: list[Line] = [(f"source = {json.dumps(found.source)}", ""), path]
    lines.append((f"target = {_quoted(found.target.name)}", f"{MARK} to be learned, {found.target.why}"))
    if found.node is not None:
        lines.append((f"node = {_quoted(found.node.name)}", f"{MARK} whose row it is, {found.node.why}"))
    elif len(found.files) < 2:
        lines.append(('split = "iid"', f"{MARK} no column names a node: rows are dealt out at random"))
        lines.append(("nodes = 5", MARK))
    if found.drop:
        names = ", ".join(_quoted(g.name) for g in found.drop)
        lines.append((f"drop = [{names}]", f"{MARK} left out: " + "; ".join(f"{g.name}, {g.why}" for g in found.drop)))
    lines.append(("holdout = 0.25", "every node keeps a quarter of its rows to evaluate on"))
    target = next(c for c in found.columns if c.name == found.target.name)
    rows = f"{found.rows:,} rows of {len(found.columns)} columns"
    return f"{data.name} ({rows})", lines, target.distinct == 2, True


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
