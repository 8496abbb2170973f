"""What tests of several packages share."""

import os
import secrets
import shutil
import subprocess

import pytest

# Whatever a test starts is known by it (``runtimes/processes/leftovers.py``), one whose parent is gone, too.
os.environ["FOEDUS_TEST_MARK"] = secrets.token_hex(8)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB of its own, where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount here")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("this system lets only its administrator make a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
