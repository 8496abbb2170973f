"""Every benchmark still runs: ``--smoke`` takes seconds, and no data but what is there everywhere."""

import json
import os
import random
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import foedus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(p.stem for p in BENCHMARKS.glob("*.py") if p.stem != "common")


def smoke(name: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run with a folder of its own for temporary files, in which nothing may be left."""
    temporary = out / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--smoke", "--out", str(out)],
        cwd=out,
        env=os.environ | {"PYTHONPATH": str(Path(foedus.__file__).parents[1]), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    temporary.rmdir()
    return done


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_benchmark_runs(name: str, tmp_path: Path) -> None:
    done = smoke(name, tmp_path)
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("*-smoke.md")
    assert f"command: `python benchmarks/{name}.py --smoke" in page.read_text()
    results = json.loads(page.with_suffix(".json").read_text())
    if name == "programs":  # one that fails is listed, and the others go on
        assert not [f"{r['name']}: {r['why']}" for r in results["rows"] if r["status"] == "failed"]
        assert len(results["rows"]) > 30
    # Only what is written beside the page is left behind.
    assert {p.stem for p in tmp_path.iterdir()} == {page.stem}


def test_the_fuzzer_tells_faults_and_mutates_the_same_way_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    fuzz = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "fuzz.py")))
    for status, said, seconds, memory, trained, fault in (
        (2, "foedus: no", 1.0, 0, False, None),
        (1, "Traceback (most recent call last):\n", 1.0, 0, False, "traceback"),
        (70, "", 1.0, 0, False, "status 70"),
        (0, "", 11.0, 0, False, "too slow"),
        (0, "", 11.0, 0, True, None),
        (0, "", 1.0, 2**32, True, "too much memory"),
        (-11, "", 1.0, 0, True, "ended by signal 11"),
        (-9, "", 1.0, 0, False, "ended by signal 9"),
    ):
        assert fuzz.fault_of(status, said, seconds, memory, trained) == fault
    valid = {".toml": b"a = 1\n[b]\nc = [1, 2]\n", ".json": b'{"a": {"b": [1, 2.5]}}\n', ".csv": b"a,b\n1,2\n3,4\n"}
    for suffix, content in valid.items():
        made = [[fuzz.MUTATE[suffix](random.Random(i), content) for i in range(40)] for _ in range(2)]
        assert made[0] == made[1]
        assert len({*made[0]} - {content}) > 20


def test_data_that_is_missing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    common = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "common.py")))
    args = common.options("What it is.", quick="less", images=True).parse_args(["--smoke", "--data", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        common.image_folder(args)
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.code, "nowhere" in line) == (2, True)
