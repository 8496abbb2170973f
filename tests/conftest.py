"""What tests of several packages share."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is: on a loaded one, Hypothesis' 200 ms fail what is right.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Whatever a test starts is known by it (``runtimes/processes/leftovers.py``), one whose parent is gone, too.
os.environ["FOEDUS_TEST_MARK"] = secrets.token_hex(8)

# What is noted of runs with code of one's own is none of the home's of whoever runs the tests.
_state = tempfile.TemporaryDirectory(prefix="tests-of-foedus-")
os.environ["XDG_STATE_HOME"] = _state.name


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KiB of its own, where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount here")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("this system lets only its administrator make a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(autouse=True)
def _ctrl_c():
    """A command leaves Ctrl-C without effect, for its process is at its end; this one is not."""
    heard = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, heard)
