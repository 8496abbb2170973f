"""How many rows judge: the rule, and that what is said before is what comes of it."""

import numpy as np
import pytest

from foedus.data import load
from foedus.data.tables import look
from foedus.data.tables.overview.sizes import said, shares


def test_small_tables_have_no_test_set_beside_what_nodes_hold_out():
    assert shares(1_999, False) == {"test": False, "holdout": 0.25}
    assert shares(2_000, False) == {"test": 0.2, "holdout": 0.1}
    assert shares(50, True) == {"holdout": 0.25}
    assert said(8, 0, 0) == "all 8 rows are trained on, and none is left to judge by"
    assert said(6, 2, 0) == "of 8 rows, 6 are trained on and 2 judge (held out by the nodes)"


@pytest.mark.parametrize("rows", [97, 830, 2_600])
def test_what_is_said_is_what_comes_of_it(tmp_path, rows):
    r = np.random.default_rng(rows)
    lines = [f"{'ABC'[i % 3] if i % 7 else 'A'},{r.normal():.2f},{'' if i % 11 == 5 else i % 2}\n" for i in range(rows)]
    (tmp_path / "t.csv").write_text("hospital,x,label\n" + "".join(lines))
    found = look(tmp_path / "t.csv")
    data = load(found.source, **found.options).split(holdout=0.25 if rows < 2_000 else 0.1)
    counted = said(sum(data.sizes), sum(data.holdout_sizes), 0 if data.test_y is None else len(data.test_y))
    if rows < 2_000:
        assert found.size == counted
    else:
        about = [
            int(w.replace(",", "").strip("()")) for w in found.size.split() if w.strip("(),").replace(",", "").isdigit()
        ]
        real = [
            int(w.replace(",", "").strip("()")) for w in counted.split() if w.strip("(),").replace(",", "").isdigit()
        ]
        assert about == pytest.approx(real, abs=3)
