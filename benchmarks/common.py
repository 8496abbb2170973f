"""What all benchmarks need: the data, where and on what they ran, and tables on the terminal and in Markdown."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import foedus as fd

ROOT = Path(__file__).resolve().parent.parent
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four idx files."""


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


def result_file(folder: Path, name: str, suffix: str) -> Path:
    """``<folder>/<date>-<name><suffix>``; a second run on one day writes over the first."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{time.strftime('%Y-%m-%d', time.gmtime())}-{name}{suffix}"
