"""What it costs to look at a large table, as ``foedus init`` does, beside PyArrow's reading of the same file.

See README.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from common import markdown, options, origin, origin_lines, result_file

SIDES = {
    "PyArrow reads": "import pyarrow.csv\ndo = lambda: pyarrow.csv.read_csv(PATH)",
    "a first look": "from foedus.data.tables import look\ndo = lambda: look(PATH)",
}
"""What is measured, each in a process of its own that has imported what it needs."""
MEASURE = """
import json, resource, sys, time
PATH = sys.argv[1]
{do}
def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
cpu, wall = spent(), time.perf_counter()
do()
print(json.dumps([spent() - cpu, time.perf_counter() - wall]))
"""


def table(rows: int, columns: int) -> pa.Table:
    """Measurements with three decimals, counts of one to four digits, words with gaps, zeros and ones; a site, an id
    and an outcome.
    """
    r = np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "grey", ""])
    made = {"site": np.array([f"site {i}" for i in range(12)])[r.integers(0, 12, rows)]}
    for j in range(columns - 3):
        made[f"c{j}"] = (
            words[r.integers(0, 5, rows)] if j % 5 == 0
            else r.integers(0, 2, rows) if j % 10 == 1
            else r.integers(0, 10 ** (1 + j % 4), rows) if j % 5 in (1, 2)
            else np.round(r.normal(j, 1 + j, rows), 3)
        )  # fmt: skip
    return pa.table({**made, "id": np.arange(rows), "outcome": r.integers(0, 2, rows)})


def measure(side: str, file: Path) -> tuple[float, float]:
    """Seconds of computing, of all threads, and seconds by the clock."""
    code = MEASURE.format(do=SIDES[side])
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    cpu, wall = json.loads(done.stdout)
    return cpu, wall


def main() -> None:
    args = options("A first look at a large table.", "a tenth of the rows, three repetitions").parse_args()
    rows, columns = args.scale.of(1_000_000, 100_000, 11_000), 50
    repetitions = args.scale.of(7, 3, 1)
    told = origin()
    with tempfile.TemporaryDirectory(prefix="table-") as folder:
        file = Path(folder) / "table.csv"
        pyarrow.csv.write_csv(table(rows, columns), file, pyarrow.csv.WriteOptions(quoting_style="none"))
        size = file.stat().st_size
        found = [{side: measure(side, file) for side in SIDES} for _ in range(repetitions)]
    arrow, ours = SIDES
    ratios = [f[ours][0] / f[arrow][0] for f in found]
    lines = [
        [side, *(f"{statistics.median(f[side][i] for f in found):.2f} s" for i in (0, 1))]
        for side in SIDES
    ]  # fmt: skip
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    text = (
        f"# A first look at {rows:,} rows of {columns} columns ({size / 2**20:,.0f} MiB)\n\n{origin_lines(told)}\n\n"
        f"Medians of {repetitions}, in turn, in processes of their own, without imports.\n\n"
        f"{markdown(['', 'computing', 'by the clock'], lines)}\n\n"
        f"**A look computes {ratio} times as long as PyArrow reads.**\n"
    )
    page = result_file(args, "init")
    page.write_text(text)
    of_all = {"origin": told, "rows": rows, "columns": columns, "bytes": size, "measured": found}
    page.with_suffix(".json").write_text(json.dumps({**of_all, "ratios": ratios}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
