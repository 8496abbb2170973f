"""What all benchmarks need: their options, the data, where and on what they ran, and tables in Markdown."""

from __future__ import annotations

import argparse
import atexit
import functools
import importlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch

import foedus as fd

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four idx files."""


class Scale(StrEnum):
    """How much of a benchmark is run. Only the figures of all of it are claims; the value ends the results' names."""

    FULL = ""
    QUICK = "-quick"
    SMOKE = "-smoke"

    def of(self, full: T, quick: T, smoke: T) -> T:
        """Whichever of the three this one takes."""
        return {Scale.FULL: full, Scale.QUICK: quick, Scale.SMOKE: smoke}[self]


def options(description: str, quick: str, images: bool = False) -> argparse.ArgumentParser:
    """The options that every benchmark has. ``quick`` says what ``--quick`` leaves out; ``images``: it needs some."""
    parser = argparse.ArgumentParser(description=f"{description} See benchmarks/README.md.")
    parser.set_defaults(scale=Scale.FULL)
    scale = parser.add_mutually_exclusive_group()
    for name, text in (
        (Scale.QUICK, f"{quick}: not for claims"),
        (Scale.SMOKE, "the least of everything, in seconds, and no data needed: does it still run?"),
    ):
        scale.add_argument(f"-{name}", dest="scale", action="store_const", const=name, help=text)
    if images:
        where = f"folder of idx files (MNIST's format); {DEBIAN}, and with --smoke some made up"
        parser.add_argument("--data", type=Path, help=where)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    return parser


def image_folder(args: argparse.Namespace) -> Path:
    """The folder of idx files that the options ask for. Leaves with status 2 and one line if there are none."""
    folder: Path = args.data or (_made_up() if args.scale is Scale.SMOKE else DEBIAN)
    load(folder)  # what is wrong with the data is said once, before any process starts
    return folder


def _made_up() -> Path:
    """Noise about ten prototypes, as idx files of MNIST's form, in a folder that goes when the program ends."""
    folder = Path(tempfile.mkdtemp(prefix="images-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 128, (10, 28, 28), dtype=np.uint8)
    for name, rows in (("train", 1500), ("t10k", 300)):
        labels = (np.arange(rows) % 10).astype(np.uint8)
        images = prototypes[labels] + random.integers(0, 128, (rows, 28, 28), dtype=np.uint8)
        for what, values in (("images", images), ("labels", labels)):
            # Two zeros, 8 for bytes, the number of dimensions; their sizes; the numbers.
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (folder / f"{name}-{what}-idx{values.ndim}-ubyte").write_bytes(head + values.tobytes())
    return folder


def load(folder: Path) -> fd.data.Dataset:
    """The four idx files of a folder. Leaves with status 2 and one line if there are none."""
    if not folder.is_dir() and folder == DEBIAN:
        fail(
            f"{folder} does not exist: install Fashion-MNIST (sudo apt-get install dataset-fashion-mnist), "
            "or give a folder of idx files with --data"
        )
    try:
        return fd.data.load("idx", path=folder)
    except fd.BadInput as e:
        fail(f"{e}; Debian has them: sudo apt-get install dataset-fashion-mnist, then leave --data out")


def fail(message: str) -> Any:
    """End with one line and the status for bad input."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


@functools.cache
def byzfl() -> ModuleType | None:
    """ByzFL's rules, or None where it is not installed: without its own first lines, which import torchvision."""
    found = importlib.util.find_spec("byzfl")
    if found is None or found.submodule_search_locations is None:
        return None
    package = ModuleType("byzfl")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["byzfl"] = package
    return importlib.import_module("byzfl.aggregators")


def origin() -> dict[str, str]:
    """Hardware, versions, commit and command: what a speed claim must carry."""
    cpu = next((v for k, v in _fields("/proc/cpuinfo") if k == "model name"), platform.processor() or "unknown")
    memory = next((v for k, v in _fields("/proc/meminfo") if k == "MemTotal"), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": f"{cpu}, {cores} cores, L3 {_l3()}",
        "memory": f"{int(memory.split()[0]) / 2**20:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "foedus": f"{fd.__version__}, commit {commit()}",
        "command": shlex.join(["python", *_relative(sys.argv)]),
    }


def _fields(file: str) -> list[tuple[str, str]]:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return []
    return [(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]


def _l3() -> str:
    try:
        return Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
    except OSError:
        return "unknown"


def _relative(argv: Sequence[str]) -> list[str]:
    script = Path(argv[0]).resolve()
    name = str(script.relative_to(ROOT)) if script.is_relative_to(ROOT) else script.name
    # Where somebody keeps checkout and data is nobody's business, and of no use to who repeats the run.
    return [name, *(Path(a).name if a.startswith("/") and Path(a) != DEBIAN else a for a in argv[1:])]


def commit() -> str:
    """The commit, with "+dirty" if the checkout has changes that are not in it."""
    try:
        git = ["git", "-C", str(ROOT)]
        # Results of earlier runs do not make the code another one.
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", ".", ":!benchmarks/results"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (head.stdout.strip()[:12] if head.returncode == 0 else "none yet") + ("+dirty" if changes else "")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned too, so that it can be read on a terminal."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(r[i]) for r in cells) for i in range(len(head))]
    # The first column is a name; the others are figures, to the right.
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    lines = [
        "| " + " | ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:], strict=True))]) + " |"
        for r in [cells[0], rule, *cells[1:]]
    ]
    return "\n".join(lines)


def origin_lines(o: dict[str, str]) -> str:
    """The origin as a Markdown list."""
    return "\n".join(f"- {k}: `{v}`" if k == "command" else f"- {k}: {v}" for k, v in o.items())


def result_file(args: argparse.Namespace, name: str) -> Path:
    """``<out>/<date>-<name>.md``, of less than all with its scale; a second run on one day writes over the first."""
    args.out.mkdir(parents=True, exist_ok=True)
    file: Path = args.out / f"{time.strftime('%Y-%m-%d', time.gmtime())}-{name}{args.scale}.md"
    return file
