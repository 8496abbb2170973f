"""The page on attacks has all of them, and says of each what it knows."""

import dataclasses
import re
from pathlib import Path

import foedus as fd
from foedus import attacks

PAGE = Path(fd.__file__).parents[2] / "docs" / "attacks.md"
ATTACKS = {
    name: a
    for name in attacks.__all__
    if isinstance(a := getattr(attacks, name), type) and issubclass(a, fd.Attack) and dataclasses.is_dataclass(a)
}


def test_every_attack_is_in_the_table_with_what_it_knows():
    assert len(ATTACKS) == 22
    table = {}
    for names, knows in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| ([^|]+) \|", PAGE.read_text("utf-8"), re.M):
        table |= dict.fromkeys(re.findall(r"\w+", names), knows)
    assert set(table) == set(ATTACKS)
    for name, a in ATTACKS.items():
        options = {f.name for f in dataclasses.fields(a)}
        says = "as its attack" if name == "Optimised" else a.knows + (" or coalition" if "knows" in options else "")
        assert table[name] == says, name


def test_attacks_have_their_names_in_foedus_but_for_one_that_a_transform_has():
    assert {n for n in ATTACKS if getattr(fd, n, None) is not ATTACKS[n]} == {"Gaussian"}
