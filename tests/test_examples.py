"""The examples run as they are, each in a process of its own, and say what they should."""

import subprocess
import sys
from pathlib import Path

import pytest

import foedus

EXAMPLES = Path(__file__).parents[1] / "examples"


def _run(name: str, *arguments: str, cwd: Path) -> str:
    root = str(Path(foedus.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=cwd,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_run(tmp_path: Path) -> None:
    accuracy, bytes_up = _run("first_run.py", str(tmp_path / "picture.png"), cwd=tmp_path).split()
    assert float(accuracy) > 0.9
    # Fifty rounds, ten nodes, four bytes a parameter of the perceptron 64-32-10.
    assert int(bytes_up) == 50 * 10 * 4 * (65 * 32 + 33 * 10)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_own_algorithm(tmp_path: Path) -> None:
    assert _run("own_algorithm.py", cwd=tmp_path).startswith("the laws hold; accuracy 0.")


def test_processes(tmp_path: Path) -> None:
    said = _run("processes.py", cwd=tmp_path)
    vector = 4 * (65 * 128 + 129 * 10)
    assert f"a model of {vector:,} bytes" in said
    sent = {line[:14].strip(): int(line[14:].split()[0]) for line in said.splitlines()[2:-1]}
    # A server's node answers with a vector, a ring's passes on 2 (n - 1) / n of one, and a peer has two neighbours.
    assert sent == {"server sockets": vector, "ring shared": round(4 / 3 * vector), "peers sockets": 2 * vector}
    assert "the bits are those of a simulation" in said


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100
