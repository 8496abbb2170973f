"""``make test-all`` tests with every Python that is installed, each in its own environment, and says what it did."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make_test_all(path: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | {
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"
    }
    return subprocess.run(
        ["make", "test-all", *variables], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with two interpreters, one of which cannot make environments, and a make that fails for some."""
    for name, text in (
        ("python9.7", "exit 0"),
        ("python9.8", "exit 0"),
        ("python9.9", "exit 127"),
        ("inner-make", 'echo "$@"; case "$*" in *9.8*) exit 2;; esac'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_each_has_its_environment_and_all_are_told_of(path: Path) -> None:
    done = make_test_all(path, "PYTHONS=9.6 9.7 9.8 9.9", "MAKE=inner-make")
    lines = done.stdout.splitlines()
    assert "--no-print-directory PYTHON=python9.7 VENV=.venv97 test" in lines
    assert "tested: 9.7 9.8; failed: 9.8; skipped (no python3.x with venv): 9.6 9.9" in lines[-1]
    assert done.returncode != 0


def test_one_that_passes_is_enough_and_none_is_not(path: Path) -> None:
    assert make_test_all(path, "PYTHONS=9.6 9.7", "MAKE=inner-make").returncode == 0
    assert make_test_all(path, "PYTHONS=9.6", "MAKE=inner-make").returncode != 0
