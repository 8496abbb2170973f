"""What the command line does with damaged files: mutations of valid ones, each read by a process of its own.

Whatever is read, ``foedus`` ends by itself, with status 0, 1 or 2, without a traceback, in ten seconds and bounded
memory. Mutations are of structure only: bits, pieces, fields and numbers. See README.md.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from common import markdown, options, origin, origin_lines, result_file
from PIL import Image

import foedus as fd
from foedus import cli, experiment, report
from foedus.experiment.known import known

SECONDS = 10
"""Of computing, for one command."""
MEMORY = 2**31
"""Bytes that one command may have, with Python, torch and all that is imported (about 400 MiB)."""
WALL = 90
"""Seconds until a command is killed that does not compute either; other processes may slow it down."""
STATUS = (0, 1, 2)

EXTREMES = (0, -1, 1, 2**15, 2**31 - 1, 2**32, 10**9, 2**63 - 1, 2**64 - 1, 1e308, -1e-300, 0.5)
ODD = ("", "x", "nan", "inf", "1e999", "-0", "true", "\u00e9", "\u2028", "a b", "0x10", "[]", "..", "None")

# -- mutations ---------------------------------------------------------------------------------------------------------


def of_bytes(r: random.Random, data: bytes) -> bytes:
    """Some bits, a piece gone, doubled, blank or elsewhere, or a number of four or eight bytes replaced."""
    b = bytearray(data)
    if not b:
        return bytes([r.randrange(256)])
    at = r.randrange(len(b))
    # Headers are where the structure is.
    at = min(at, r.randrange(200)) if r.random() < 0.5 else at
    size = 1 + min(len(b) - at - 1, int(2 ** r.uniform(0, 9)))
    match r.randrange(7):
        case 0:
            for _ in range(r.choice((1, 1, 3, 20))):
                b[r.randrange(len(b))] ^= 1 << r.randrange(8)
        case 1:
            del b[at:]
        case 2:
            del b[at : at + size]
        case 3:
            b[at:at] = b[at : at + size]
        case 4:
            b[at : at + size] = bytes([r.choice((0, 255, 32, 128))]) * size
        case 5:
            number = int(r.choice(EXTREMES[:9])) % 2**64
            width = r.choice((1, 2, 4, 8))
            b[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, r.choice(("little", "big")))
        case 6:
            to = r.randrange(len(b))
            b[to : to + size] = b[at : at + size]
    return bytes(b)


def of_text(r: random.Random, data: bytes) -> bytes:
    """A line gone, doubled or elsewhere; a number, a word or a mark replaced; or whatever ``of_bytes`` does."""
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    if not lines or r.random() < 0.3:
        return of_bytes(r, data)
    i, j = r.randrange(len(lines)), r.randrange(len(lines))
    match r.randrange(6):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case 3:
            lines[i] = _replaced(r, r"-?\d+(\.\d+)?(e-?\d+)?", lines[i], str(r.choice(EXTREMES)))
        case 4:
            lines[i] = _replaced(r, r"[A-Za-z_]\w*", lines[i], r.choice(ODD))
        case 5:
            lines[i] = _replaced(r, r"[^\w\s]", lines[i], r.choice(",;\t\"'[]{}=.:#\n\r"))
    return "".join(lines).encode("utf-8", "replace")


def _replaced(r: random.Random, pattern: str, line: str, by: str) -> str:
    found = list(re.finditer(pattern, line))
    if not found:
        return line + by
    one = r.choice(found)
    return line[: one.start()] + by + line[one.end() :]


def of_tree(r: random.Random, tree: Any) -> Any:
    """A tree of tables and lists in which one value is gone, doubled, replaced or has changed places with another."""
    places = list(_places(tree))
    if not places:
        return tree
    holder, key = r.choice(places)
    match r.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[key] = r.choice((*EXTREMES[:8], 0.5, 1e308, *ODD, True, [], {}, [[1]], {"a": 1}))
        case 2:
            other, there = r.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                holder[key], other[there] = json.loads(json.dumps((other[there], holder[key])))
        case 3 if isinstance(holder, dict):
            holder[r.choice(ODD) or "y"] = holder.pop(key)
        case _:
            holder[key] = [json.loads(json.dumps(holder[key]))] * r.choice((1, 2))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def of_toml(r: random.Random, data: bytes) -> bytes:
    """A mutation of the tables, or of the text."""
    try:
        tree = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        tree = {}
    return tomli_w.dumps(of_tree(r, tree)).encode() if tree and r.random() < 0.7 else of_text(r, data)


def of_json(r: random.Random, data: bytes) -> bytes:
    """A mutation of one document a line, or of the text."""
    lines = data.splitlines()
    i = r.randrange(max(1, len(lines)))
    try:
        tree = json.loads(lines[i])
    except (ValueError, IndexError):
        tree = None
    if not isinstance(tree, dict | list) or not tree or r.random() < 0.3:
        return of_text(r, data)
    lines[i] = json.dumps(of_tree(r, tree)).encode()
    return b"\n".join(lines) + b"\n"


def of_gzip(r: random.Random, data: bytes) -> bytes:
    """A mutation of what is packed, or of the packed."""
    if r.random() < 0.5:
        with contextlib.suppress(OSError, EOFError, zlib.error):  # mutated before
            return gzip.compress(of_bytes(r, gzip.decompress(data)))
    return of_bytes(r, data)


def of_zip(r: random.Random, data: bytes) -> bytes:
    """A mutation of one file of an archive, packed again with sums that are right, or of the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # mutated before
        entries = {}
    if not entries or r.random() < 0.4:
        return of_bytes(r, data)
    chosen = r.choice(list(entries))
    entries[chosen] = (of_text if chosen.endswith(".xml") else of_bytes)(r, entries[chosen])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


MUTATE: dict[str, Callable[[random.Random, bytes], bytes]] = {
    ".toml": of_toml, ".csv": of_text, ".json": of_json, ".jsonl": of_json, ".gz": of_gzip, ".npz": of_zip,
    ".xlsx": of_zip, ".arff": of_text, ".svm": of_text,
}  # fmt: skip
"""How the files with an ending are mutated; all others by their bytes."""


# -- what is mutated ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Specimen:
    """A folder with valid files: which of them are mutated, and the commands that read them, as often as they stand."""

    name: str
    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


MODEL = """
[model]
network = { mlp = { hidden = [4] } }
[program.fedavg]
rounds = 2
local = { epochs = 1, batch_size = 64, lr = 0.1 }
[runtime.simulation]
workers = 1
"""
DATA = ("data", "e.toml")
RUN = ("run", "e.toml", "--quiet", "--out", "out")
OF_DATA = (DATA,) * 5 + (RUN,)
OF_RUN = (("show", "r"),) * 4 + (
    ("report", "r"),
    ("run", "--resume", "r", "--quiet"),
    ("run", "--resume", "r", "--json"),
)
IDX = tuple(f"idx/{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
RECORDS = ("r/run.json", "r/history.jsonl", "r/ledger.jsonl", "r/checkpoint.safetensors", "r/config.toml")
TABLES = {"excel": "xlsx", "jsonl": "jsonl", "arff": "arff", "arrow": "feather", "orc": "orc"}
"""Formats of tables besides CSV and Parquet, and their files' endings."""
SPECIMENS = (
    Specimen("toml", ("e.toml",), (*OF_DATA, (*DATA, "--json"))),
    Specimen("npz", ("a.npz",), OF_DATA),
    Specimen("idx", tuple(f"{name}.gz" for name in IDX), OF_DATA),
    Specimen("idx plain", IDX, OF_DATA),
    *(Specimen(name, (f"t.{suffix}",), (*OF_DATA, ("data", f"t.{suffix}"), ("init", f"t.{suffix}", "-o", "new.toml")))
      for name, suffix in (("csv", "csv"), ("parquet", "parquet"), *TABLES.items())),
    Specimen("leaf", ("l/train/a.json", "l/test/a.json"), OF_DATA),
    Specimen("libsvm", ("t.svm",), OF_DATA),
    Specimen("images", ("i/a/0.png", "i/b/1.png"), (DATA,)),
    Specimen("run", RECORDS, OF_RUN),
    Specimen("study", ("r/study.json",), OF_RUN),
)  # fmt: skip
STOPPED = ("run", "study")
"""Specimens whose run has commits left to make."""


def prepare(specimen: Specimen, folder: Path) -> None:
    """Write its valid files. In a process of its own, for torch starts threads."""
    r = np.random.default_rng(0)
    source = ""
    match specimen.name:
        case "toml" | "run" | "study":
            source = 'source = "breast-cancer"\nsplit = { dirichlet = { alpha = 0.5 } }\nnodes = 3\nholdout = 0.2'
        case "csv" | "parquet":
            rows = ["age,sex,chol,site,sick"] + [
                f"{r.integers(20, 90)},{r.choice(['m', 'f', ''])},{r.normal(5, 1):.2f},{'abc'[i % 3]},{r.integers(2)}"
                for i in range(60)
            ]
            (folder / "t.csv").write_text("\n".join(rows) + "\n")
            source = f'source = "{specimen.name}"\npath = "t.{specimen.name}"\ntarget = "sick"\nnode = "site"'
            if specimen.name == "parquet":
                import pyarrow.csv
                import pyarrow.parquet

                pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / "t.csv"), folder / "t.parquet")
        case name if name in TABLES:
            rows = [
                {"age": int(r.integers(20, 90)), "sex": str(r.choice(["m", "f"])), "chol": float(r.normal(5, 1)),
                 "site": "abc"[i % 3], "sick": int(r.integers(2))}
                for i in range(60)
            ]  # fmt: skip
            _write_table(folder / f"t.{TABLES[name]}", rows)
            source = f'source = "{name}"\npath = "t.{TABLES[name]}"\ntarget = "sick"\nnode = "site"'
        case "leaf":
            for part, users in (("train", 3), ("test", 2)):
                (folder / "l" / part).mkdir(parents=True)
                data = {
                    f"u{u}": {"x": r.normal(size=(8, 3)).tolist(), "y": [int(k) for k in r.integers(2, size=8)]}
                    for u in range(users)
                }
                said = {"users": list(data), "num_samples": [8] * users, "user_data": data}
                (folder / "l" / part / "a.json").write_text(json.dumps(said))
            source = 'source = "leaf"\npath = "l"'
        case "libsvm":
            rows = [f"{i % 2} 1:{r.normal():.3f} 3:{r.normal():.3f} {4 + i % 5}:1" for i in range(60)]
            (folder / "t.svm").write_text("\n".join(rows) + "\n")
            source = 'source = "libsvm"\npath = "t.svm"\nsplit = "iid"\nnodes = 3'
        case "npz":
            np.savez(folder / "a.npz", x=r.normal(size=(30, 5)).astype(np.float32), y=np.arange(30) % 3)
            source = 'source = "npz"\npath = "a.npz"\nsplit = "iid"\nnodes = 3'
        case "idx" | "idx plain":
            (folder / "idx").mkdir()
            for part, rows_ in (("train", 40), ("t10k", 10)):
                for what, a in (
                    ("images-idx3", r.integers(0, 256, (rows_, 4, 4))),
                    ("labels-idx1", np.arange(rows_) % 3),
                ):
                    head = bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">u4").tobytes()
                    content, file = head + a.astype(np.uint8).tobytes(), folder / "idx" / f"{part}-{what}-ubyte"
                    if specimen.name == "idx":
                        file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
                    else:
                        file.write_bytes(content)
            source = 'source = "idx"\npath = "idx"\nsplit = "iid"\nnodes = 3'
        case "images":
            for i in range(8):
                file = folder / "i" / "ab"[i % 2] / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(r.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(file)
            source = 'source = "images"\npath = "i"\nsplit = "iid"\nnodes = 2'
    sweep = "[sweep]\nseed = [0, 1]\n" if specimen.name == "study" else ""
    (folder / "e.toml").write_text(f"name = 'e'\n[data]\n{source}\n{MODEL}{sweep}")
    if specimen.name in STOPPED:
        command = ["foedus", "run", "e.toml", "--quiet", "--out", "r"]
        if specimen.name == "study":
            _main(command)
        else:
            e = experiment.read(folder / "e.toml")
            run = e.train(out=folder / "r", stop=(fd.AfterCommits(1),), config=experiment.to_toml(e))
            assert run.history


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows in the format that the file's ending says."""
    import openpyxl
    import pyarrow.feather
    import pyarrow.orc

    match path.suffix:
        case ".xlsx":
            book = openpyxl.Workbook()
            for row in ([*rows[0]], *(list(row.values()) for row in rows)):
                book.active.append(row)
            book.save(path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".arff":
            kinds = {n: "{m, f}" if n == "sex" else "{a, b, c}" if n == "site" else "numeric" for n in rows[0]}
            head = "".join(f"@attribute {n} {kind}\n" for n, kind in kinds.items())
            body = "".join(",".join(map(str, row.values())) + "\n" for row in rows)
            path.write_text(f"% made up\n@relation t\n{head}@data\n{body}")
        case ".feather":
            pyarrow.feather.write_feather(pyarrow.Table.from_pylist(rows), path)
        case ".orc":
            pyarrow.orc.write_table(pyarrow.Table.from_pylist(rows), path)


# -- one command -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How a command ended: its status (None: killed), what it said, what it took, and what is wrong with that."""

    status: int | None
    said: str
    seconds: float
    bytes: int
    fault: str | None


def _main(argv: list[str]) -> None:
    sys.argv = argv
    with contextlib.suppress(SystemExit):
        cli.main()


def _be(argv: list[str], folder: Path, output: int, base: int) -> None:
    """In the copy: be the command line."""
    os.setsid()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd_, to in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(fd_, to)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (base + 2 * MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**27,) * 2)
    sys.argv = argv
    status = 0
    try:
        cli.main()
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 70
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def run(argv: list[str], folder: Path) -> Verdict:
    """The command in a copy of this process, judged."""
    with tempfile.TemporaryFile() as output:
        base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _be(argv, folder, output.fileno(), base)
        while (ended := os.wait4(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() - started > WALL:
                os.kill(pid, signal.SIGKILL)
                ended = os.wait4(pid, 0)
                break
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it started
        output.seek(0)
        said = output.read(1 << 20).decode("utf-8", "replace")
    _, wait, used = ended
    status = os.waitstatus_to_exitcode(wait)
    seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    trained = (folder / "out" / "history.jsonl").exists() or "--resume" in argv
    fault = fault_of(status, said, seconds, memory, trained)
    return Verdict(None if status < 0 else status, said, seconds, memory, fault)


def fault_of(status: int, said: str, seconds: float, memory: int, trained: bool) -> str | None:
    """What is wrong with how a command ended, if anything. ``status`` is minus the signal that ended it."""
    if "Traceback (most recent call last)" in said:
        return "traceback"
    if status >= 0 and status not in STATUS:
        return f"status {status}"
    if memory > MEMORY:
        return "too much memory"
    if trained:  # any number of rounds may have been asked for: to take long is no fault
        return None if status >= 0 or -status in (signal.SIGXCPU, signal.SIGKILL) else f"ended by signal {-status}"
    if status < 0:
        return f"ended by signal {-status}"
    return "too slow" if seconds > SECONDS else None


def where(said: str) -> str:
    """The last of our lines in a traceback, and the error: what faults are told apart by."""
    ours = re.findall(r'File "[^"]*/(foedus/[^"]+)", line (\d+), in (\S+)', said)
    last = (said.strip().splitlines() or [""])[-1][:160]
    return f"{ours[-1][0]}:{ours[-1][1]} {ours[-1][2]}: {last}" if ours else last


def mutation(
    seed: int, number: int, specimens: list[Specimen], base: Path, folder: Path
) -> tuple[Specimen, str, list[str]]:
    """Make one in ``folder``: always the same for a seed and a number. The specimen, the file and the command."""
    r = random.Random(f"{seed}:{number}")
    specimen = specimens[number % len(specimens)]
    shutil.copytree(base / specimen.name, folder, dirs_exist_ok=True)
    name = r.choice([f for f in specimen.files if (folder / f).exists()])
    file = folder / name
    data = file.read_bytes()
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        data = MUTATE.get(file.suffix, of_bytes)(r, data)
    file.write_bytes(data)
    return specimen, name, ["foedus", *r.choice(specimen.commands)]


def warm() -> None:
    """Import whatever a command imports, before the first copy is made."""
    import foedus.experiment.study
    import foedus.saved  # noqa: F401

    for part in ("", ".csv", ".parquet", ".compute", ".types", ".ipc", ".orc"):
        __import__(f"pyarrow{part}")
    for name in ("matplotlib.figure", "openpyxl", "sklearn.datasets"):
        __import__(name)
    known()
    fd.data.load("breast-cancer")
    report.holdings_text  # noqa: B018  (lazy)


def main() -> None:
    parser = options(__doc__.splitlines()[0], quick="a tenth of the mutations")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    parser.add_argument("--count", type=int, help="how many mutations")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--only", help="names of specimens, with commas between")
    parser.add_argument("--keep", type=Path, help="folder for the files of every fault")
    args = parser.parse_args()
    count = args.count or args.scale.of(5000, 500, len(SPECIMENS))
    specimens = [s for s in SPECIMENS if args.only is None or s.name in args.only.split(",")]
    torch.set_num_threads(1)
    warm()
    started = time.monotonic()
    rows: dict[str, Counter[str]] = {s.name: Counter() for s in specimens}
    faults: list[dict[str, Any]] = []
    slowest: dict[str, float] = dict.fromkeys(rows, 0.0)
    largest: dict[str, int] = dict.fromkeys(rows, 0)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        base = Path(temporary) / "valid"
        for specimen in specimens:
            (base / specimen.name).mkdir(parents=True)
            pid = os.fork()
            if pid == 0:
                try:
                    os.chdir(base / specimen.name)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                    prepare(specimen, base / specimen.name)
                    os._exit(0)
                finally:
                    os._exit(1)
            if os.waitpid(pid, 0)[1]:
                sys.exit(f"the files of {specimen.name!r} could not be made")
        for number in range(args.first, args.first + count):
            folder = Path(temporary) / "now"
            specimen, file, argv = mutation(args.seed, number, specimens, base, folder)
            verdict = run(argv, folder)
            name = specimen.name
            rows[name][f"status {verdict.status}"] += 1
            slowest[name] = max(slowest[name], verdict.seconds)
            largest[name] = max(largest[name], verdict.bytes)
            if verdict.fault is not None:
                found = {"number": number, "specimen": name, "file": file, "command": " ".join(argv)}
                faults.append(found | {"where": where(verdict.said)} | asdict(verdict) | {"said": verdict.said[-3000:]})
                print(
                    f"{number} {name} {file} {' '.join(argv)}: {verdict.fault}: {where(verdict.said)}", file=sys.stderr
                )
                if args.keep is not None:
                    shutil.copytree(folder, args.keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    _write(args, count, rows, faults, slowest, largest, seconds)
    sys.exit(1 if faults else 0)


def _write(
    args: Any,
    count: int,
    rows: dict[str, Counter[str]],
    faults: list[dict[str, Any]],
    slowest: dict[str, float],
    largest: dict[str, int],
    seconds: float,
) -> None:
    head = ["specimen", "mutations", *(f"status {s}" for s in STATUS), "faults", "slowest", "memory"]
    table = [
        [
            name, str(sum(of.values())), *(str(of[f"status {s}"]) for s in STATUS),
            str(sum(f["specimen"] == name for f in faults)), f"{slowest[name]:.1f} s",
            f"{largest[name] / 2**20:.0f} MiB",
        ]
        for name, of in rows.items()
    ]  # fmt: skip
    of = origin()
    different = Counter(f"{f['fault']}: {f['where']}" for f in faults)
    lines = [f"- {n} times {what}" for what, n in different.most_common()] or ["None."]
    page = result_file(args, "fuzz")
    page.write_text(
        f"# {count:,} mutations of valid files, read by the command line\n\n{origin_lines(of)}\n- seed: {args.seed}\n"
        f"- {seconds:.0f} seconds\n\n{markdown(head, table)}\n\n## Faults\n\n" + "\n".join(lines) + "\n"
    )
    page.with_suffix(".json").write_text(
        json.dumps(
            {"origin": of, "seed": args.seed, "rows": {k: dict(v) for k, v in rows.items()}, "faults": faults}, indent=1
        )
    )
    print(page.read_text())


if __name__ == "__main__":
    main()
