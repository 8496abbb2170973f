"""``python -m foedus.experiment docs/file-format.md``: write the reference part of the page anew."""

import sys
from pathlib import Path

from foedus.experiment.reference import renew

if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(renew(page.read_text(encoding="utf-8")), encoding="utf-8")
